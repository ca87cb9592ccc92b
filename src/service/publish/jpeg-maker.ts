/** Frames → JPEG files of bounded size, one at a time, so that the frames that are held meanwhile are bounded too. */
import type { Frame } from '../../camera/frame.js';
import { type JpegOptions, jpegOf } from '../../camera/jpeg.js';

export interface Jpeg {
  data: Buffer;
  width: number; // pixels
  height: number;
}

export interface JpegWish extends JpegOptions {
  mostBytes: number;
  /** False: whoever wanted it does not wait any more. */
  isWanted: () => boolean;
}

/** Of frames that wait or are under way; one is always taken. */
const HELD_BYTES = 64 * 2 ** 20;
/** A second try is this much smaller than the first was too large: small pictures have more bytes per pixel. */
const MARGIN = 0.8;
const LEAST_SIDE_PX = 16;

export class JpegMaker {
  private held = 0;
  private turn: Promise<unknown> = Promise.resolve();

  constructor(private readonly encode: typeof jpegOf = jpegOf) {}

  /** Holds the frame from this tick on. Rejects with what the encoder throws. */
  async make(frame: Frame, wish: JpegWish): Promise<Jpeg | 'busy' | 'too_large' | 'late'> {
    const bytes = frame.data.length;
    if (this.held > 0 && this.held + bytes > HELD_BYTES) return 'busy';
    this.held += bytes;
    const letGo = frame.hold?.();
    const turn = this.turn.then(async () => (wish.isWanted() ? await this.fitting(frame, wish) : 'late'));
    this.turn = turn.catch(() => {});
    try {
      return await turn;
    } finally {
      this.held -= bytes;
      letGo?.();
    }
  }

  private async fitting(frame: Frame, { mostBytes, ...options }: JpegWish): Promise<Jpeg | 'too_large'> {
    const first = await this.encode(frame, options);
    if (first.data.length <= mostBytes) return first;
    const side = Math.floor(Math.max(first.width, first.height) * Math.sqrt(mostBytes / first.data.length) * MARGIN);
    const second = await this.encode(frame, { ...options, maxSidePx: Math.max(LEAST_SIDE_PX, side) });
    return second.data.length <= mostBytes ? second : 'too_large';
  }
}
