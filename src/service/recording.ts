/** What watches see, answer and tell, handed to the recorder: frames that were asked about or looked different, in the order of what happened. */
import type { Frame } from '../camera/frame.js';
import type { AnswerLine, FrameLine, StartLine } from '../record/lines.js';
import type { WatchRecord } from '../record/recorder.js';
import type { Pair } from '../watch/change.js';
import type { Suppressed, WatchEvent } from '../watch/events.js';
import type { FrameDecision } from '../watch/loop.js';
import type { WatchOutcome } from '../watch/outcome.js';
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
}

/** Pictures being encoded at a time, of all watches: one more is recorded without. */
const MOST_ENCODING = 4;

interface Tape {
  record: WatchRecord;
  spec: WatchSpec;
  /** Keeps what follows a picture behind it until it is encoded. */
  sequence: Sequence;
  /** Of the last frame recorded, whole or without its picture. */
  last: Pair | null;
  /** The last frame recorded as it came: it is recorded once more when it is asked about, without its picture. */
  lastFrame: string;
  /** The gate took the last one for a flash, so what it made of the next frame counts, whatever that was. */
  afterFlash: boolean;
}

export class Recording {
  private readonly tapes = new Map<string, Tape>();
  private readonly encoding = new Map<string, Promise<Uint8Array | null>>(); // by frame: watches share it
  /** That were not encoded: too many at a time, or damaged. */
  droppedPictures = 0;

  constructor(private readonly options: RecordingOptions) {}

  decided({ watch, inspection, atMs, skipped, compared }: FrameDecision): void {
    const { spec } = watch;
    const tape = this.tape(watch.id, spec);
    const { frame } = inspection;
    const isAgain = tape.lastFrame === frame.id;
    const looksNew = () => tape.last === null || isNew(inspection.changedSince(tape.last, spec), spec);
    const isFlash = skipped === 'unchanged' && compared !== null && isNew(compared.share, spec);
    const counts = skipped === null || isFlash || (tape.afterFlash && compared !== null);
    if (!counts && (isAgain || skipped === 'repeat' || skipped === 'age' || skipped === 'unchanged' || !looksNew())) return;
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
    };
    if (isAgain) {
      tape.sequence.add(() => tape.record.frame(line, null));
      return;
    }
    tape.last = inspection.pair(spec);
    tape.lastFrame = frame.id;
    tape.sequence.add((jpeg) => tape.record.frame(line, jpeg), this.jpeg(frame));
  }

  answered(outcome: WatchOutcome): void {
    const tape = this.tapes.get(outcome.watch);
    if (tape === undefined) return;
    const { id, atMs, frame, observed, confidence, answer, value, status, error } = outcome;
    const line: AnswerLine = {
      kind: 'answer',
      at: new Date().toISOString(),
      mono_ms: atMs,
      id,
      frame: frame?.id ?? null,
      observed,
      confidence,
      text: answer,
      value,
      status,
      error: error && { ...error },
    };
    tape.sequence.add(() => tape.record.line(line));
  }

  told(event: WatchEvent): void {
    const tape = this.tapes.get(event.outcome.watch);
    if (tape === undefined) return;
    const line = { kind: 'event' as const, ...toldOf(event) };
    tape.sequence.add(() => tape.record.line(line));
  }

  suppressed(news: Suppressed): void {
    const tape = this.tapes.get(news.outcome.watch);
    if (tape === undefined) return;
    const line = { kind: 'suppressed' as const, ...toldOf(news), reason: news.reason };
    tape.sequence.add(() => tape.record.line(line));
  }

  forget(watch: string): void {
    this.tapes.delete(watch);
  }

  /** Resolves when everything has been handed over. */
  async end(): Promise<void> {
    await Promise.all([...this.tapes.values()].map(({ sequence }) => sequence.done()));
  }

  private tape(watch: string, spec: WatchSpec): Tape {
    const known = this.tapes.get(watch);
    if (known?.spec === spec) return known;
    const { model, timezone } = this.options;
    const start = { camera: spec.camera, spec, timezone, model };
    if (known === undefined) {
      const record = this.options.open(watch, start);
      const tape: Tape = { record, spec, sequence: new Sequence(), last: null, lastFrame: '', afterFlash: false };
      this.tapes.set(watch, tape);
      return tape;
    }
    known.spec = spec;
    known.last = null;
    known.sequence.add(() => known.record.start(start));
    return known;
  }

  private jpeg(frame: Frame): Promise<Uint8Array | null> {
    const shared = this.encoding.get(frame.id);
    if (shared !== undefined) return shared;
    if (this.encoding.size >= MOST_ENCODING) {
      this.droppedPictures++;
      return Promise.resolve(null);
    }
    const letGo = frame.hold?.();
    const jpeg = this.options
      .encode(frame)
      .catch(() => {
        this.droppedPictures++;
        return null;
      })
      .finally(() => {
        letGo?.();
        this.encoding.delete(frame.id);
      });
    this.encoding.set(frame.id, jpeg);
    return jpeg;
  }
}

function toldOf({ type, previous, outcome: { id, frame, value }, atMs, at }: WatchEvent | Suppressed) {
  return { at: at.toISOString(), mono_ms: atMs, event_type: type, value, previous, frame: frame?.id ?? null, answer: id };
}

function isNew(share: number, { change_percent }: WatchSpec): boolean {
  return share > 0 && share * 100 >= change_percent;
}
