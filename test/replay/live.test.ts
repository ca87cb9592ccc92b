/** A day on record, lived again with the same settings, is the same day: same events, same frames, same moments. */
import { describe, expect, it } from 'vitest';
import type { Frame } from '../../src/camera/frame.js';
import { random } from '../../src/camera/kitchen.js';
import type { RawImage } from '../../src/engine/image.js';
import { parseLine, type RecordLine } from '../../src/record/lines.js';
import { Film } from '../../src/replay/film.js';
import { Life } from '../../src/replay/life.js';
import { timelines } from '../../src/replay/timeline.js';
import { VirtualClock } from '../../src/replay/virtual-clock.js';
import { Recording } from '../../src/service/recording/recording.js';
import type { Suppressed, WatchEvent } from '../../src/watch/event.js';
import { WatchLoop } from '../../src/watch/loop.js';
import type { Eyes } from '../../src/watch/outcome.js';
import type { WatchSpec } from '../../src/watch/spec.js';
import { counts } from '../support/counts.js';
import { spec } from '../watch/stage.js';

const ZONE = 'Asia/Kathmandu'; // 03:45:40 when the day begins
const SIDE = 32;
const START_MS = 1234.5678901;

/** Pictures that stand still, change in part or as a whole, flash, grow darker and are noisy. */
function* pictures(seed: number, count: number): Generator<Uint8Array> {
  const next = random(seed);
  let level = 100;
  let left = 60;
  for (let i = 0; i < count; i++) {
    const dice = next();
    if (dice < 0.05) left = Math.floor(next() * 256);
    if (dice > 0.95) level = 40 + Math.floor(next() * 160);
    const flash = dice > 0.5 && dice < 0.53 ? 150 : 0;
    if (i % 7 === 0 && dice < 0.5) level = Math.max(30, level - 1);
    const noise = dice > 0.4 && dice < 0.9 ? Math.floor(next() * 6) : 0;
    const data = new Uint8Array(SIDE * SIDE * 3);
    for (let pixel = 0; pixel < SIDE * SIDE; pixel++) {
      const value = (pixel % SIDE < 8 ? left : level) + flash + ((pixel * 7 + i) % (noise + 1));
      data.fill(Math.min(255, value), pixel * 3, pixel * 3 + 3);
    }
    yield data;
  }
}

const soon = () => new Promise((resolve) => setImmediate(resolve));

interface Day {
  lines: RecordLine[];
  /** And what was suppressed. */
  events: string[];
}

