/** What nobody may see: polygons that are black in a picture before it becomes a frame. */
import { MiphaError } from '../errors.js';
import { cover, fillRuns, type Runs } from './cover.js';
import type { Picture } from './frame.js';
import type { Polygon } from './polygon.js';

/**
 * Around what the polygons touch. Pictures are scaled down before they come here, and the kernels of scaling (Lanczos in sharp) carry an edge at full
 * contrast by 4 % into the pixel beside it, by 1 to 2 % into the next, below 1 % from there on.
 */
const MARGIN_PX = 2;
const BLACK = 0;

export class Privacy {
  private covered: { width: number; height: number; runs: Runs } | undefined; // of the last size
  private last: { data: Uint8Array; painted: Uint8Array } | undefined; // of a picture that its source has kept

  constructor(readonly polygons: readonly Polygon[]) {}

  /**
   * The picture with all of it black, in its own memory unless the source keeps that; without polygons the picture itself. What the picture shows is not told any more: the covered part
   * would be told too. Throws ERR_CAMERA for a picture that cannot be painted.
   */
  paint(picture: Picture): Picture {
    if (this.polygons.length === 0) return picture;
    const { width, height, format, data, kept, giveBack } = picture;
    const channels = format === 'rgb' ? 3 : 1;
    const bytes = width * height * channels;
    if (!(Number.isInteger(width) && Number.isInteger(height) && bytes > 0 && data.length === bytes)) {
      const received = `${data.length} bytes for ${width} x ${height} pixels of ${format}`;
      throw new MiphaError('ERR_CAMERA', `The privacy mask cannot be put over a picture: expected its bytes without gaps, received ${received}`, {
        details: { expected: `${bytes} bytes`, received },
      });
    }
    const runs = this.runsOf(width, height);
    const painted = kept ? this.copyOf(data, runs, channels) : fillRuns(data, runs, channels, BLACK);
    return { width, height, format, data: painted, ...(giveBack === undefined ? {} : { giveBack }) };
  }

  private runsOf(width: number, height: number): Runs {
    if (this.covered?.width !== width || this.covered.height !== height) {
      this.covered = { width, height, runs: cover(this.polygons, width, height, MARGIN_PX) };
    }
    return this.covered.runs;
  }

  /** The same for the same memory: nobody writes to what is kept. */
  private copyOf(data: Uint8Array, runs: Runs, channels: number): Uint8Array {
    if (this.last?.data !== data) this.last = { data, painted: fillRuns(Uint8Array.from(data), runs, channels, BLACK) };
    return this.last.painted;
  }
}
