/**
 * What watches see, answer and tell, handed to the recorder in the order of what happened. Of frames those that were asked about, and some that looked
 * different.
 */
import type { Frame } from '../../camera/frame.js';
import type { NewFrame, NewLine } from '../../record/items.js';
import type { EventLine } from '../../record/lines.js';
import type { Pair } from '../../watch/change.js';
import type { FrameDecision } from '../../watch/decisions.js';
import type { Suppressed, WatchEvent } from '../../watch/event.js';
import type { Opinion } from '../../watch/opinion.js';
import type { WatchOutcome } from '../../watch/outcome.js';
import type { Mark } from '../../watch/past.js';
import type { WatchSpec } from '../../watch/spec.js';
import type { PictureName } from './intake.js';
import type { RecordThread } from './thread.js';

export interface RecordingOptions {
  to: Pick<RecordThread, 'start' | 'line' | 'frame' | 'picture' | 'withdraw' | 'stop'>;
  readonly model: { name: string; hash: string };
  /** Of quiet hours, an IANA name. */
  timezone: string;
  /** The clock on the wall. Default: the process's. */
  date?: () => Date;
}

/**
 * How often a frame that need not be recorded is looked at, whether it differs from the last one recorded: such frames show what other settings would
 * have asked about. A picture that never stands still would otherwise take the disk and the event loop at the speed of the camera. All watches look
 * at the same frames, so that they share the work.
 */
const LOOK_MS = 500;

interface Tape {
  spec: WatchSpec;
  model: string; // its hash
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
  private readonly pictures = new Map<string, { frame: string; picture: PictureName | null }>(); // the newest of each camera: watches share it

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
    const line: NewFrame = {
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
    this.options.to.frame(watch.id, line, isAgain ? null : this.picture(frame, spec.camera));
    if (isAgain) return;
    tape.last = inspection.pair(spec);
    tape.lastFrame = frame.id;
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

  /** Watches of which this is not so are recorded no more, not even what waits for a picture of them. */
  retain(isRecorded: (watch: string, spec: WatchSpec) => boolean): void {
    for (const [watch, tape] of this.tapes) {
      if (isRecorded(watch, tape.spec)) continue;
      this.tapes.delete(watch);
      this.options.to.stop(watch);
    }
  }

  /** Of these cameras frames that are being encoded are recorded without their picture; and those of others, which are few at a time. */
  withdrawPictures(cameras: readonly string[]): void {
    if (cameras.length === 0) return;
    this.pictures.clear();
    this.options.to.withdraw();
  }

  private line(watch: string, line: NewLine): void {
    if (this.tapes.has(watch)) this.options.to.line(watch, line);
  }

  private now(): string {
    return (this.options.date?.() ?? new Date()).toISOString();
  }

  private tape(watch: string, spec: WatchSpec): Tape {
    const known = this.tapes.get(watch);
    const { model, timezone } = this.options;
    if (known?.spec === spec && known.model === model.hash) return known;
    this.options.to.start(watch, { camera: spec.camera, spec, timezone, model });
    if (known === undefined) {
      const tape: Tape = { spec, model: model.hash, last: null, looked: -1, lastFrame: '', afterFlash: false };
      this.tapes.set(watch, tape);
      return tape;
    }
    known.spec = spec;
    known.model = model.hash;
    known.last = null;
    return known;
  }

  private picture(frame: Frame, camera: string): PictureName | null {
    const newest = this.pictures.get(camera);
    if (newest?.frame === frame.id) return newest.picture;
    const picture = this.options.to.picture(camera, frame);
    this.pictures.set(camera, { frame: frame.id, picture });
    return picture;
  }
}

/** What an event and one that is not told have in common. */
function toldOf({ type, previous, outcome: { id, frame, value }, atMs, at }: WatchEvent | Suppressed): Omit<EventLine, 'kind'> {
  return { at: at.toISOString(), mono_ms: atMs, event_type: type, value, previous, frame: frame?.id ?? null, answer: id };
}

function isNew(share: number, { change_percent }: WatchSpec): boolean {
  return share > 0 && share * 100 >= change_percent;
}
