/**
 * What watches see, answer and tell, handed to the recorder in the order of what happened. Of frames those that were asked about, and some that looked
 * different.
 */
import type { Frame } from '../camera/frame.js';
import type { AnswerLine, EventLine, FrameLine, MarkLine, OpinionLine, StartLine, SuppressedLine } from '../record/lines.js';
import type { WatchRecord } from '../record/recorder.js';
import type { Pair } from '../watch/change.js';
import type { Suppressed, WatchEvent } from '../watch/events.js';
import type { FrameDecision } from '../watch/loop.js';
import type { Opinion } from '../watch/opinion.js';
import type { WatchOutcome } from '../watch/outcome.js';
import type { Mark } from '../watch/past.js';
import type { WatchSpec } from '../watch/spec.js';
import { Sequence } from './sequence.js';

export interface RecordingOptions {
  /** As Recorder.watch(). */
  open: (watch: string, start: Pick<StartLine, 'camera' | 'spec' | 'timezone' | 'model'>) => WatchRecord;
  model: { name: string; hash: string };
  /** Of quiet hours, an IANA name. */
  timezone: string;
  /** A frame's pixels are valid until it is called again; rejects for what cannot be encoded. */
  encode: (frame: Frame) => Promise<Uint8Array>;
  /** The clock on the wall. Default: the process's. */
  date?: () => Date;
}

/**
 * How often a frame that need not be recorded is looked at, whether it differs from the last one recorded: such frames show what other settings would
 * have asked about. A picture that never stands still would otherwise take the disk and the event loop at the speed of the camera. All watches look
 * at the same frames, so that they share the work.
 */
const LOOK_MS = 500;
/** Pictures being encoded at a time, of all watches: one more is recorded without. */
const MOST_ENCODING = 4;

const NOWHERE: WatchRecord = { start: () => {}, line: () => {}, frame: () => {} };

interface Tape {
  record: WatchRecord;
  spec: WatchSpec;
  /** Keeps what follows a picture behind it until it is encoded. */
  sequence: Sequence;
  /** Of the last frame recorded, whole or without its picture. */
  last: Pair | null;
  /** Which stretch of LOOK_MS the last frame that was looked at is of. */
  looked: number;
  /** The last frame recorded as it came: it is recorded once more when it is asked about, without its picture. */
  lastFrame: string;
  /** The gate took the last one for a flash, so what it made of the next frame counts, whatever that was. */
  afterFlash: boolean;
}

export class Recording {
  private readonly tapes = new Map<string, Tape>();
  private readonly encoding = new Map<string, { camera: string; jpeg: Promise<Uint8Array | null>; isWithdrawn: boolean }>(); // by frame: watches share it
  /** That were not encoded, being too many at a time or damaged, or were withdrawn. */
  droppedPictures = 0;

  constructor(private readonly options: RecordingOptions) {}

  decided({ watch, inspection, atMs, skipped, compared, confirms }: FrameDecision): void {
    const { spec } = watch;
    const tape = this.tape(watch.id, spec);
    const { frame } = inspection;
    const isAgain = tape.lastFrame === frame.id;
    const stretch = Math.floor(frame.monotonicMs / LOOK_MS);
    const looksNew = () => tape.last === null || isNew(inspection.changedSince(tape.last, spec), spec);
    const isFlash = skipped === 'unchanged' && compared !== null && isNew(compared.share, spec);
    const counts = skipped === null || confirms || isFlash || (tape.afterFlash && compared !== null);
    if (!counts && (isAgain || skipped === 'repeat' || skipped === 'age' || skipped === 'unchanged' || tape.looked === stretch)) return;
    tape.looked = stretch;
    if (!counts && !looksNew()) return;
    if (compared !== null || skipped === null) tape.afterFlash = isFlash;
    const line: Omit<FrameLine, 'file' | 'bytes'> = {
      kind: 'frame',
      at: frame.at.toISOString(),
      mono_ms: frame.monotonicMs,
      id: frame.id,
      decided_ms: atMs,
      width: frame.width,
      height: frame.height,
      content: frame.content,
      share: compared?.share ?? null,
      against: compared?.against ?? null,
      asked: skipped === null,
      skipped,
      confirms,
    };
    if (isAgain) {
      tape.sequence.add(() => tape.record.frame(line, null));
      return;
    }
    tape.last = inspection.pair(spec);
    tape.lastFrame = frame.id;
    tape.sequence.add((jpeg) => tape.record.frame(line, jpeg), this.jpeg(frame, spec.camera));
  }

