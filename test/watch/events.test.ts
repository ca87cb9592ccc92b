/** What of a watch's outcomes is told as an event, and when. */
import { describe, expect, it } from 'vitest';
import { Desk, NOON, type Rules, type Seen } from './desk.js';

const MIDNIGHT = { from: '22:00', to: '06:30' };

const told = (...outcomes: Seen[]) => {
  const desk = new Desk();
  return outcomes.map((given) => {
    desk.log.length = 0;
    desk.see(given);
    return desk.log[0]?.slice(2) ?? null;
  });
};

describe('without rules', () => {
  it('the first value is none, each other one is', () => {
    expect(told(true, true, false, false, true)).toEqual([null, null, 'cleared true', null, 'triggered false']);
    expect(told('one', 'two', 2)).toEqual([null, 'changed one', 'changed two']);
  });

  it('a value that comes back after an outage is none, another one is', () => {
    expect(told(true, null, true, null, false)).toEqual([null, null, null, null, 'cleared true']);
  });

  it('an error is told once, until something is answered or expires', () => {
    expect(told('broken', 'broken', true, 'broken', null, 'broken')).toEqual(['error null', null, null, 'error true', null, 'error true']);
  });

  it('nothing waits and nothing is held', () => {
    expect(new Desk().see(true).see(false).see('broken').idle).toBe(true);
  });
});

describe('for_ms', () => {
  it('tells a value when it has stood for so long, with the last answer that spoke for it', () => {
    const desk = new Desk({ for_ms: 5000 }).see(false).until(10).see(true).until(13).see(true).until(14).see(true, { observed: false }).until(60);
    expect(desk.log).toEqual(['15 triggered false']);
    expect(desk.told[0]?.outcome.frame?.id).toBe('f-3');
    expect(desk.told[0]?.frame?.id).toBe('f-3');
    expect(desk.idle).toBe(true);
  });

  it('counts what did not stand', () => {
    const desk = new Desk({ for_ms: 5000 }).see('a').until(1).see('b').until(4).see('c').until(8).see('a').until(9).see('b').until(10).see(null);
    expect(desk.log).toEqual(['4 for: changed', '8 for: changed', '10 for: changed']);
    expect(desk.events.suppressed).toEqual({ for: 3, quiet: 0, gap: 0, unconfirmed: 0 });
    expect(desk.idle).toBe(true);
  });

  it('begins anew after an outage: nobody knows what was between', () => {
    const desk = new Desk({ for_ms: 5000 }).see(false).until(1).see(true).until(4).see(null).until(5).see(true).until(60);
    expect(desk.log).toEqual(['4 for: triggered', '10 triggered false']);
  });

  it('does not tell what has expired', () => {
    const desk = new Desk({ for_ms: 5000 }).see(false).until(1).see(true, { ttlS: 3 }).until(60);
    expect(desk.log).toEqual([]);
    expect(desk.see(null).log).toEqual(['60 for: triggered']);
  });

  it('is kept by a process too busy for its timers', () => {
    const desk = new Desk({ for_ms: 5000 }).see(false).until(1).see(true);
    desk.clock.now = () => 7000;
    desk.see(false);
    expect(desk.log).toEqual(['7 triggered false']); // it had stood for six seconds; that it is over has to stand first
  });

  it('holds one frame, the newest, and none when it is over', () => {
    const desk = new Desk({ for_ms: 5000 }).see(false);
    expect(desk.held).toBe(0);
    for (let second = 1; second < 5; second++) desk.until(second).see(true);
    expect(desk.held).toBe(1);
    expect(desk.until(60).held).toBe(0);
  });
});

