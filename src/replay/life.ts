/** One recorded life of a watch, lived again: the live loop with the recorded frames before it and another clock. */
import type { Frame } from '../camera/frame.js';
import type { AnswerLine, EventLine, FrameLine } from '../record/lines.js';
import type { WatchEvent } from '../watch/events.js';
import type { Comparison } from '../watch/gate.js';
import { type FrameDecision, WatchLoop } from '../watch/loop.js';
import type { Eyes, WatchOutcome } from '../watch/outcome.js';
import { type WatchSpec, watchSpecSchema } from '../watch/spec.js';
import { Film, recordedFrame } from './film.js';
import { Recent } from './recent.js';
import { RecordedEyes } from './recorded-eyes.js';
import { RecordedInspection } from './recorded-inspection.js';
import { samenessOf } from './sameness.js';
import type { Step, Timeline } from './timeline.js';
import { VirtualClock } from './virtual-clock.js';

export interface LifeOptions {
  /** What is asked now, made from what was asked then. */
  spec: (recorded: WatchSpec) => WatchSpec;
  /** Of the package that would answer now. */
  revision: string;
  model: () => Promise<Eyes>;
  handlers: LifeHandlers;
}

export interface LifeHandlers {
  /** Every outcome that is about a frame; `before`: what the record has about the same one; `picture`: the path of its JPEG. */
  onAnswer: (outcome: WatchOutcome, before: AnswerLine | null, picture: string | null) => void;
  onEvent: (event: WatchEvent) => void;
  /** Events of the record. */
  onRecordedEvent: (event: EventLine) => void;
  /** Milliseconds of the recorded day that have passed since the last call. */
  onPassed: (ms: number) => void;
}

export interface LifeCounts {
  frames: number;
  reused: number;
  asked: number;
  machineMs: number;
  /** Pairs of frames that could not be compared, as one has no picture. */
  unknown: number;
}

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
  private readonly before: WatchSpec;
  private readonly spec: WatchSpec;
  private asking = ''; // the frame
  private answered: AnswerLine | null = null; // on record, about that frame
  private usualMs = FIRST_GUESS_MS;
  private frames = 0;
  private unknown = 0;
  private isLost = false; // what is being asked
  private over = false;

  constructor(
    private readonly timeline: Timeline,
    private readonly options: LifeOptions,
  ) {
    const { start } = timeline;
    this.before = watchSpecSchema.parse(start.spec);
    this.spec = { ...options.spec(this.before), camera: start.camera, enabled: true };
    this.same = samenessOf(this.before, this.spec, start.model?.hash === options.revision);
    this.clock = new VirtualClock(start.mono_ms);
    this.clock.setDate(new Date(start.at), start.mono_ms);
    this.film = new Film(start.camera);
    this.eyes = new RecordedEyes(this.clock, { recorded: (question) => this.recorded(question), usualMs: () => this.usualMs }, options.model);
    this.loop = new WatchLoop(this.eyes, {
      clock: this.clock,
      onOutcome: (outcome) => this.outcome(outcome),
      onEvent: (event) => {
        if (!this.over) options.handlers.onEvent(event);
      },
      onDecision: (decision) => this.decided(decision),
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
      const { line } = step;
      const atMs = line.kind === 'frame' ? line.decided_ms : line.mono_ms;
      this.clock.setDate(new Date(line.at), line.mono_ms);
      if (line.kind === 'event') this.options.handlers.onRecordedEvent(line);
      if (line.kind === 'frame') await this.frame(line, step);
      this.options.handlers.onPassed(Math.max(0, atMs - passedMs));
      passedMs = Math.max(passedMs, atMs);
    }
    await this.advance(passedMs);
    this.over = true;
    const stopped = loop.stop(0);
    while (this.clock.step(Number.MAX_VALUE));
    await stopped;
    const { frames, unknown, eyes } = this;
    return { frames, reused: eyes.reused, asked: eyes.asked, machineMs: eyes.machineMs, unknown };
  }

  private async frame(line: FrameLine, { picture }: Step): Promise<void> {
    if (picture !== null) this.pictures.set(line.id, picture);
    if (!this.same.shows(line) || (this.shown.get(line.id) && !this.same.decides)) return;
    await this.advance(line.decided_ms);
    if (this.isLost) await this.giveUp();
    const frame = await recordedFrame(line, this.same.decides ? null : this.pictureOf(line.id));
    this.shown.set(line.id, true);
    this.compared.clear();
    if (line.share !== null && line.against !== null) this.compared.set(line.id, { share: line.share, against: line.against });
    this.frames++;
    this.film.show(frame satisfies Frame);
    await this.eyes.settled();
  }

  private async giveUp(): Promise<void> {
    this.isLost = false;
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

  private decided({ inspection, skipped }: FrameDecision): void {
    if (skipped === null) this.asking = inspection.frame.id;
  }

  private async recorded(question: string): Promise<AnswerLine | 'never' | null> {
    const { asking } = this;
    this.answered = await this.timeline.answerTo(asking);
    if (this.answered === null && this.same.decides) {
      this.isLost = true; // given up then: its camera went away, or the node stopped
      return 'never';
    }
    return this.same.answers && question === this.before.question ? this.answered : null;
  }

  private outcome(outcome: WatchOutcome): void {
    if (this.over || outcome.frame === null) return;
    const { answered } = this;
    this.options.handlers.onAnswer(outcome, answered?.frame === outcome.frame.id ? answered : null, this.pictureOf(outcome.frame.id));
  }
}