  answered(outcome: WatchOutcome): void {
    const { id, atMs, frame, observed, confidence, answer, value, status, error } = outcome;
    this.line(outcome.watch, {
      kind: 'answer',
      at: this.now(),
      mono_ms: atMs,
      id,
      frame: frame?.id ?? null,
      observed,
      confidence,
      text: answer,
      value,
      status,
      error: error && { ...error },
    });
  }

  opined({ watch, atMs, frame, question, expect, value, confidence, answer, agrees, error }: Opinion): void {
    this.line(watch, {
      kind: 'opinion',
      at: this.now(),
      mono_ms: atMs,
      frame: frame.id,
      question,
      expect,
      observed: value,
      confidence,
      text: answer,
      agrees,
      error: error && { ...error },
    });
  }

  told(event: WatchEvent): void {
    this.line(event.outcome.watch, { kind: 'event', ...toldOf(event) });
  }

  suppressed(news: Suppressed): void {
    this.line(news.outcome.watch, { kind: 'suppressed', ...toldOf(news), reason: news.reason });
  }

  /** Of the watch that compares. */
  marked(watch: string, { watch: teller, answer, frame, fromMs, atMs, at }: Mark): void {
    this.line(watch, { kind: 'mark', at: at.toISOString(), mono_ms: atMs, watch: teller, answer, frame, frame_ms: fromMs });
  }

  /** Watches of which this is not so are recorded no more, not even what is being encoded of them. */
  retain(isRecorded: (watch: string, spec: WatchSpec) => boolean): void {
    for (const [watch, tape] of this.tapes) {
      if (isRecorded(watch, tape.spec)) continue;
      tape.record = NOWHERE;
      this.tapes.delete(watch);
    }
  }

  /** Frames that are being encoded are recorded without their picture. */
  withdrawPictures(cameras: readonly string[]): void {
    for (const entry of this.encoding.values()) entry.isWithdrawn ||= cameras.includes(entry.camera);
  }

  /** Resolves when everything has been handed over. */
  async end(): Promise<void> {
    await Promise.all([...this.tapes.values()].map(({ sequence }) => sequence.done()));
  }

  private line(watch: string, line: AnswerLine | OpinionLine | EventLine | SuppressedLine | MarkLine): void {
    const tape = this.tapes.get(watch);
    tape?.sequence.add(() => tape.record.line(line));
  }

  private now(): string {
    return (this.options.date?.() ?? new Date()).toISOString();
  }

  private tape(watch: string, spec: WatchSpec): Tape {
    const known = this.tapes.get(watch);
    if (known?.spec === spec) return known;
    const { model, timezone } = this.options;
    const start = { camera: spec.camera, spec, timezone, model };
    if (known === undefined) {
      const record = this.options.open(watch, start);
      const tape: Tape = { record, spec, sequence: new Sequence(), last: null, looked: -1, lastFrame: '', afterFlash: false };
      this.tapes.set(watch, tape);
      return tape;
    }
    known.spec = spec;
    known.last = null;
    known.sequence.add(() => known.record.start(start));
    return known;
  }

  private jpeg(frame: Frame, camera: string): Promise<Uint8Array | null> {
    const shared = this.encoding.get(frame.id);
    if (shared !== undefined) return shared.jpeg;
    if (this.encoding.size >= MOST_ENCODING) {
      this.droppedPictures++;
      return Promise.resolve(null);
    }
    const entry = { camera, jpeg: this.encode(frame).finally(() => this.encoding.delete(frame.id)), isWithdrawn: false };
    this.encoding.set(frame.id, entry);
    entry.jpeg = entry.jpeg.then((jpeg) => {
      if (jpeg === null || entry.isWithdrawn) this.droppedPictures++;
      return entry.isWithdrawn ? null : jpeg;
    });
    return entry.jpeg;
  }

  /** Null: it cannot be. */
  private async encode(frame: Frame): Promise<Uint8Array | null> {
    const letGo = frame.hold?.();
    try {
      return await this.options.encode(frame);
    } catch {
      return null;
    } finally {
      letGo?.();
    }
  }
}

/** What an event and one that is not told have in common. */
function toldOf({ type, previous, outcome: { id, frame, value }, atMs, at }: WatchEvent | Suppressed): Omit<EventLine, 'kind'> {
  return { at: at.toISOString(), mono_ms: atMs, event_type: type, value, previous, frame: frame?.id ?? null, answer: id };
}

function isNew(share: number, { change_percent }: WatchSpec): boolean {
  return share > 0 && share * 100 >= change_percent;
}
