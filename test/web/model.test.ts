import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import type { Health, Result } from '../../src/mqtt/messages.js';
import { watchSpecSchema } from '../../src/watch/spec.js';
import { BELIEVED, CONFIRM, CROP, DUTY, GENERAL, OFF, PICTURE, TOLD, WHEN } from '../../web/src/fields.js';
import { type Hello, Model } from '../../web/src/model.js';
import { fresh, moved, type Polygon, split, without } from '../../web/src/polygons.js';
import { changesOf, nested, specOf, withValue } from '../../web/src/spec.js';
import { ageWords, changeWords, durationWords, percent, valueWords } from '../../web/src/words.js';

const hello = (session: string): Hello => ({ node: 'n', session, version: '1', role: 'operator', now: 0 });
const health = (second: number) =>
  ({
    ts: new Date(second * 1000).toISOString(),
    latency_ms: { p50: second, p95: 2, p99: 3 },
    engine: { busy_ratio: 0.5 },
    memory: { rss_bytes: 1 },
    temperature_c: { cpu: 40, gpu: 50 },
  }) as unknown as Health;

describe('the model', () => {
  it('knows the newest of each topic, and forgets what is empty', () => {
    const model = new Model();
    let changes = 0;
    const end = model.subscribe(() => changes++);
    model.begin(hello('a'));
    model.take({ topic: 'watch/lamp/result', payload: { id: '1' } });
    model.take({ topic: 'watch/lamp/result', payload: { id: '2' } as Partial<Result> });
    model.take({ topic: 'alert/cameras', payload: { v: 1, ts: 't', level: 'URGENT', message: 'm' } });
    model.take({ topic: 'camera/front/motion', payload: 'ON' });
    expect([model.result('lamp')?.id, model.alerts, model.moves('front'), model.cameraStatus('front')]).toEqual([
      '2',
      [{ id: 'cameras', v: 1, ts: 't', level: 'URGENT', message: 'm' }],
      true,
      null,
    ]);
    model.take({ topic: 'alert/cameras', payload: '' });
    expect(model.alerts).toEqual([]);
    expect(changes).toBe(6);
    end();
    model.begin(hello('a'));
    expect([model.result('lamp'), changes]).toEqual([null, 6]);
  });

  it('stays as large as it is, however long it is open', () => {
    const model = new Model();
    model.begin(hello('a'));
    for (let i = 0; i < 10_000; i++) {
      model.take({ topic: 'watch/lamp/event', payload: { id: `e${i}` } });
      model.take({ topic: 'log', payload: { msg: `m${i}` } });
      model.take({ topic: `made-up/${i}`, payload: 'x' });
      model.take({ topic: 'health', payload: health(i) });
    }
    expect([model.events.length, model.log.length, model.healths.length]).toEqual([100, 100, 240]);
    expect(model.topics.size).toBeLessThanOrEqual(4097);
    expect(model.events[0]).toMatchObject({ topic: 'watch/lamp/event', id: 'e9999' });
    expect(model.healths.at(-1)).toEqual({ at: 9999, p50: 9999, p95: 2, busy: 0.5, memory: 1, temperature: 50 });
    model.begin(hello('a')); // connected again: the curves go on
    expect([model.events.length, model.healths.length]).toEqual([0, 240]);
    model.begin(hello('b'));
    expect(model.healths.length).toBe(0);
  });
});

describe('words', () => {
  it('say values, shares and times as people do', () => {
    expect([true, false, 3, 'red', null].map(valueWords)).toEqual(['Yes', 'No', '3', 'red', 'not known']);
    expect([1, 0.999, 0.5, 0.001, 0, null].map(percent)).toEqual(['100 %', '99 %', '50 %', '<1 %', '0 %', '–']); // never rounded up
    expect([500, 5000, 120_000].map(ageWords)).toEqual(['just now', '5 s ago', '2 min ago']);
    expect([7_200_000, 30 * 86_400_000].map(durationWords)).toEqual(['2 h', '30 days']);
    expect([changeWords('triggered', false, true), changeWords('reminder', true, true), changeWords('error', true, null)]).toEqual([
      'No → Yes',
      'still Yes',
      'cannot be asked',
    ]);
  });
});

