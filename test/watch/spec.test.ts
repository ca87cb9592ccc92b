/** Settings of a watch that must fit each other: an error names all of them, with what stands there by default. */
import { describe, expect, it } from 'vitest';
import { answerSpecSchema, watchSpecSchema } from '../../src/watch/spec.js';

const SPEC = { camera: 'front', question: 'Is the door open?' };

describe('a watch whose settings contradict each other', () => {
  it.each([
    [{ ttl_ms: 5000 }, 'ttl_ms', ['ttl_ms is 5000', 'reask_ms is 10000 (the default)']],
    [{ reask_ms: 40_000 }, 'ttl_ms', ['ttl_ms is 30000 (the default)', 'reask_ms is 40000']],
    [{ ttl_ms: 5000, reask_ms: 6000 }, 'ttl_ms', ['ttl_ms is 5000', 'reask_ms is 6000']],
    [{ interval_ms: 20_000 }, 'reask_ms', ['reask_ms is 10000 (the default)', 'interval_ms is 20000']],
    [{ reask_ms: 500 }, 'reask_ms', ['reask_ms is 500', 'interval_ms is 1000 (the default)']],
    [{ cooldown_ms: 30_000 }, 'ttl_ms', ['ttl_ms is 30000 (the default)', 'cooldown_ms is 30000']],
    [{ keep_confidence: 0.5 }, 'keep_confidence', ['keep_confidence is 0.5', 'min_confidence is 0 (the default)']],
    [{ agreement: { n: 2 } }, 'agreement.n', ['n is 2', 'of is 1 (the default)']],
    [{ off: { agreement: { n: 2 } } }, 'off.agreement.n', ['n is 2', 'of is 1 (the default)']],
    [{ events: { quiet: [{ from: '22:00', to: '22:00' }] } }, 'events.quiet.0.to', ['a whole day is 00:00 to 24:00', 'from is 22:00', 'to is 22:00']],
    [{ crop: { x: 0.3 } }, 'crop.width', ['x is 0.3', 'width is 1 (the default)']],
    [{ crop: { y: 0.3, height: 0.8 } }, 'crop.height', ['y is 0.3', 'height is 0.8']],
    [{ answer: { type: 'number', min: 5, max: 4 } }, 'answer.max', ['min is 5', 'max is 4']],
    [{ answer: { type: 'number', min: 0.2, max: 0.4 } }, 'answer.max', ['min is 0.2', 'max is 0.4', 'decimals is 0 (the default)']],
  ])('%j', (more, path, words) => {
    const issues = watchSpecSchema.safeParse({ ...SPEC, ...more }).error?.issues ?? [];
    const issue = issues.find((each) => each.path.join('.') === path);
    for (const word of words) expect(issue?.message).toContain(word);
    expect(issue?.message.match(/\(the default\)/g)?.length ?? 0).toBe(words.filter((word) => word.includes('default')).length);
  });

  it.each([
    [{ answer: { type: 'text' }, off: {} }, 'off', 'off for a boolean only; answer.type is text'],
    [{ min_confidence: 0.9, off: { min_confidence: 0.4, keep_confidence: 0.5 } }, 'off.keep_confidence', 'come to 0.5 and 0.4'],
    [{ min_confidence: 0.9, keep_confidence: 0.8, off: { keep_confidence: 0.95 } }, 'off.keep_confidence', 'come to 0.95 and 0.9'],
    [{ off: { n: 2 } }, 'off', 'Unrecognized key'],
    [{ events: { cooldown_ms: 5 } }, 'events', 'Unrecognized key'],
    [{ events: { for_ms: -1 } }, 'events.for_ms', 'Too small'],
    [{ events: { remind_ms: 0 } }, 'events.remind_ms', 'Too small'],
    [{ events: { quiet: [{ from: '7:00', to: '08:00' }] } }, 'events.quiet.0.from', 'a time from 00:00 to 23:59'],
    [{ events: { quiet: [{ from: '24:00', to: '08:00' }] } }, 'events.quiet.0.from', 'a time from 00:00 to 23:59'],
    [{ events: { quiet: [{ from: '07:00', to: '24:01' }] } }, 'events.quiet.0.to', 'a time from 00:00 to 24:00'],
    [{ events: { quiet: [{ from: '07:00', to: '08:00', days: ['monday'] }] } }, 'events.quiet.0.days.0', 'Invalid option'],
    [{ events: { quiet: [{ from: '07:00', to: '08:00', days: [] }] } }, 'events.quiet.0.days', 'Too small'],
    [{ events: { quiet: [{ from: '07:00', to: '08:00', days: ['mon', 'mon'] }] } }, 'events.quiet.0.days', 'each day once'],
    [{ events: { quiet: Array.from({ length: 17 }, () => ({ from: '07:00', to: '08:00' })) } }, 'events.quiet', 'Too big'],
    [{ events: { confirm: { question: ' ' } } }, 'events.confirm.question', 'a question in words'],
    [{ events: { confirm: {} } }, 'events.confirm.question', 'expected string'],
    [{ events: { confirm: { question: 'Why?', after_ms: 600_001 } } }, 'events.confirm.after_ms', 'Too big'],
    [{ compare: {} }, 'compare', 'ago_ms or event, one of them'],
    [{ compare: { ago_ms: 5000, event: 'door' } }, 'compare', 'ago_ms or event, not both'],
    [{ compare: { ago_ms: 999 } }, 'compare.ago_ms', 'Too small'],
    [{ compare: { ago_ms: 604_800_001 } }, 'compare.ago_ms', 'Too big'],
    [{ compare: { event: 'Door' } }, 'compare.event', 'an id of lower-case letters'],
    [{ compare: { ago_ms: 5000, since: 'door' } }, 'compare', 'Unrecognized key'],
  ])('rules that are none: %j', (more, path, words) => {
    const issues = watchSpecSchema.safeParse({ ...SPEC, ...more }).error?.issues ?? [];
    expect(issues.map((each) => each.path.join('.'))).toEqual([path]);
    expect(issues[0]?.message).toContain(words);
  });

  it('takes rules for events, which hold nothing back by default', () => {
    expect(watchSpecSchema.parse(SPEC).events).toEqual({ for_ms: 0, gap_ms: 0, quiet: [] });
    const events = {
      for_ms: 86_400_000,
      gap_ms: 1,
      remind_ms: 604_800_000,
      quiet: [
        { from: '00:00', to: '24:00', days: ['sun'] },
        { from: '23:59', to: '00:00' },
      ],
      confirm: { question: 'Is it a person?', expect: false, min_confidence: 0.5, after_ms: 0 },
    };
    expect(watchSpecSchema.parse({ ...SPEC, events }).events).toEqual(events);
    expect(watchSpecSchema.parse({ ...SPEC, min_confidence: 0.8, off: { min_confidence: 0.5 } }).off).toEqual({ min_confidence: 0.5 });
  });

  it.each([{ ago_ms: 1000 }, { ago_ms: 604_800_000 }, { event: 'door' }])('compares with %j', (compare) => {
    expect(watchSpecSchema.parse({ ...SPEC, compare }).compare).toEqual(compare);
  });

  const LEFT = [
    [0, 0],
    [0.4, 0],
    [0.4, 1],
    [0, 1],
  ];
  it.each([
    [{ zone: [] }, 'zone', 'Too small'],
    [{ zone: [LEFT], ignore: [LEFT] }, 'zone', 'a zone of which something is left within the crop and outside ignore'],
    [{ zone: [LEFT], crop: { x: 0.5, width: 0.5 } }, 'zone', 'a zone of which something is left'],
    [{ ignore: [LEFT], crop: { width: 0.3 } }, 'ignore', 'polygons that leave something of the crop'],
    [{ zone: [LEFT.slice(2)] }, 'zone.0', 'Too small'],
    [{ zone: [[...LEFT.slice(0, 2), [0.2, 0]]] }, 'zone.0', 'points that do not lie on one line'],
    [{ ignore: [[...LEFT.slice(0, 2), [0.2, 2]]] }, 'ignore.0.2.1', 'Too big'],
    [{ ignore: Array.from({ length: 33 }, () => LEFT) }, 'ignore', 'Too big'],
  ])('a zone that is none, or leaves nothing: %j', (more, path, words) => {
    const issues = watchSpecSchema.safeParse({ ...SPEC, ...more }).error?.issues ?? [];
    expect(issues.map((each) => each.path.join('.'))).toEqual([path]);
    expect(issues[0]?.message).toContain(words);
  });

  it('takes zones that leave something', () => {
    for (const more of [
      { zone: [LEFT] },
      { ignore: [] },
      { zone: [LEFT], ignore: [LEFT.map(([x = 0, y = 0]) => [x / 2, y])], crop: { x: 0.3, width: 0.5 } },
    ])
      expect(watchSpecSchema.parse({ ...SPEC, ...more })).toMatchObject(more);
  });

  it('has the defaults that the errors name', () => {
    expect(watchSpecSchema.parse(SPEC)).toMatchObject({ interval_ms: 1000, reask_ms: 10_000, ttl_ms: 30_000, cooldown_ms: 0, min_confidence: 0 });
    expect(answerSpecSchema.parse({ type: 'number', min: 0, max: 1 })).toMatchObject({ decimals: 0 });
  });
});
