/** Reads a stream of files from multipartmux, each behind headers that say its length, in pieces of any size. */
import { MiphaError } from '../errors.js';

const MOST_HEADERS = 1024; // bytes
const MOST_FILE = 64 * 1024 * 1024; // bytes
const HEADERS_END = '\r\n\r\n';

export class MultipartReader {
  private headers = '';
  private file: Buffer | undefined;
  private filled = 0; // bytes of `file`

  constructor(private readonly onFile: (file: Buffer) => void) {}

  /** Throws ERR_CAMERA when the stream is not what it should be; nothing can be read from it after that. */
  push(chunk: Uint8Array): void {
    for (let at = 0; at < chunk.length; ) {
      if (this.file === undefined) {
        at = this.readHeaders(chunk, at);
        continue;
      }
      const part = chunk.subarray(at, at + this.file.length - this.filled);
      this.file.set(part, this.filled);
      this.filled += part.length;
      at += part.length;
      if (this.filled < this.file.length) continue;
      const whole = this.file;
      this.file = undefined;
      this.onFile(whole);
    }
  }

  /** In the middle of a file: a stream that ends here was cut off. */
  get partial(): boolean {
    return this.file !== undefined || this.headers.trim() !== '';
  }

  private readHeaders(chunk: Uint8Array, from: number): number {
    for (let at = from; at < chunk.length; at++) {
      this.headers += String.fromCharCode(chunk[at] as number);
      if (!this.headers.endsWith(HEADERS_END) || this.headers.trim() === '') {
        if (this.headers.length > MOST_HEADERS) throw desync(this.headers);
        continue;
      }
      const length = Number(/^Content-Length: (\d+)\r$/m.exec(this.headers)?.[1]);
      if (!(length >= 1 && length <= MOST_FILE)) throw desync(this.headers);
      this.headers = '';
      this.filled = 0;
      this.file = Buffer.allocUnsafe(length);
      return at + 1;
    }
    return chunk.length;
  }
}

function desync(headers: string): MiphaError {
  const shown = JSON.stringify(headers.slice(0, 60));
  return new MiphaError('ERR_CAMERA', `Broken stream of pictures: expected a Content-Length of at most ${MOST_FILE} bytes, received ${shown}`, {
    details: { expected: 'Content-Length', received: headers.slice(0, 60) },
  });
}