describe('settings', () => {
  const settings = [
    { path: 'watches.door.question', value: 'Q', origin: 'file' },
    { path: 'watches.door.events.gap_ms', value: 0, origin: 'default' },
    { path: 'watches.door.agreement.n', value: 1, origin: 'default' },
    { path: 'watches.door.agreement.of', value: 3, origin: 'file' },
    { path: 'watches.door.ignore', value: null, origin: 'mqtt' }, // what the file says is removed
    { path: 'watches.door-2.question', value: 'other', origin: 'file' },
  ];

  it('are those of one watch, and changes are only what differs', () => {
    const spec = specOf(settings, 'door');
    expect(spec).toEqual({ question: 'Q', events: { gap_ms: 0 }, agreement: { n: 1, of: 3 } });
    const next = withValue(withValue(withValue(spec, 'question', undefined), 'events.gap_ms', 5), 'zone', []);
    expect(changesOf(spec, next)).toEqual({ question: null, 'events.gap_ms': 5, zone: [] });
    expect(nested(changesOf(spec, next))).toEqual({ question: null, events: { gap_ms: 5 }, zone: [] });
    expect(changesOf(spec, { ...spec })).toEqual({});
  });

  it('come and go as whole parts, and parts of them alone', () => {
    const off = withValue(specOf(settings, 'door'), 'off', {});
    expect(changesOf(specOf(settings, 'door'), off)).toEqual({ off: {} });
    const full = withValue(withValue(off, 'off.agreement.n', 2), 'off.min_confidence', 0.5);
    expect(changesOf(off, full)).toEqual({ 'off.agreement': { n: 2 }, 'off.min_confidence': 0.5 });
    expect(withValue(full, 'off.agreement.n', undefined)).toEqual(withValue(off, 'off.min_confidence', 0.5));
    expect(changesOf(full, withValue(full, 'off', undefined))).toEqual({ off: null });
    const ago = withValue(full, 'compare', { ago_ms: 5000 });
    expect(nested(changesOf(ago, withValue(ago, 'compare', { event: 'visitor' })))).toEqual({ compare: { ago_ms: null, event: 'visitor' } });
  });

  it('all have a place in the editor of a watch', () => {
    const places = [
      ...[GENERAL, WHEN, DUTY, BELIEVED, OFF, TOLD, CONFIRM, CROP, PICTURE].flat().map(({ path }) => path),
      ...['question', 'answer', 'zone', 'ignore', 'events.quiet', 'events.confirm.question', 'compare.ago_ms', 'compare.event'], // components of their own
    ];
    expect(places.sort()).toEqual(leavesOf(z.toJSONSchema(watchSpecSchema, { io: 'input' }) as Schema, '').sort());
  });
});

describe('polygons', () => {
  const square: Polygon = [
    [0, 0],
    [1, 0],
    [1, 1],
    [0, 1],
  ];
  it('are moved within the picture, split and taken away, and stay polygons', () => {
    expect(moved([square], 0, 2, [1.2, -3])).toEqual([
      [
        [0, 0],
        [1, 0],
        [1, 0],
        [0, 1],
      ],
    ]);
    expect(split([square], 0, 3)[0]?.[4]).toEqual([0, 0.5]);
    let many = [square];
    for (let i = 0; i < 100; i++) many = split(many, 0, 0);
    expect(many[0]?.length).toBe(32);
    expect(without(without([square, square], 0, 0), 0, 0)).toEqual([square]);
    expect(fresh(0)).toHaveLength(4);
    expect(fresh(1)).not.toEqual(fresh(0));
  });
});

interface Schema {
  properties?: Record<string, Schema>;
}

/** Settings of a schema; a list or a choice of kinds is one. */
function leavesOf({ properties }: Schema, path: string): string[] {
  if (properties === undefined) return [path];
  return Object.entries(properties).flatMap(([key, inner]) => leavesOf(inner, path === '' ? key : `${path}.${key}`));
}
