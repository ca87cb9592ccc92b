/** Everything a record has about a watch, lived again with other settings, and what that changes. */

import type { Label } from '../record/labels.js';
import type { AnswerLine, EventLine, SuppressedLine } from '../record/lines.js';
import type { Recorded } from '../record/read.js';
import { SUPPRESS_REASONS, type Suppressed, type SuppressReason, type WatchEvent } from '../watch/event.js';
import type { WatchOutcome } from '../watch/outcome.js';
import type { Value, WatchSpec } from '../watch/spec.js';
import { Differences } from './differences.js';
import { Judgements } from './judgements.js';
import type { KeptAnswers } from './kept-answers.js';
import { Life, original } from './life.js';
import type { ReplayModel } from './recorded-eyes.js';
import { type Flip, MOST_LISTED, type ReplayedEvent, type ReplayReport } from './report.js';
import { timelines } from './timeline.js';

/** What is replayed: readRecord(), or pictures that nothing is on record about. */
export type Lines = AsyncIterable<Recorded> & { readonly damaged?: number; readonly missingPictures?: number };

export interface ReplayOptions {
  watch: string;
  lines: Lines;
  /** By answer. */
  labels?: ReadonlyMap<string, Label> | undefined;
  /** What is asked now, made from what was asked then. */
  change: (before: WatchSpec) => WatchSpec;
  /** Of the package that answers now. */
  revision: string;
  /** Called when the record does not have an answer. */
  model: () => Promise<ReplayModel>;
  /** Of quiet hours; default: the one on record. */
  timeZone?: string | undefined;
  kept?: Pick<KeptAnswers, 'get' | 'add'> | undefined;
  /** The value that is an alarm. Default: true. */
  positive?: Value | undefined;
  /** What a miss costs, a false alarm costing 1. Default 1. */
  missCost?: number | undefined;
  signal?: AbortSignal | undefined;
  /** How far the recorded time has been lived again. */
  onProgress?: ((at: Date) => void) | undefined;
}

/** Throws ERR_OPTION for settings that do not fit together, what the model throws, and `signal.reason`. */
export async function replay(options: ReplayOptions): Promise<ReplayReport> {
  const { watch, lines, labels = new Map(), change, revision, model, timeZone, kept, signal, positive = true, missCost = 1 } = options;
  const judgements = new Judgements(labels);
  const events = new Differences();
  const report: ReplayReport = {
    ...{ watch, lives: 0, from: null, to: null, days: 0, frames: 0, questions: { before: 0, now: 0 }, computed: 0, machineMs: 0 },
    ...{ compared: 0, flipped: 0, flips: [], events: { before: 0, now: 0 }, onlyBefore: [], onlyNow: [] },
    suppressed: { before: noneSuppressed(), now: noneSuppressed() },
    ...{ labels: null, damaged: 0, missingPictures: 0 },
  };
  const onAnswer = (outcome: WatchOutcome, before: AnswerLine | null, picture: string | null) => {
    if (outcome.observed === null || before === null || before.status !== 'ok') return;
    report.compared++;
    judgements.add(before, outcome);
    if (outcome.observed === before.observed) return;
    report.flipped++;
    if (report.flips.length < MOST_LISTED) report.flips.push(flipOf(outcome, before, picture));
  };
  const onPassed = (ms: number, at: Date) => {
    report.days += ms / 86_400_000;
    report.from ??= at;
    report.to = at;
    options.onProgress?.(at);
  };
  const handlers = {
    onAnswer,
    onPassed,
    onEvent: (event: WatchEvent) => events.add('now', nowOf(event)),
    onSuppressed: ({ reason }: Suppressed) => report.suppressed.now[reason]++,
    onRecordedEvent: (line: EventLine | SuppressedLine) => {
      if (line.kind === 'event') events.add('before', beforeOf(line));
      else report.suppressed.before[line.reason as SuppressReason]++;
    },
  };
  let least = { before: 0, now: 0 };
  for await (const timeline of timelines(lines)) {
    const life = new Life(timeline, { spec: change, revision, model, timeZone, kept, signal, handlers });
    least = { before: life.before.min_confidence, now: life.spec.min_confidence };
    const counts = await life.live();
    report.lives++;
    report.frames += counts.frames;
    report.questions.before += counts.askedBefore;
    report.questions.now += counts.reused + counts.asked;
    report.computed += counts.asked;
    report.machineMs += counts.machineMs;
  }
  report.events = events.counts;
  report.onlyBefore = events.only('before');
  report.onlyNow = events.only('now');
  report.damaged = lines.damaged ?? 0;
  report.missingPictures = lines.missingPictures ?? 0;
  report.labels = judgements.result(positive, missCost, least);
  return report;
}

function noneSuppressed(): Record<SuppressReason, number> {
  return Object.fromEntries(SUPPRESS_REASONS.map((reason) => [reason, 0])) as Record<SuppressReason, number>;
}

function flipOf({ frame, observed, confidence }: WatchOutcome, before: AnswerLine, picture: string | null): Flip {
  return {
    frame: frame?.id ?? '',
    at: frame?.at ?? new Date(before.at),
    picture,
    before: { id: before.id, value: before.observed as Value, confidence: before.confidence },
    now: { value: observed as Value, confidence },
  };
}

function nowOf({ type, previous, outcome: { value, frame }, at }: WatchEvent): ReplayedEvent {
  return { at, type, value, previous, frame: frame === null ? null : original(frame.id) };
}

function beforeOf({ at, event_type: type, value, previous, frame }: EventLine): ReplayedEvent {
  return { at: new Date(at), type, value: value as Value | null, previous: previous as Value | null, frame };
}
