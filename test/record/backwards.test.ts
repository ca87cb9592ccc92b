import { appendFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { isCursor, readBackwards, recordedPicture } from '../../src/record/backwards.js';
import type { RecordLine } from '../../src/record/lines.js';
import { answerLine, recorded, TestClock } from './support.js';

const ALL: ReadonlySet<RecordLine['kind']> = new Set(['frame', 'answer']);
const ANSWERS: ReadonlySet<RecordLine['kind']> = new Set(['answer']);

async function pages(folder: string, limit: number, kinds = ALL): Promise<string[][]> {
  const all: string[][] = [];
  let before: string | undefined;
  do {
    const page = await readBackwards(folder, { watch: 'door', before, limit, kinds });
    all.push(page.lines.map(({ line }) => ('id' in line ? line.id : line.kind)));
    before = page.next ?? undefined;
    expect(before === undefined || isCursor(before)).toBe(true);
  } while (before !== undefined);
  return all;
}

it.each([1, 2, 3, 7, 1000])('gives every line once, the newest first, %i a page', async (limit) => {
  const { folder, recorder } = await recorded(30);
  const newest = Array.from({ length: 30 }, (_, i) => 29 - i);
  const given = await pages(folder, limit);
  expect(given.flat()).toEqual(newest.flatMap((n) => [`one-${n}`, `front-1-${n}`]));
  expect(given.slice(0, -1).every((page) => page.length === limit)).toBe(true);
  expect((await pages(folder, limit, ANSWERS)).flat()).toEqual(newest.map((n) => `one-${n}`));
  await recorder.close();
});

it('goes on where it was, whatever is written or deleted meanwhile, and leaves out what is half or no line', async () => {
  const { folder, recorder, door, clock } = await recorded(30);
  const first = await readBackwards(folder, { watch: 'door', limit: 4, kinds: ANSWERS });
  for (let n = 30; n < 40; n++) door.line(answerLine(n, clock));
  await recorder.close();
  const oldest = join(folder, 'door', '00000001');
  await rm(oldest, { recursive: true });
  const second = await readBackwards(folder, { watch: 'door', before: first.next ?? '', limit: 4, kinds: ANSWERS });
  const ids = ({ lines }: typeof first) => lines.map(({ line }) => ('id' in line ? line.id : ''));
  expect([ids(first), ids(second)]).toEqual([
    ['one-29', 'one-28', 'one-27', 'one-26'],
    ['one-25', 'one-24', 'one-23', 'one-22'],
  ]);
  const all = (await pages(folder, 5, ANSWERS)).flat();
  expect(all.at(-1)).not.toBe('one-0');
  const log = join(folder, 'door', first.lines[0]?.segment ?? '', 'log.ndjson');
  await appendFile(log, `hello\n{"kind":"answer"}\n"${'x'.repeat(400_000)}"\n{"kind":"ans`);
  expect((await pages(folder, 5, ANSWERS)).flat().filter((id) => Number(id.slice(4)) < 30)).toEqual(all.filter((id) => Number(id.slice(4)) < 30));
});

it('reads a bounded part of a long log for a page, even where nothing in it is wanted', async () => {
  const { folder, recorder } = await recorded(2);
  await recorder.close();
  const log = join(folder, 'door', '00000001', 'log.ndjson');
  const clock = new TestClock();
  await writeFile(log, `${JSON.stringify(answerLine(7, clock))}\n${`${JSON.stringify({ kind: 'x', pad: 'y'.repeat(1000) })}\n`.repeat(5000)}`);
  expect((await stat(log)).size).toBeGreaterThan(5_000_000);
  const page = await readBackwards(folder, { watch: 'door', limit: 10, kinds: ANSWERS });
  expect(page).toMatchObject({ lines: [], next: expect.any(String) });
  expect((await pages(folder, 10, ANSWERS)).flat()).toEqual(['one-7']);
});

it('finds the picture of a frame, with a wrong place or none to look first, and none of a frame that has none', async () => {
  const { folder, recorder } = await recorded(30);
  await recorder.close();
  for (const segment of [undefined, '00000001', '00000099']) {
    expect(await recordedPicture(folder, 'door', 'front-1-17', segment)).toMatch(/door\/\d{8}\/\d{6}\.jpg$/);
  }
  const paths = await Promise.all([3, 17].map((n) => recordedPicture(folder, 'door', `front-1-${n}`, undefined)));
  expect(new Set(paths).size).toBe(2);
  expect(await recordedPicture(folder, 'door', 'front-1-1717', undefined)).toBeNull();
  expect(await recordedPicture(folder, 'window', 'front-1-17', undefined)).toBeNull();
  expect(await readBackwards(folder, { watch: 'window', limit: 3, kinds: ALL })).toEqual({ lines: [], next: null });
  await expect(readBackwards(folder, { watch: 'door', before: '../x', limit: 3, kinds: ALL })).rejects.toThrow(RangeError);
});
