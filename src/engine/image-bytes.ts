/** Where the bytes of a picture file may be: a path, a file: URL, a Blob, a buffer of any kind. */
import { readFile, stat } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { types } from 'node:util';
import { MiphaError, optionError } from '../errors.js';
import { imageError } from '../picture/decode.js';

export type ImageFile = string | URL | Blob | ArrayBufferLike | ArrayBufferView;

const MAX_FILE_BYTES = 256 * 1024 * 1024;

/** The bytes and what to call them in messages; undefined for anything else. Throws ERR_OPTION, ERR_IMAGE, `signal.reason`. */
export async function fileBytes(image: unknown, signal?: AbortSignal): Promise<{ bytes: Uint8Array; name: string } | undefined> {
  if (typeof image === 'string') return { bytes: await readPath(image, signal), name: image };
  if (image instanceof URL) {
    const path = pathOf(image);
    return { bytes: await readPath(path, signal), name: path };
  }
  if (image instanceof Blob) return { bytes: await readBlob(image, signal), name: 'image' };
  if (types.isAnyArrayBuffer(image) || ArrayBuffer.isView(image)) return { bytes: ownBytes(image, 'image'), name: 'image' };
  return undefined;
}

/** As bytes that no other thread writes to and nobody resizes: copied where need be. Throws ERR_OPTION for a detached buffer. */
export function ownBytes(data: ArrayBufferLike | ArrayBufferView, name: string): Uint8Array {
  const isView = ArrayBuffer.isView(data);
  const buffer = isView ? data.buffer : data;
  if (isDetached(buffer)) throw optionError(name, 'a buffer that has not been transferred', data);
  const bytes = isView ? new Uint8Array(buffer, data.byteOffset, data.byteLength) : new Uint8Array(buffer);
  const moves = types.isSharedArrayBuffer(buffer) || (buffer as ArrayBuffer & { resizable?: boolean }).resizable === true;
  return moves ? new Uint8Array(bytes) : bytes;
}

/** ArrayBuffer.detached is not there before Node 22. */
function isDetached(buffer: ArrayBufferLike): boolean {
  if (buffer.byteLength > 0) return false;
  try {
    new Uint8Array(buffer);
    return false;
  } catch {
    return true;
  }
}

function pathOf(url: URL): string {
  try {
    return fileURLToPath(url);
  } catch {
    throw optionError('image', 'a file: URL of this machine', `${url.protocol}//${url.host}`);
  }
}

async function readPath(path: string, signal: AbortSignal | undefined): Promise<Uint8Array> {
  try {
    const found = await stat(path);
    if (found.isDirectory()) throw imageError('unreadable', `${path}: expected a picture file, this is a folder`, { path });
    if (found.size > MAX_FILE_BYTES) throw tooLarge(path, found.size);
    return await readFile(path, { signal });
  } catch (cause) {
    if (cause instanceof MiphaError) throw cause;
    signal?.throwIfAborted();
    const { code, message } = cause as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR') throw imageError('missing', `${path}: no such file`, { path }, cause);
    throw imageError('unreadable', `${path}: cannot be read (${code ?? message})`, { path }, cause);
  }
}

async function readBlob(blob: Blob, signal: AbortSignal | undefined): Promise<Uint8Array> {
  if (blob.size > MAX_FILE_BYTES) throw tooLarge('image', blob.size);
  const buffer = await blob.arrayBuffer().catch((cause: Error) => {
    throw imageError('unreadable', `image: the Blob cannot be read (${cause.message})`, {}, cause);
  });
  signal?.throwIfAborted();
  return new Uint8Array(buffer);
}

function tooLarge(name: string, bytes: number): MiphaError {
  return imageError('size', `${name}: expected at most ${MAX_FILE_BYTES} bytes, received ${bytes}`, { bytes });
}
