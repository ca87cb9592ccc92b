/** One recorded life of a watch, lived again: the live loop with the recorded frames before it and another clock. */
import type { Frame } from '../camera/frame.js';
import { optionError } from '../errors.js';
import type { AnswerLine, EventLine, FrameLine, MarkLine, OpinionLine, RecordLine, SuppressedLine } from '../record/lines.js';
import type { Suppressed, WatchEvent } from '../watch/event.js';
import type { Comparison } from '../watch/gate.js';
import { WatchLoop } from '../watch/loop.js';
import type { WatchOutcome } from '../watch/outcome.js';
import { type WatchSpec, watchSpecSchema } from '../watch/spec.js';
import { Film, recordedFrame } from './film.js';
import type { KeptAnswers } from './kept-answers.js';
import { Recent } from './recent.js';
import { RecordedEyes, type ReplayModel, type Script } from './recorded-eyes.js';
import { RecordedInspection } from './recorded-inspection.js';
import { samenessOf } from './sameness.js';
import type { Step, Timeline } from './timeline.js';
import { VirtualClock } from './virtual-clock.js';

export interface LifeOptions {
  /** What is asked now, made from what was asked then. */
  spec: (recorded: WatchSpec) => WatchSpec;
  /** Of the package that would answer now. */
  revision: string;
  model: () => Promise<ReplayModel>;
  /** Of quiet hours; default: the one on record. */
  timeZone?: string | undefined;
  /** Of an earlier run that was interrupted. */
  kept?: Pick<KeptAnswers, 'get' | 'add'> | undefined;
  /** Aborting rejects live() with its reason. */
  signal?: AbortSignal | undefined;
  handlers: LifeHandlers;
}

export interface LifeHandlers {
  /** Every outcome that is about a frame; `before`: what the record has about the same one; `picture`: the path of its JPEG. */
  onAnswer: (outcome: WatchOutcome, before: AnswerLine | null, picture: string | null) => void;
  onEvent: (event: WatchEvent) => void;
  onSuppressed: (news: Suppressed) => void;
  /** Of the record: what was told, and what was not. */
  onRecordedEvent: (event: EventLine | SuppressedLine) => void;
  /** Milliseconds of the recorded day that have passed since the last call, and how late it is then. */
  onPassed: (ms: number, at: Date) => void;
}

export interface LifeCounts {
  frames: number;
  askedBefore: number;
  reused: number;
  asked: number;
  machineMs: number;
  /** Pairs of frames that could not be compared, as one has no picture. */
  unknown: number;
}

/** What the camera showed between two frames on record looked like the first of them. */
const LEAST_REPEAT_MS = 200;
const REPEATED = '~';
/** By the clock on the wall, of which the record has whole milliseconds, rules let go so much later than they did. */
const LATE_MS = 1;
const FIRST_GUESS_MS = 200; // of how long an answer takes

export class Life {
  private readonly clock: VirtualClock;
  private readonly film: Film;
  private readonly eyes: RecordedEyes;
  private readonly loop: WatchLoop;
  private readonly shown = new Recent<true>();
  private readonly pictures = new Recent<string>();
  private readonly compared = new Map<string, Comparison>(); // by frame: of the one that is about to be shown
  private readonly same: ReturnType<typeof samenessOf>;
  /** What was asked then, and what is asked now. */
  readonly before: WatchSpec;
  readonly spec: WatchSpec;
  private asking = ''; // the frame
  private isSecond = false; // the next question about it
  private asked = ''; // the last one: words, and whether it is the second
  private confirming = ''; // the frame that was looked at for the second question alone, until it is again
  private answered: AnswerLine | null = null; // on record, about that frame
  private lastAsked = { frame: '', atMs: 0 }; // on record
  private usualMs = FIRST_GUESS_MS;
  private frames = 0;
  private askedBefore = 0;
  private unknown = 0;
  private stopRepeating = () => {};
  private repeats = 0;
  private readonly answers = new Recent<AnswerLine>(); // on record, by frame
  private readonly opinions = new Recent<OpinionLine>(); // likewise, by frame and question
  private over = false;