describe('gap_ms', () => {
  it('tells at its end what is true then, if that differs from what was told', () => {
    const desk = new Desk({ gap_ms: 60_000 }).see(false).until(1).see(true).until(5).see(false).until(10).see(true).until(20).see(false).until(300);
    expect(desk.log).toEqual(['1 triggered false', '5 gap: cleared', '20 gap: cleared', '61 cleared true']);
  });

  it('says nothing when all is as it was told', () => {
    const desk = new Desk({ gap_ms: 60_000 }).see(false).until(1).see(true).until(5).see(false).until(10).see(true).until(300);
    expect(desk.log).toEqual(['1 triggered false', '5 gap: cleared']);
  });

  it('is another for errors', () => {
    const desk = new Desk({ gap_ms: 60_000 }).see(false).until(1).see(true).see('broken').until(2).see(true).until(3).see('broken').until(99);
    expect(desk.log).toEqual(['1 triggered false', '1 error true', '3 gap: error', '61 error true']);
  });
});

describe('remind_ms', () => {
  it('reminds once, of a boolean only of true', () => {
    const desk = new Desk({ remind_ms: 60_000 }).see(true).until(100).see(false).until(300).see(true).until(350).see(true).until(999).see(false);
    expect(desk.until(2000).log).toEqual(['100 cleared true', '300 triggered false', '360 reminder true', '999 cleared true']);
    expect(desk.told[2]).toMatchObject({ previous: true, outcome: { value: true }, frame: { id: 'f-4' } });
    expect(desk.idle).toBe(true);
  });

  it('reminds of every value of other types, after an event only', () => {
    const desk = new Desk({ remind_ms: 60_000 }).see('a').until(100).see('b').until(999);
    expect(desk.log).toEqual(['100 changed a', '160 reminder b']);
  });

  it('waits for a value that is not known just then, and goes with one that was not told', () => {
    const rules = { remind_ms: 60_000, for_ms: 10_000 };
    const desk = new Desk(rules).see(false).see(true).until(50).see(null).until(90).see(true).until(99);
    expect(desk.log).toEqual(['10 triggered false', '90 reminder true']);
    const flicker = new Desk(rules).see(false).see(true).until(68).see(false).until(73).see(true).until(99);
    expect(flicker.log).toEqual(['10 triggered false', '73 for: cleared', '73 reminder true']);
  });
});

describe('quiet', () => {
  const NIGHT = Date.parse('2026-06-10T23:00:00Z');
  const END = 7.5 * 3600;

  it('tells at its end what is true then, if that differs from what was told', () => {
    const desk = new Desk({ quiet: [MIDNIGHT] }, NIGHT).see(false).until(10).see(true).until(20).see(false).until(30).see(true).until(999).see(true);
    expect(desk.until(END - 1).log).toEqual(['10 quiet: triggered', '30 quiet: triggered']);
    desk.until(END + 999);
    expect(desk.log.slice(2)).toEqual([`${END} triggered false`]);
    expect(desk.told[0]?.outcome.frame?.id).toBe('f-5');
  });

  it('says nothing of what was over by then, or is not known any more', () => {
    expect(new Desk({ quiet: [MIDNIGHT] }, NIGHT).see(false).until(10).see(true).until(20).see(false).until(99_999).log).toEqual([
      '10 quiet: triggered',
    ]);
    expect(new Desk({ quiet: [MIDNIGHT] }, NIGHT).see(false).until(10).see(true, { ttlS: 60 }).until(99_999).log).toEqual(['10 quiet: triggered']);
  });

  it('holds back errors and reminders too', () => {
    const rules = { quiet: [MIDNIGHT], remind_ms: 60_000 };
    const desk = new Desk(rules, NIGHT - 3_630_000).see(false).see(true).until(40).see('broken').until(99_999);
    expect(desk.log).toEqual(['0 triggered false', '40 quiet: error', '60 quiet: reminder', '30630 error true', '30630 reminder true']);
  });

  it('follows a wall clock that jumps, within a minute', () => {
    const desk = new Desk({ quiet: [MIDNIGHT] }, NIGHT).see(false).until(10).see(true).until(100);
    desk.clock.setDate(new Date('2026-06-11T12:00:00Z'), 100_000);
    expect(desk.until(170).log).toEqual(['10 quiet: triggered', '130 triggered false']);
  });

  it('and a gap are counted each', () => {
    const rules = { quiet: [{ from: '12:01', to: '12:04' }], gap_ms: 120_000 };
    const desk = new Desk(rules, NOON - 10_000).see('a').see('b').until(20).see('c').until(999);
    expect(desk.log).toEqual(['0 changed a', '20 gap: changed', '120 quiet: changed', '250 changed b']);
  });
});

