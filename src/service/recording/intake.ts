/**
 * What a recorder is handed, in the order of what happened: a frame's line waits until its picture is encoded, and so does what follows it of its watch.
 */
import type { Frame } from '../../camera/frame.js';
import type { Item } from '../../record/queue.js';
import { Sequence } from './sequence.js';

export type Pixels = Pick<Frame, 'data' | 'width' | 'height' | 'format'>;

/** What a frame's line refers to its picture by. */
export interface PictureName {
  camera: string;
  number: number;
}

export interface RecordIntakeOptions {
  /** As Recorder.hand(). */
  hand: (watch: string, item: Item) => void;
  /** Rejects for what cannot be encoded. */
  encode: (pixels: Pixels) => Promise<Uint8Array>;
  /** Pictures up to this number are not handed on. */
  withdrawn: () => number;
}

interface Shot {
  number: number;
  jpeg: Promise<Uint8Array | null>;
}

interface Tape {
  sequence: Sequence;
  frames: number; // with a picture, that wait
  lines: number; // that wait
  isStopped: boolean;
}

export class RecordIntake {
  private readonly tapes = new Map<string, Tape>();
  private readonly newest = new Map<string, Shot>(); // by camera: watches share it, also once it is encoded
  /** That cannot be encoded, were withdrawn meanwhile, or are not here. */
  droppedPictures = 0;

  constructor(private readonly options: RecordIntakeOptions) {}

  /** Until the next one of its camera comes, lines may name it. Resolves when the pixels are needed no more; never rejects. */
  async picture({ camera, number }: PictureName, pixels: Pixels): Promise<void> {
    const jpeg = this.options.encode(pixels).catch(() => null);
    this.newest.set(camera, { number, jpeg });
    if ((await jpeg) === null || this.isWithdrawn(number)) this.droppedPictures++;
  }

  hand(watch: string, item: Item, picture: PictureName | null): void {
    const tape = this.tapes.get(watch) ?? { sequence: new Sequence(), frames: 0, lines: 0, isStopped: false };
    this.tapes.set(watch, tape);
    const newest = picture === null ? undefined : this.newest.get(picture.camera);
    const shot = newest?.number === picture?.number ? newest : undefined;
    const [frames, lines] = [shot === undefined ? 0 : 1, item.start === undefined ? 1 : 0];
    const handOn = (jpeg: Uint8Array | null) => {
      tape.frames -= frames;
      tape.lines -= lines;
      if (!tape.isStopped) this.options.hand(watch, { ...item, jpeg });
    };
    tape.frames += frames;
    tape.lines += lines;
    if (shot !== undefined) {
      tape.sequence.add((jpeg) => handOn(this.isWithdrawn(shot.number) ? null : jpeg), shot.jpeg);
      return;
    }
    if (picture !== null) this.droppedPictures++;
    tape.sequence.add(() => handOn(null));
  }

  /** What waits of this watch goes nowhere. */
  stop(watch: string): void {
    const tape = this.tapes.get(watch);
    if (tape !== undefined) tape.isStopped = true;
    this.tapes.delete(watch);
  }

  /** By watch: pictures and lines that are not handed on yet. */
  pending(): [watch: string, { frames: number; lines: number }][] {
    return [...this.tapes].map(([watch, { frames, lines }]) => [watch, { frames, lines }]);
  }

  /** Resolves when everything has been handed on. */
  async end(): Promise<void> {
    await Promise.all([...this.tapes.values()].map(({ sequence }) => sequence.done()));
  }

  private isWithdrawn(number: number): boolean {
    return number <= this.options.withdrawn();
  }
}
