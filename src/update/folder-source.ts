/** A release in a folder of this machine, e.g. on a stick. */
import { constants } from 'node:fs';
import { type FileHandle, open, realpath } from 'node:fs/promises';
import { join } from 'node:path';
import { fileError, formatError } from '../package/format.js';
import { refused } from './refused.js';
import type { Source } from './source.js';

const PIECE_BYTES = 1024 * 1024;

export class FolderSource implements Source {
  readonly isRemote = false;

  /** `name`: a real path. */
  constructor(readonly name: string) {}

  async small(path: string, mostBytes: number, signal: AbortSignal): Promise<Buffer> {
    const file = await this.open(path);
    try {
      const { size } = await file.stat();
      if (size > mostBytes) throw refused('checksum', `${join(this.name, path)}: expected at most ${mostBytes} bytes, received ${size}`);
      signal.throwIfAborted();
      return await file.readFile();
    } finally {
      await file.close();
    }
  }

  async read(path: string, from: number, signal: AbortSignal): Promise<{ from: number; pieces: AsyncIterable<Uint8Array> }> {
    const file = await this.open(path);
    return { from, pieces: piecesOf(file, join(this.name, path), from, signal) };
  }

  /** Nothing that a link leads to: it may be outside. */
  private async open(path: string): Promise<FileHandle> {
    const full = join(this.name, path);
    try {
      if ((await realpath(full)) !== full) throw formatError(full, 'a file', 'a link, or a file behind one');
      const file = await open(full, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
      if ((await file.stat()).isFile()) return file;
      await file.close();
      throw formatError(full, 'a file', 'something else');
    } catch (error) {
      throw fileError(full, error);
    }
  }
}

async function* piecesOf(file: FileHandle, name: string, from: number, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  const buffer = Buffer.allocUnsafeSlow(PIECE_BYTES);
  try {
    for (let at = from; ; ) {
      signal.throwIfAborted();
      const { bytesRead } = await file.read(buffer, 0, PIECE_BYTES, at);
      if (bytesRead === 0) return;
      at += bytesRead;
      yield buffer.subarray(0, bytesRead);
    }
  } catch (error) {
    if (signal.aborted) throw signal.reason;
    throw fileError(name, error); // a stick that is pulled out
  } finally {
    await file.close();
  }
}