  constructor(
    private readonly timeline: Timeline,
    private readonly options: LifeOptions,
  ) {
    const { start } = timeline;
    this.before = watchSpecSchema.parse(start.spec);
    this.spec = { ...options.spec(this.before), camera: start.camera, enabled: true };
    const { watch } = start;
    const event = this.spec.compare?.event;
    if (event !== undefined && event !== watch && event !== this.before.compare?.event) {
      const recorded = this.before.compare?.event ?? 'none';
      throw optionError('watch.compare.event', `${watch} itself, or a watch whose events are on record with it (${recorded})`, event);
    }
    this.same = samenessOf(this.before, this.spec, start.model?.hash === options.revision);
    this.clock = new VirtualClock(start.mono_ms);
    this.clock.setDate(new Date(start.at), start.mono_ms);
    this.film = new Film(start.camera);
    const script: Script = {
      recorded: (question) => this.recorded(question),
      kept: () => options.kept?.get(this.asking, this.asked) ?? null,
      keep: (answer) => options.kept?.add(this.asking, this.asked, answer),
      usualMs: () => this.usualMs,
    };
    this.eyes = new RecordedEyes(this.clock, script, options.model);
    this.loop = new WatchLoop(this.eyes, {
      clock: this.clock,
      onOutcome: (outcome) => this.outcome(outcome),
      onEvent: (event) => {
        if (!this.over) options.handlers.onEvent(event);
      },
      onSuppressed: (news) => {
        if (!this.over) options.handlers.onSuppressed(news);
      },
      onLook: ({ id }, { confirms }) => {
        this.asking = id;
        this.isSecond = confirms;
        this.confirming = '';
      },
      mayConfirm: ({ id }) => !this.same.decides || id === this.confirming,
      timeZone: options.timeZone ?? start.timezone,
      alarm: !this.same.decides, // moments are on record, and what else kept the engine busy is not
      onFault: (error) => {
        throw error;
      },
      inspect: (frame) => new RecordedInspection(frame, this.compared.get(frame.id) ?? null, () => this.unknown++),
    });
  }

  async live(): Promise<LifeCounts> {
    const { loop, timeline, film } = this;
    loop.addCamera(film);
    loop.put(timeline.start.watch, this.spec);
    loop.start();
    let passedMs = timeline.start.mono_ms;
    for (let step = await timeline.next(); step !== null; step = await timeline.next()) {
      this.options.signal?.throwIfAborted();
      const { line } = step;
      const atMs = line.kind === 'frame' ? line.decided_ms : line.mono_ms;
      this.clock.setDate(new Date(line.at), line.mono_ms);
      if (line.kind === 'answer' && line.frame === this.lastAsked.frame) this.usualMs = Math.max(1, line.mono_ms - this.lastAsked.atMs);
      if (line.kind === 'answer' && line.frame !== null && line.status !== 'stale') this.answers.set(line.frame, line);
      if (line.kind === 'opinion') this.opinions.set(opinionKey(line.frame, line.question), line);
      if (line.kind === 'opinion' || (line.kind === 'frame' && line.asked)) this.askedBefore++;
      if (line.kind === 'frame' && line.asked) this.lastAsked = { frame: line.id, atMs: line.decided_ms };
      if (line.kind === 'event' || line.kind === 'suppressed') this.options.handlers.onRecordedEvent(line);
      if (line.kind === 'frame') await this.frame(line, step);
      if (line.kind === 'answer' && line.status === 'stale' && this.same.decides) await this.stale(line.mono_ms);
      if (line.kind === 'mark') await this.mark(line);
      this.options.handlers.onPassed(Math.max(0, atMs - passedMs), new Date(line.at));
      passedMs = Math.max(passedMs, atMs);
    }
    await this.advance(passedMs);
    this.over = true;
    this.stopRepeating();
    const stopped = loop.stop(0);
    while (this.clock.step(Number.MAX_VALUE));
    await stopped;
    const { frames, askedBefore, unknown, eyes } = this;
    return { frames, askedBefore, reused: eyes.reused, asked: eyes.asked, machineMs: eyes.machineMs, unknown };
  }

