/** sha256 of files of any size: the next piece is read while the last one is hashed. */
import { createHash } from 'node:crypto';
import { open } from 'node:fs/promises';
import { fileError } from './format.js';
import type { FileRecord } from './manifest.js';

const PIECE_BYTES = 4 * 1024 * 1024;

export interface HashOptions {
  signal?: AbortSignal | undefined;
  /** Bytes hashed since the last call. */
  onBytes?: (bytes: number) => void;
}

/** Throws ERR_MODEL_MISSING, or `signal.reason`. */
export async function hashFile(path: string, { signal, onBytes }: HashOptions = {}): Promise<FileRecord> {
  try {
    await using file = await openDisposable(path);
    const { handle } = file;
    const hash = createHash('sha256');
    const buffers = [Buffer.allocUnsafeSlow(PIECE_BYTES), Buffer.allocUnsafeSlow(PIECE_BYTES)] as const;
    let bytes = 0;
    let next = handle.read(buffers[0], 0, PIECE_BYTES, 0);
    for (let turn = 1; ; turn++) {
      const { bytesRead, buffer } = await next;
      signal?.throwIfAborted();
      if (bytesRead === 0) return { bytes, sha256: hash.digest('hex') };
      bytes += bytesRead;
      next = handle.read(buffers[turn % 2 === 0 ? 0 : 1], 0, PIECE_BYTES, bytes);
      hash.update(buffer.subarray(0, bytesRead));
      onBytes?.(bytesRead);
    }
  } catch (error) {
    if (signal?.aborted) throw signal.reason;
    throw fileError(path, error);
  }
}

async function openDisposable(path: string) {
  const handle = await open(path, 'r');
  return { handle, [Symbol.asyncDispose]: () => handle.close() };
}

/** Of a text in UTF-8. */
export function sha256Of(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}