describe('a week in which the clock is changed', () => {
  const CHANGES = [
    ['Europe/Berlin', '2026-03-26', [23, 24]],
    ['Europe/Berlin', '2026-10-22', [24, 25]],
    ['America/New_York', '2026-03-05', [23, 24]],
    ['America/New_York', '2026-10-29', [24, 25]],
    ['Australia/Lord_Howe', '2026-04-02', [24, 24.5]],
    ['America/Sao_Paulo', '2018-11-01', [23, 24]],
    ['Africa/Cairo', '2026-04-21', [23, 24]],
  ] as const;

  it.each(CHANGES)('%s from %s: each morning at 06:30 by the clock on the wall what is true then is told, once', (zone, day, lengths) => {
    const begin = Date.parse(`${day}T00:00:00Z`);
    const desk = new Desk({ quiet: [MIDNIGHT], remind_ms: 3_600_000 }, begin, zone);
    const clock = new Intl.DateTimeFormat('en-GB', { timeZone: zone, weekday: 'short', hour: '2-digit', minute: '2-digit' });
    const shown = (second: number) => clock.format(begin + second * 1000);
    const night: [string, boolean] = ['23:00', true];
    const rest: [string, boolean][] = [
      ['07:15', false],
      ['12:00', true],
      ['12:10', false],
    ];
    for (let minute = 0; minute < 7 * 1440; minute++) {
      desk.until(minute * 60);
      const given = [night, ...rest].find(([time]) => shown(minute * 60).endsWith(time));
      if (given !== undefined) desk.see(given[1]);
    }
    const at = desk.log.map((line) => [shown(Number.parseInt(line, 10)), line.slice(line.indexOf(' ') + 1)] as const);
    const events = at.filter(([, what]) => !what.includes(':'));
    const days = Array.from({ length: 5 }, (_, index) => shown((index + 1.5) * 86_400).slice(0, 3));
    for (const name of days) {
      const mine = events.filter(([when]) => when.startsWith(name)).map(([when, what]) => `${when.slice(-5)} ${what}`);
      expect(mine).toEqual(['06:30 triggered false', '07:15 cleared true', '12:00 triggered false', '12:10 cleared true']);
    }
    expect(at.filter(([, what]) => what.includes(':')).every(([when, what]) => when.endsWith('23:00') && what === 'quiet: triggered')).toBe(true);
    const mornings = desk.log.filter((line) => shown(Number.parseInt(line, 10)).endsWith('06:30')).map((line) => Number.parseInt(line, 10) / 3600);
    const hours = mornings.slice(1).map((hour, index) => hour - (mornings[index] as number));
    expect([...new Set(hours)].sort()).toEqual(lengths);
  });
});