  private async frame(line: FrameLine, { picture }: Step): Promise<void> {
    if (picture !== null) this.pictures.set(line.id, picture);
    if (!this.same.shows(line) || (this.shown.get(line.id) && !this.same.decides)) return;
    await this.advance(line.decided_ms);
    if (this.eyes.isLost) await this.giveUp();
    const frame = await recordedFrame(line, this.same.decides ? null : this.pictureOf(line.id));
    this.shown.set(line.id, true);
    this.compared.clear();
    if (line.share !== null && line.against !== null) this.compared.set(line.id, { share: line.share, against: line.against });
    this.frames++;
    this.confirming = line.confirms ? line.id : '';
    this.film.show(frame);
    if (line.confirms && this.confirming !== '' && this.same.decides) {
      await this.advance(line.decided_ms + LATE_MS);
      this.film.show(frame);
    }
    await this.eyes.settled();
    this.stopRepeating();
    if (!this.same.decides) this.repeat(frame, 1);
  }

  private async mark({ watch, mono_ms, frame_ms }: MarkLine): Promise<void> {
    if (watch !== this.spec.compare?.event) return;
    await this.advance(mono_ms);
    this.loop.mark(this.timeline.start.watch, { fromMs: frame_ms });
    await this.eyes.settled();
  }

  /** For as long as the live loop would have had another frame recorded. */
  private repeat(frame: Frame, count: number): void {
    const everyMs = Math.max(LEAST_REPEAT_MS, this.spec.interval_ms);
    if (count * everyMs > 2 * this.before.reask_ms) return;
    this.stopRepeating = this.clock.after(everyMs, () => {
      this.repeat(frame, count + 1);
      this.film.show({
        ...frame,
        id: `${frame.id}${REPEATED}${count}`,
        monotonicMs: this.clock.now(),
        at: this.clock.date(),
        content: -++this.repeats,
      });
    });
  }

  /** What was believed then was not any more: where it would have been for longer, its camera went away, or the node stopped. */
  private async stale(atMs: number): Promise<void> {
    await this.advance(atMs);
    if (this.loop.status().watches[this.timeline.start.watch]?.validUntil !== null) await this.giveUp();
  }

  /** Also what is being asked. */
  private async giveUp(): Promise<void> {
    this.loop.removeCamera(this.film.id);
    this.loop.addCamera(this.film);
    await this.eyes.settled();
  }

  private pictureOf(frame: string): string | null {
    return this.pictures.get(frame) ?? null;
  }

  private async advance(untilMs: number): Promise<void> {
    do await this.eyes.settled();
    while (this.clock.step(untilMs));
  }

  private async recorded(question: string): Promise<AnswerLine | OpinionLine | 'never' | null> {
    const { isSecond, same } = this;
    this.isSecond = true; // a look asks the first question once
    this.asked = `${isSecond ? 'second' : 'first'} ${question}`;
    const line = isSecond ? await this.recordedOpinion(question) : await this.recordedAnswer();
    if (line === null && same.decides) return 'never';
    return (isSecond ? same.opinions : same.answers) ? line : null;
  }

  private async recordedAnswer(): Promise<AnswerLine | null> {
    const asking = original(this.asking);
    const known = this.same.decides ? undefined : this.answers.get(asking); // a frame may have been asked about before, in vain
    this.answered = known ?? (await this.timeline.find((line) => isAnswerTo(asking, line)));
    return this.answered;
  }

  private async recordedOpinion(question: string): Promise<OpinionLine | null> {
    const asking = original(this.asking);
    const isIt = (line: RecordLine) => line.kind === 'opinion' && line.frame === asking && line.question === question;
    return this.opinions.get(opinionKey(asking, question)) ?? (await this.timeline.find((line): line is OpinionLine => isIt(line)));
  }

  private outcome(outcome: WatchOutcome): void {
    if (this.over || outcome.frame === null) return;
    const { answered } = this;
    this.options.handlers.onAnswer(outcome, answered?.frame === outcome.frame.id ? answered : null, this.pictureOf(outcome.frame.id));
  }
}

/** That a look gave, or why it gave none; what merely expired is no answer to a frame. */
function isAnswerTo(frame: string, line: RecordLine): line is AnswerLine {
  return line.kind === 'answer' && line.frame === frame && line.status !== 'stale';
}

function opinionKey(frame: string, question: string): string {
  return `${frame} ${question}`;
}

/** Of a frame that may be shown again. */
export function original(frame: string): string {
  return frame.split(REPEATED, 1)[0] as string;
}
