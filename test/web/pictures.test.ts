import { expect, it } from 'vitest';
import type { Result } from '../../src/mqtt/messages.js';
import { PictureDesk, type Shown } from '../../web/src/pictures.js';
import { counts } from '../support/counts.js';
import { Random } from '../support/random.js';

const result = (watch: string, frame: number, status: Result['status'] = 'ok') =>
  ({
    id: `${watch}-${frame}-${status}`,
    watch,
    status,
    frame: status === 'ok' ? { id: `f-${frame}`, ts: new Date(frame * 1000).toISOString() } : null,
  }) as Result;
const tick = () => new Promise((resolve) => setImmediate(resolve));

function subject({ follows = () => true, waitMs = 50 }: { follows?: () => boolean; waitMs?: number } = {}) {
  const loading: { url: string; done: () => void; fail: () => void }[] = [];
  const seen: Shown[] = [];
  const load = (url: string) =>
    new Promise<void>((resolve, reject) => {
      loading.push({ url, done: resolve, fail: () => reject(new Error('gone')) });
    });
  const desk = new PictureDesk({ camera: 'k', load, onShown: (shown) => seen.push(shown), follows, waitMs });
  return { desk, loading, seen };
}

it('shows an answer when its picture can be painted, and both at once', async () => {
  const { desk, loading, seen } = subject();
  desk.take({ lamp: result('lamp', 1) }, true);
  expect([loading[0]?.url, seen.length]).toEqual(['api/frames/k/f-1.jpg', 0]);
  loading[0]?.done();
  await tick();
  expect(seen.at(-1)).toMatchObject({ picture: { frame: 'f-1' }, results: { lamp: { id: 'lamp-1-ok' } } });
  desk.take({ lamp: result('lamp', 2) }, true);
  desk.take({ lamp: result('lamp', 3) }, true); // came while the picture of 2 was on its way
  loading[1]?.done();
  await tick();
  expect(seen.at(-1)).toMatchObject({ picture: { frame: 'f-2' }, results: { lamp: { id: 'lamp-2-ok' } } });
  loading[2]?.done();
  await tick();
  expect(seen.at(-1)).toMatchObject({ picture: { frame: 'f-3' }, results: { lamp: { id: 'lamp-3-ok' } } });
  desk.close();
});

it('shows an answer alone when its picture is gone or late, and the picture that stays is another', async () => {
  const { desk, loading, seen } = subject();
  desk.take({ lamp: result('lamp', 1) }, true);
  loading[0]?.done();
  await tick();
  desk.take({ lamp: result('lamp', 2) }, true);
  loading[1]?.fail();
  await tick();
  expect(seen.at(-1)).toMatchObject({ picture: { frame: 'f-1' }, results: { lamp: { id: 'lamp-2-ok' } } });
  expect(loading).toHaveLength(2); // it is not asked for again
  desk.take({ lamp: result('lamp', 3) }, true);
  await new Promise((resolve) => setTimeout(resolve, 80));
  expect(seen.at(-1)).toMatchObject({ picture: { frame: 'f-1' }, results: { lamp: { id: 'lamp-3-ok' } } });
  loading[2]?.done();
  await tick();
  expect(seen.at(-1)).toMatchObject({ picture: { frame: 'f-3' } });
  desk.take({ lamp: result('lamp', 3, 'stale') }, true);
  expect(seen.at(-1)?.results.lamp?.status).toBe('stale'); // what is not known any more is told at once
  desk.close();
});

it('lets pictures stand still until somebody asks, and shows none where they are off', async () => {
  const { desk, loading, seen } = subject({ follows: () => false });
  desk.take({ lamp: result('lamp', 1) }, true);
  loading[0]?.done(); // the first
  await tick();
  desk.take({ lamp: result('lamp', 2) }, true);
  expect([loading.length, seen.at(-1)?.picture?.frame, seen.at(-1)?.results.lamp?.id]).toEqual([1, 'f-1', 'lamp-2-ok']);
  desk.ask();
  loading[1]?.done();
  await tick();
  expect(seen.at(-1)?.picture?.frame).toBe('f-2');
  desk.take({ lamp: result('lamp', 2) }, false);
  expect(seen.at(-1)?.picture).toBeNull();
  desk.close();
});

it('never shows an answer before its picture, unless that is gone, and holds nothing back at the end, in any order of events', async () => {
  const number = (frame: string | undefined) => Number(frame?.slice(2) ?? 0);
  for (let round = 0; round < counts(50, 1000); round++) {
    const random = new Random(round);
    const { desk, loading, seen } = subject({ waitMs: 1e6 });
    const newest: Record<string, Result> = {};
    const painted = new Set<string>();
    let [frame, answered, gone, checked] = [1, 0, 0, 0];
    const finish = async (isThere: boolean) => {
      const { url = '', done, fail } = loading[answered++] ?? {};
      const id = url.slice('api/frames/k/'.length, -'.jpg'.length);
      if (isThere) painted.add(id);
      else gone = Math.max(gone, number(id));
      if (isThere) done?.();
      else fail?.();
      await tick();
    };
    const check = () => {
      for (const { picture, results } of seen.slice(checked)) {
        if (picture !== null) expect(painted).toContain(picture.frame);
        for (const one of Object.values(results)) expect(number(one.frame?.id)).toBeLessThanOrEqual(Math.max(number(picture?.frame), gone));
      }
      checked = seen.length;
    };
    for (let step = 0; step < 40; step++) {
      const choice = random.below(10);
      if (choice < 5) {
        frame += random.below(2);
        const watch = random.pick(['lamp', 'door']);
        newest[watch] = result(watch, frame);
        desk.take({ ...newest }, true);
      } else if (answered < loading.length) await finish(choice < 9);
      check();
    }
    while (answered < loading.length) await finish(true);
    check();
    expect(desk.shown.results).toEqual(newest);
    desk.close();
  }
});