/** Of one watch beside another that keeps the engine busy too. */
async function liveDay(seed: number, watches: Record<string, WatchSpec>, frames: number): Promise<Day> {
  const next = random(seed + 1);
  const clock = new VirtualClock(START_MS);
  clock.setDate(new Date('2026-11-27T22:00:40Z'), START_MS);
  const takes = async () => await new Promise<void>((resolve) => void clock.after(5 + next() * 700, resolve));
  const eyes: Eyes = {
    look: async (image: RawImage) => {
      await takes();
      const brightness = image.data[0] as number;
      return {
        timings: { queueMs: 0, preprocessMs: 0, visionMs: 0, prefillMs: 0 },
        ask: async <T>(question: string) => {
          await takes();
          if (next() < 0.03) throw new Error('the engine had a bad moment');
          const value = question === SECOND ? next() < 0.6 : brightness > 100 !== next() < 0.1;
          return {
            text: value ? 'Yes' : 'No',
            value: value as T,
            confidence: 0.5 + next() / 2,
            finish: 'stop' as const,
            tokens: { prompt: 0, reused: 0, answer: 0 },
            timings: { queueMs: 0, preprocessMs: 0, visionMs: 0, prefillMs: 0, decodeMs: 0, totalMs: 0 },
          };
        },
        stream: () => {
          throw new Error('no');
        },
        dispose: async () => {},
      };
    },
  };
  const lines: RecordLine[] = [];
  const events: string[] = [];
  const recording = new Recording({
    to: {
      start: (watch, start) => {
        const at = clock.date().toISOString();
        if (watch === 'lamp') lines.push({ kind: 'start', v: 1, session: 's', watch, at, mono_ms: clock.now(), ...start });
      },
      line: (watch, line) => void (watch === 'lamp' && lines.push(line)),
      frame: (watch, line) => void (watch === 'lamp' && lines.push({ ...line, file: null, bytes: 0 })),
      picture: () => null,
      withdraw: () => {},
      stop: () => {},
    },
    model: { name: 'm', hash: 'h' },
    timezone: ZONE,
    date: () => clock.date(),
  });
  const loop = new WatchLoop(eyes, {
    clock,
    timeZone: ZONE,
    onDecision: (decision) => recording.decided(decision),
    onOutcome: (outcome) => recording.answered(outcome),
    onEvent: (event) => {
      recording.told(event);
      if (event.outcome.watch === 'lamp') events.push(wordsOf(event));
    },
    onSuppressed: (news) => {
      recording.suppressed(news);
      if (news.outcome.watch === 'lamp') events.push(wordsOf(news));
    },
    onOpinion: (opinion) => recording.opined(opinion),
    onMark: (watch, mark) => recording.marked(watch, mark),
    onFault: (error) => expect.unreachable(String(error)),
  });
  let camera = new Film('kitchen');
  loop.addCamera(camera);
  for (const [id, each] of Object.entries(watches)) loop.put(id, each);
  loop.start();
  let content = 0;
  let before: Uint8Array | null = null;
  let isGone = false;
  for (const [index, data] of [...pictures(seed, frames)].entries()) {
    // While nothing is believed, a record does not tell that a camera went: the frame after is compared with the one before then.
    if ((index === frames / 2 || index === frames / 4) && loop.status().watches.lamp?.validUntil !== null) {
      loop.removeCamera('kitchen');
      isGone = true;
    }
    if (isGone && (index === frames / 2 + 3 || index === frames / 4 + 30)) {
      isGone = false;
      camera = new Film('kitchen');
      loop.addCamera(camera);
    }
    const untilMs = clock.now() + 20 + next() * 160;
    do await soon();
    while (clock.step(untilMs));
    if (before === null || Buffer.compare(before, data) !== 0) content++;
    before = data;
    const id = `kitchen-${content}-${untilMs}`;
    const frame: Frame = { id, monotonicMs: clock.now(), at: clock.date(), width: SIDE, height: SIDE, format: 'rgb', data, content };
    camera.show(frame);
    await soon();
  }
  const stopped = loop.stop(0);
  while (clock.step(clock.now() + 1000)) await soon();
  await stopped;
  return { lines, events };
}

function wordsOf(told: WatchEvent | Suppressed): string {
  const { type, previous, atMs, outcome } = told;
  const { frame, value, confidence } = outcome;
  const how = 'reason' in told ? told.reason : `${JSON.stringify(told.confirmation)} ${told.compare?.confidence} ${told.compare?.frame.id}`;
  return `${atMs} ${type} ${previous} → ${value} ${confidence} ${frame?.id} ${how}`;
}

async function* recorded(lines: readonly RecordLine[]) {
  for (const [index, line] of lines.entries()) yield { line, segment: '1', number: index, picture: null };
}

async function again(lines: readonly RecordLine[], change: Partial<WatchSpec> = {}) {
  const events: string[] = [];
  const then: string[] = [];
  let counted = { frames: 0, askedBefore: 0, reused: 0, asked: 0, machineMs: 0, unknown: 0 };
  for await (const timeline of timelines(recorded(lines))) {
    counted = await new Life(timeline, {
      spec: (before) => ({ ...before, ...change }),
      revision: 'h',
      model: () => Promise.reject(new Error('nothing needs to be asked')),
      handlers: {
        onAnswer: (outcome, before) => expect(outcome.observed).toEqual(before?.observed ?? null),
        onEvent: (event) => events.push(wordsOf(event)),
        onSuppressed: (news) => events.push(wordsOf(news)),
        onRecordedEvent: ({ mono_ms, event_type, previous, value, frame }) => then.push(`${mono_ms} ${event_type} ${previous} → ${value} ${frame}`),
        onPassed: () => {},
      },
    }).live();
  }
  return { events, then, counted };
}