describe('confirm', () => {
  const confirm = { question: 'Is it a person, not a dog?' };

  it('tells a value when the second question agrees, and with what confidence', () => {
    const desk = new Desk({ confirm }).see(false).until(5).see(true);
    expect([desk.log, desk.wanted]).toEqual([[], 1]);
    expect(desk.opine(true)).toBe(true);
    expect(desk.log).toEqual(['5 triggered false']);
    expect(desk.told[0]?.confirmation).toMatchObject({ confidence: 0.75, frame: 'f-3' });
    expect(desk.until(6).see(false).log[1]).toBe('6 cleared true'); // without one
    expect(desk.idle).toBe(true);
  });

  it('asks again at the next answer when it did not agree, and counts that once', () => {
    const desk = new Desk({ confirm }).see(false).until(5).see(true);
    desk.opine(false);
    expect(desk.opine(true)).toBe(false); // about the same answer once only
    for (const second of [6, 7]) expect(desk.until(second).see(true).opine(false)).toBe(true);
    desk.until(8).see(true, { observed: false });
    expect(desk.opine(true)).toBe(false); // that answer spoke against the value
    expect(desk.until(9).see(true).opine(true)).toBe(true);
    expect(desk.log).toEqual(['5 unconfirmed: triggered', '9 triggered false']);
  });

  it('is asked about a frame of later, where it shall be', () => {
    const desk = new Desk({ confirm: { ...confirm, after_ms: 3000 } }).see(false).until(5).see(true);
    for (const second of [5, 7.9]) expect(desk.until(second).opine(true)).toBe(false);
    desk.see(true); // does not put it off
    expect(desk.until(8).opine(true)).toBe(true);
    expect(desk.log).toEqual(['8 triggered false']);
  });

  it('is not asked before the other rules let the event through', () => {
    const desk = new Desk({ confirm, for_ms: 5000, gap_ms: 60_000 }).see('a').until(1).see('b').until(5.9);
    expect(desk.wanted).toBe(0);
    expect(desk.until(6).opine(true)).toBe(true);
    desk.until(10).see('a').until(65.9);
    expect(desk.wanted).toBe(1);
    expect(desk.until(66).opine(true)).toBe(true);
    expect(desk.log).toEqual(['6 changed a', '15 gap: changed', '66 changed b']);
  });

  it('confirms nothing when the value is another one meanwhile, or it has expired', () => {
    const desk = new Desk({ confirm }).see('a').until(1).see('b');
    const late = desk.events.ask();
    desk.until(2).see('c');
    expect(late.signal.aborted).toBe(true);
    late.settle({ confidence: 1, frame: 'f', untilMs: 1e9 });
    expect(desk.log).toEqual(['2 unconfirmed: changed']);
    const quiet = new Desk({ confirm }, NOON).see('a').until(1).see('b');
    const before = quiet.events.ask();
    quiet.clock.setDate(new Date('2026-06-10T23:00:00Z'), 0);
    quiet.change({ confirm, quiet: [MIDNIGHT] });
    before.settle({ confidence: 1, frame: 'f', untilMs: 10_000 });
    quiet.until(99_999);
    expect(quiet.log).toEqual(['1 quiet: changed']);
    expect(quiet.wanted).toBe(2);
  });
});

describe('whatever waits', () => {
  const rules: [string, Rules][] = [
    ['for_ms', { for_ms: 60_000 }],
    ['gap_ms', { gap_ms: 60_000 }],
    ['quiet', { quiet: [{ from: '12:00', to: '13:00' }] }],
    ['confirm', { confirm: { question: 'Really?' } }],
    ['remind_ms', { remind_ms: 60_000 }],
  ];
  const waiting = ([, given]: [string, Rules]) => new Desk(given, NOON - 5000).see(true).until(1).see(false).until(6).see(true).until(10);

  it.each(rules)('is gone with its watch: %s', (...rule) => {
    const desk = waiting(rule);
    const before = [...desk.log];
    desk.events.close();
    expect([desk.idle, desk.log]).toEqual([true, before]);
  });

  it.each(rules)('is not told later by a watch that is disabled, and enabled again: %s', (...rule) => {
    const desk = waiting(rule);
    const [count, { told }] = [desk.told.length, desk];
    desk.change(rule[1], { enabled: false });
    expect([desk.held, desk.until(7200).told.length]).toEqual([0, count]);
    desk.change(rule[1]).until(9000);
    expect([desk.idle, told.length]).toEqual([true, count]);
  });

  it.each(rules.slice(0, 4))('is told at once when its rule goes: %s', (...rule) => {
    const desk = waiting(rule);
    const before = desk.told.length;
    desk.change({});
    expect(desk.told.slice(before).map(({ type }) => type)).toEqual(rule[0] === 'for_ms' ? [] : ['triggered']); // there, nothing was told before
    expect(desk.idle).toBe(true);
  });

  it.each(rules)('leaves nothing when whoever is told closes the watch: %s', (...rule) => {
    const desk = waiting(rule);
    const push = desk.told.push.bind(desk.told);
    desk.told.push = (...given) => {
      desk.events.close();
      return push(...given);
    };
    desk.change({}).until(9000).see(true);
    desk.events.close();
    expect(desk.idle).toBe(true);
  });
});
