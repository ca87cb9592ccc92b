/** Reads a stream of binary PNM pictures (P6 is rgb, P5 gray) that arrives in pieces of any size. */
import { MiphaError } from '../errors.js';
import type { Picture } from './frame.js';
import { BufferPool } from './lease.js';

const MOST_SIDE = 16_384; // pixels
const MOST_HEADER = 256; // bytes; comments included
const NEWLINE = 10;

/** Every byte of a chunk is copied once, into the picture it belongs to. */
export class PnmReader {
  private header = '';
  private picture: (Picture & { data: Buffer }) | undefined;
  private filled = 0; // bytes of `picture`
  private readonly pool = new BufferPool();

  constructor(private readonly onPicture: (picture: Picture) => void) {}

  /** Throws ERR_CAMERA when the stream is not what it should be; nothing can be read from it after that. */
  push(chunk: Uint8Array): void {
    let at = 0;
    while (at < chunk.length) {
      if (this.picture === undefined) {
        at = this.readHeader(chunk, at);
        continue;
      }
      const part = chunk.subarray(at, at + this.picture.data.length - this.filled);
      this.picture.data.set(part, this.filled);
      this.filled += part.length;
      at += part.length;
      if (this.filled < this.picture.data.length) continue;
      const whole = this.picture;
      this.picture = undefined;
      this.onPicture(whole);
    }
  }

  /** In the middle of a picture: a stream that ends here was cut off. */
  get partial(): boolean {
    return this.picture !== undefined || this.header !== '';
  }

  private readHeader(chunk: Uint8Array, from: number): number {
    for (let at = from; at < chunk.length; at++) {
      this.header += String.fromCharCode(chunk[at] as number);
      if (this.header.length === 2 && !/^P[56]$/.test(this.header)) throw desync(this.header);
      if (this.header.length > MOST_HEADER) throw desync(this.header);
      if (chunk[at] !== NEWLINE) continue;
      const size = complete(this.header);
      if (size === undefined) continue;
      const format = this.header.startsWith('P6') ? 'rgb' : 'gray';
      this.header = '';
      this.filled = 0;
      const data = this.pool.take(size.width * size.height * (format === 'rgb' ? 3 : 1));
      this.picture = { ...size, format, data, giveBack: () => this.pool.give(data) };
      return at + 1;
    }
    return chunk.length;
  }
}

/** The size in a header whose last line has just ended; undefined when more lines must follow. */
function complete(header: string): { width: number; height: number } | undefined {
  const fields = header
    .replace(/#[^\n]*\n/g, '\n')
    .trim()
    .split(/\s+/);
  if (fields.length < 4) return undefined;
  const [, width, height, most] = fields.map(Number) as [number, number, number, number];
  const side = (value: number) => Number.isInteger(value) && value >= 1 && value <= MOST_SIDE;
  if (fields.length !== 4 || fields.slice(1).some((field) => !/^\d+$/.test(field)) || !side(width) || !side(height) || most !== 255)
    throw desync(header);
  return { width, height };
}

function desync(header: string): MiphaError {
  const shown = JSON.stringify(header.slice(0, 60));
  return new MiphaError('ERR_CAMERA', `Broken stream of pictures: expected a PNM header of at most ${MOST_SIDE} pixels a side, received ${shown}`, {
    details: { expected: 'P5 or P6, width, height, 255', received: header.slice(0, 60) },
  });
}