const SECOND = 'Really?';
const LAMP = { question: 'Is it bright?', interval_ms: 400, reask_ms: 2000, ttl_ms: 6000, max_age_ms: 1500 };
const SETTINGS: Record<string, object> = {
  plain: {},
  'every new picture': { change_percent: 0, interval_ms: 0 },
  'two of three, sure ones': { agreement: { n: 2, of: 3 }, min_confidence: 0.7, keep_confidence: 0.55 },
  'rules of events': { events: { for_ms: 800, gap_ms: 4000, remind_ms: 5000, quiet: [{ from: '22:10', to: '22:20' }] }, ttl_ms: 20_000 },
  'rules for events': {
    off: { agreement: { n: 2, of: 3 }, min_confidence: 0.6 },
    events: { for_ms: 700, gap_ms: 1500, remind_ms: 1000, quiet: [{ from: '03:45', to: '03:46' }] },
  },
  'a pause after each change': { cooldown_ms: 3000, change_percent: 5 },
  'a second question': { events: { confirm: { question: SECOND, min_confidence: 0.6 } } },
  'a second question about a later frame': { events: { for_ms: 300, gap_ms: 1000, confirm: { question: SECOND, expect: false, after_ms: 700 } } },
  'a second question when the rules let go': {
    ...{ ttl_ms: 20_000, interval_ms: 1500 },
    events: { for_ms: 900, remind_ms: 3000, quiet: [{ from: '03:45', to: '03:46' }], confirm: { question: SECOND } },
  },
  'the same question once more': { events: { confirm: { question: LAMP.question, min_confidence: 0.75, after_ms: 1200 } } },
  'against five seconds ago': { compare: { ago_ms: 5000 }, ttl_ms: 3000 },
  'against a second ago, with rules': {
    compare: { ago_ms: 1000 },
    agreement: { n: 2, of: 3 },
    change_percent: 0,
    events: { for_ms: 300, gap_ms: 2000, remind_ms: 1500 },
  },
  'against two seconds ago, with a second question': { compare: { ago_ms: 2000 }, events: { for_ms: 200, confirm: { question: SECOND } } },
  'since the door did, with a second question': { compare: { event: 'door' }, events: { confirm: { question: SECOND } } },
  'since the door told something': { compare: { event: 'door' }, change_percent: 20, reask_ms: 5000 },
  'since the shelf did, elsewhere in the picture': { compare: { event: 'shelf' }, change_percent: 20, min_confidence: 0.7 },
  'since the door did, late': { compare: { event: 'late' }, max_age_ms: 300, cooldown_ms: 1500, agreement: { n: 2, of: 3 } },
  'since it told something itself': { compare: { event: 'lamp' } },
};

/** The lamp beside a door that shares the engine, and what else it is compared with. */
const dayOf = (settings: object, seed: number) => {
  const lamp = spec({ ...LAMP, ...settings });
  const asked = lamp.compare?.event;
  const watches = {
    lamp,
    door: spec({ question: 'Open?', interval_ms: 900 + seed, change_percent: 0, priority: 2 }),
    ...(asked === 'shelf' && { shelf: spec({ question: 'Full?', interval_ms: 700, change_percent: 0, crop: { x: 0.25, width: 0.5 } }) }),
    ...(asked === 'late' && { late: spec({ question: 'Open?', interval_ms: 800, change_percent: 0, events: { for_ms: 450, gap_ms: 1500 } }) }),
  };
  return liveDay(seed * 1000, watches, 400);
};

