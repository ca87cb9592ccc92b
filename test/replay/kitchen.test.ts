/** mipha-nano before the synthetic kitchen, recorded to a disk and replayed: what flips and the score are those of a count made independently. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Scene } from '../../src/camera/kitchen.js';
import { Mipha } from '../../src/index.js';
import { addLabels, readLabels } from '../../src/record/labels.js';
import { readRecord } from '../../src/record/read.js';
import { page } from '../../src/replay/page.js';
import { type ReplayOptions, replay } from '../../src/replay/replay.js';
import type { ReplayReport } from '../../src/replay/report.js';
import type { EventRules, WatchSpec } from '../../src/watch/spec.js';
import { counts } from '../support/counts.js';
import { NANO } from '../support/nano.js';
import { spec } from '../watch/stage.js';
import { type KitchenDay, recordKitchen } from './kitchen-day.js';

const SCENES = counts(40, 300);

let folder: string;
let mipha: Mipha;
let scenes: KitchenDay['scenes'];
let events: KitchenDay['events'];

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'mipha-replay-'));
  mipha = await Mipha.load(NANO);
  ({ scenes, events } = await recordKitchen(folder, mipha, SCENES));
}, 300_000);
afterAll(async () => {
  await mipha?.dispose();
  rmSync(folder, { recursive: true, force: true });
});

async function again(options: Partial<ReplayOptions> = {}, record = folder): Promise<ReplayReport> {
  const unasked = () => Promise.reject(new Error('nothing needs to be asked'));
  const { labels } = await readLabels(record, 'lamp');
  return await replay({
    watch: 'lamp',
    lines: readRecord(record, { watch: 'lamp' }),
    labels,
    change: (before) => before,
    revision: mipha.revision,
    model: unasked,
    ...options,
  });
}

it('with the settings on record nothing is asked, nothing flips, and the events are those of the day', async () => {
  const report = await again();
  expect(events.length).toBeGreaterThan(2);
  expect(report).toMatchObject({ computed: 0, flipped: 0, onlyBefore: [], onlyNow: [], lives: 1, damaged: 0, missingPictures: 0, labels: null });
  expect(report.events).toEqual({ before: events.length, now: events.length });
  expect(report.questions.now).toBe(report.questions.before);
  expect(report.compared).toBeGreaterThanOrEqual(SCENES / 2);
});

it('another question is asked about the recorded pictures; what flips is what differs', async () => {
  const report = await again({ change: (before) => ({ ...before, question: 'Is the door open?' }), model: async () => mipha });
  expect(report.computed).toBeGreaterThan(10);
  expect(report.flipped).toBeGreaterThan(0);
  expect(report.flips).toHaveLength(report.flipped);
  for (const { frame, picture, before, now } of report.flips) {
    const { lampOn, doorOpen } = scenes.get(frame) as Scene;
    expect(picture).toMatch(/\.jpg$/);
    expect(before.value).not.toBe(now.value);
    expect([before.value, now.value]).toEqual([lampOn, doorOpen]); // mipha-nano is right about both
  }
  const html = page(report, ['question=Is the door <b>open</b>?'], new Map([[report.flips[0]?.frame ?? '', 'pictures/a.jpg']]));
  expect(html).not.toContain('<b>');
  expect(html).not.toContain('<script');
  expect(html).toContain('src="pictures/a.jpg"');
});

it('stricter rules for the value make fewer events, or later ones, and ask nothing new', async () => {
  const report = await again({ change: (before) => ({ ...before, agreement: { n: 2, of: 3 } }) });
  expect(report.computed).toBe(0);
  expect(report.events.now).toBeLessThanOrEqual(report.events.before);
  expect(report.events.now).toBeGreaterThan(0); // a picture that stands still is asked about again
});

describe('with a second question', () => {
  const { events: rules } = spec({ events: { confirm: { question: 'Is the door open?' } } });
  let record: string;
  let day: KitchenDay;
  beforeAll(async () => {
    record = mkdtempSync(join(tmpdir(), 'mipha-replay-confirm-'));
    day = await recordKitchen(record, mipha, SCENES, { events: rules });
  }, 300_000);
  afterAll(() => rmSync(record, { recursive: true, force: true }));

  it('answers to both are those on record, and what they hold back is counted', async () => {
    const report = await again({}, record);
    for (const event of day.events) {
      const [type, frame = ''] = event.split(' ');
      if (type === 'triggered') expect(day.scenes.get(frame)).toMatchObject({ lampOn: true, doorOpen: true });
    }
    expect(report).toMatchObject({ computed: 0, onlyBefore: [], onlyNow: [], events: { before: day.events.length, now: day.events.length } });
    expect(report.questions.now).toBe(report.questions.before);
    expect(report.suppressed.before.unconfirmed).toBeGreaterThan(0);
    expect(report.suppressed.now).toEqual(report.suppressed.before);
    expect(page(report, [], new Map())).toContain(`unconfirmed<td>${report.suppressed.now.unconfirmed} on record`);
  });

  it('other words are asked now, about the recorded pictures; the other answer is mostly on record', async () => {
    const change = (confirm: object) => (before: WatchSpec) => ({
      ...before,
      events: { ...rules, confirm: { ...rules.confirm, ...confirm } } as EventRules,
    });
    const model = async () => mipha;
    const words = await again({ model, change: change({ question: 'Is the lamp on?' }) }, record);
    expect(words.suppressed.now.unconfirmed).toBe(0); // it says the same twice
    expect(words.computed).toBeGreaterThan(0);
    const opposite = await again({ model, change: change({ expect: false }) }, record);
    expect(opposite.computed).toBeLessThan(opposite.questions.now / 10);
    expect(opposite.onlyNow.length).toBeGreaterThan(0);
    for (const { type, frame } of opposite.onlyNow) {
      if (type === 'triggered') expect(day.scenes.get(frame ?? '')).toMatchObject({ lampOn: true, doorOpen: false });
    }
  });
});

describe('with labels drawn from what the scenes show', () => {
  it('precision, recall and the best threshold are those of a count', async () => {
    const judged: { id: string; observed: boolean; confidence: number; open: boolean }[] = [];
    for await (const { line } of readRecord(folder, { watch: 'lamp' })) {
      if (line.kind !== 'answer' || line.status !== 'ok' || line.frame === null) continue;
      judged.push({
        ...{ id: line.id, observed: line.observed as boolean, confidence: line.confidence ?? 1 },
        open: (scenes.get(line.frame) as Scene).doorOpen, // as if the watch had meant the door
      });
    }
    const at = '2026-03-02T00:00:00.000Z';
    const labels = judged.map(({ id, observed, open }) => ({ answer: id, verdict: observed === open ? ('right' as const) : ('wrong' as const), at }));
    expect(await addLabels(folder, 'lamp', labels)).toEqual({ unknown: [] });
    const { labels: report } = await again({ missCost: 3 });
    const count = (test: (each: (typeof judged)[number]) => boolean) => judged.filter(test).length;
    const [hits, falseAlarms, misses] = [
      count(({ observed, open }) => observed && open),
      count(({ observed, open }) => observed && !open),
      count(({ observed, open }) => !observed && open),
    ];
    expect(falseAlarms).toBeGreaterThan(0);
    expect(misses).toBeGreaterThan(0);
    const score = { labelled: judged.length, undecided: 0, hits, falseAlarms, misses };
    const shares = { precision: hits / (hits + falseAlarms), recall: hits / (hits + misses) };
    expect(report?.score.before).toEqual({ ...score, ...shares });
    expect(report?.score.now).toEqual({ ...score, ...shares });
    const costAt = (least: number) =>
      count(({ observed, confidence, open }) => observed && confidence >= least && !open) +
      3 * count(({ observed, confidence, open }) => open && !(observed && confidence >= least));
    const least = Math.min(costAt(2), ...judged.map(({ confidence }) => costAt(confidence)));
    expect(report?.best.cost).toBe(least);
    expect(costAt(report?.best.minConfidence ?? 2)).toBe(least);
  });
});