describe.each(Object.entries(SETTINGS))('%s', (_, settings) => {
  it.each(Array.from({ length: counts(4, 15) }, (_, seed) => seed))('day %i', async (seed) => {
    const { events: rules, compare } = spec({ ...LAMP, ...settings });
    const asked = compare?.event;
    const { lines, events } = await dayOf(settings, seed);
    const { events: replayed, counted } = await again(lines);
    const moment = (told: string) => Number(told.split(' ', 1)[0]);
    const words = (told: string) => told.slice(told.indexOf(' '));
    expect(replayed.map(words)).toEqual(events.map(words));
    const quiet = rules.quiet.length > 0; // they end by the clock on the wall, of which the record has whole milliseconds
    for (const [index, told] of replayed.entries()) {
      expect(Math.abs(moment(told) - moment(events[index] as string))).toBeLessThanOrEqual(quiet ? 1 : 0);
    }
    if (asked !== undefined && asked !== 'lamp') expect(lines.filter(({ kind }) => kind === 'mark').length).toBeGreaterThan(0);
    expect(counted.unknown).toBe(0);
    expect(counted.reused).toBeGreaterThanOrEqual(10);
  });
});

it.each(Object.entries(SETTINGS))('%s: these days have something to tell, and second questions that agree and that do not', async (_, settings) => {
  const days = await Promise.all([0, 1, 2, 3].map((seed) => dayOf(settings, seed)));
  const lines = days.flatMap(({ lines }) => lines);
  expect(lines.filter(({ kind }) => kind === 'event').length).toBeGreaterThan(2);
  const { for_ms, confirm } = spec({ ...LAMP, ...settings }).events;
  const opinions = lines.filter((line) => line.kind === 'opinion');
  expect(new Set(opinions.map(({ agrees }) => agrees))).toEqual(new Set(confirm === undefined ? [] : [true, false]));
  const ofLater = confirm !== undefined && (for_ms > 0 || confirm.after_ms > 0); // else it is asked about the same view
  expect(lines.some((line) => line.kind === 'frame' && line.confirms)).toBe(ofLater);
});

describe('what is compared with', () => {
  const watches = (compare: object) => ({
    lamp: spec({ ...LAMP, compare: compare as never }),
    door: spec({ question: 'Open?', interval_ms: 700, change_percent: 0, crop: { x: 0.25, width: 0.5 } }),
  });

  it('may be another time, or nothing, and no question is computed for it', async () => {
    const { lines } = await liveDay(77, watches({ ago_ms: 3000 }), 400);
    const { events: other } = await again(lines, { compare: { ago_ms: 1000 } });
    const { lines: before, events } = await liveDay(77, watches({ ago_ms: 1000 }), 400);
    expect(before.length).toBe(lines.length - kinds(lines, 'event') + kinds(before, 'event'));
    expect(other).toEqual(events);
    expect(other.length).toBeGreaterThan(0);
    const { lines: plain, events: told } = await liveDay(77, { ...watches({ ago_ms: 1000 }), lamp: spec(LAMP) }, 400);
    expect((await again(lines, { compare: undefined })).events).toEqual(told);
    expect((await again(plain, { compare: { ago_ms: 1000 } })).events).toEqual(events);
  });

  it('is what another watch told, as lines that can be read, or what the watch itself tells; what is not on record is refused with words', async () => {
    const { lines } = await liveDay(78, watches({ event: 'door' }), 400);
    const marks = lines.filter(({ kind }) => kind === 'mark');
    expect(marks.length).toBeGreaterThan(3);
    for (const mark of marks) expect(parseLine(Buffer.from(JSON.stringify(mark)))).toEqual(mark);
    await expect(again(lines, { compare: { event: 'gate' } })).rejects.toThrow(
      /watch\.compare\.event.*lamp itself, or a watch whose events are on record with it \(door\).*gate/,
    );
    const { lines: plain } = await liveDay(78, watches({ event: 'lamp' }), 400);
    expect(kinds(plain, 'mark')).toBe(0);
    expect((await again(plain, { compare: undefined })).events.length).toBeGreaterThan(0);
  });
});

function kinds(lines: readonly RecordLine[], wanted: RecordLine['kind']): number {
  return lines.filter(({ kind }) => kind === wanted).length;
}
