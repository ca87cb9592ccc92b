/**
 * The safetensors container: 8 bytes of header length, a JSON header {name: {dtype, shape, data_offsets}}, then the data without holes.
 * The reader trusts nothing; the writer streams, so the header is written before the first value is known.
 */
import { createHash } from 'node:crypto';
import { type FileHandle, open } from 'node:fs/promises';
import { MiphaError } from '../errors.js';
import { BYTES_OF, type DType } from './floats.js';
import { fileError, formatError, textOf } from './format.js';
import type { FileRecord } from './manifest.js';

const MAX_HEADER_BYTES = 100_000_000; // the limit of the format
const ALIGNMENT = 64; // bytes; of the data section, so that tensors of whole cache lines start on one

export interface TensorEntry {
  dtype: string; // may be one that we cannot read
  shape: number[];
  offset: number; // from the start of the file
  bytes: number;
}

/** An open file; `tensors` in the order of their bytes. */
export interface SafetensorsFile {
  path: string;
  bytes: number;
  tensors: Map<string, TensorEntry>;
  /** Fills `into` from `offset`. Throws ERR_MODEL_FORMAT when the file became shorter. */
  read(offset: number, into: Uint8Array): Promise<void>;
  close(): Promise<void>;
}

/** Throws ERR_MODEL_MISSING or ERR_MODEL_FORMAT, naming file and tensor. */
export async function openSafetensors(path: string): Promise<SafetensorsFile> {
  let handle: FileHandle | undefined;
  try {
    handle = await open(path, 'r');
    const stat = await handle.stat();
    if (!stat.isFile()) throw formatError(path, 'a file', 'something else');
    const tensors = await readHeader(path, handle, stat.size);
    const file = handle;
    return { path, bytes: stat.size, tensors, read: (offset, into) => readFully(path, file, offset, into), close: () => file.close() };
  } catch (error) {
    await handle?.close();
    throw fileError(path, error);
  }
}

async function readFully(path: string, handle: FileHandle, offset: number, into: Uint8Array): Promise<void> {
  let done = 0;
  while (done < into.byteLength) {
    const { bytesRead } = await handle.read(into, done, into.byteLength - done, offset + done);
    if (bytesRead === 0) throw formatError(path, `${into.byteLength} bytes at ${offset}`, `end of file after ${done}`);
    done += bytesRead;
  }
}

async function readHeader(path: string, handle: FileHandle, fileBytes: number): Promise<Map<string, TensorEntry>> {
  if (fileBytes < 8) throw formatError(path, 'at least 8 bytes', fileBytes);
  const prefix = new Uint8Array(8);
  await readFully(path, handle, 0, prefix);
  refuseStandIn(path, new TextDecoder().decode(prefix));
  const length = new DataView(prefix.buffer).getBigUint64(0, true);
  const limit = Math.min(MAX_HEADER_BYTES, fileBytes - 8);
  if (length > BigInt(limit)) throw formatError(`${path}: header length`, `at most ${limit} bytes`, length.toString());
  const text = new Uint8Array(Number(length));
  await readFully(path, handle, 8, text);
  return parseHeader(path, textOf(`${path}: header`, text), 8 + text.byteLength, fileBytes);
}

/** What an unfinished download leaves under the name of the file. */
function refuseStandIn(path: string, begin: string): void {
  const standIn = begin === 'version ' ? 'a Git LFS pointer' : /^\s*</.test(begin) ? 'a web page' : undefined;
  if (standIn === undefined) return;
  const remedy = standIn === 'a web page' ? 'download the file again' : 'fetch it with: git lfs pull';
  throw new MiphaError('ERR_MODEL_FORMAT', `${path}: expected safetensors, received ${standIn}; ${remedy}`, { details: { path, remedy } });
}

/** `start` is where the data begins. The data must be covered exactly: no hole, no overlap, nothing behind. */
function parseHeader(path: string, text: string, start: number, fileBytes: number): Map<string, TensorEntry> {
  let header: unknown;
  try {
    header = JSON.parse(text);
  } catch (error) {
    throw formatError(`${path}: header`, 'JSON', (error as Error).message, error);
  }
  if (typeof header !== 'object' || header === null || Array.isArray(header)) throw formatError(`${path}: header`, 'an object', typeof header);
  const entries = Object.entries(header).filter(([name]) => name !== '__metadata__');
  const tensors = entries.map(([name, value]) => [name, parseEntry(`${path}: ${name}`, value, start)] as const);
  tensors.sort(([, a], [, b]) => a.offset - b.offset || a.bytes - b.bytes);
  let end = start;
  for (const [name, { offset, bytes }] of tensors) {
    if (offset !== end) throw formatError(`${path}: ${name}`, `data at offset ${end - start}, next to the tensor before`, offset - start);
    end = offset + bytes;
    if (end > fileBytes) throw formatError(`${path}: ${name}`, `${end} bytes in the file`, fileBytes);
  }
  if (end !== fileBytes) throw formatError(path, `${end} bytes, as its header says`, fileBytes);
  return new Map(tensors);
}

function parseEntry(what: string, value: unknown, start: number): TensorEntry {
  const { dtype, shape, data_offsets: offsets } = (value ?? {}) as { dtype?: unknown; shape?: unknown; data_offsets?: unknown };
  if (typeof dtype !== 'string') throw formatError(`${what}: dtype`, 'a string', dtype);
  if (!isSizes(shape) || shape.length > 8) throw formatError(`${what}: shape`, 'at most 8 sizes', shape);
  if (!isSizes(offsets) || offsets.length !== 2) throw formatError(`${what}: data_offsets`, 'two offsets', offsets);
  const [begin, end] = offsets as [number, number];
  const bytes = end - begin;
  if (bytes < 0) throw formatError(`${what}: data_offsets`, 'end ≥ begin', offsets);
  const needed = Object.hasOwn(BYTES_OF, dtype) ? shape.reduce((product, size) => product * size, BYTES_OF[dtype as DType]) : bytes;
  if (needed !== bytes) throw formatError(`${what}: data_offsets`, `${needed} bytes for ${dtype} [${shape}]`, bytes);
  return { dtype, shape, offset: start + begin, bytes };
}

function isSizes(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((size) => Number.isSafeInteger(size) && size >= 0);
}

export interface TensorSpec {
  name: string;
  dtype: DType;
  shape: number[];
}

export function bytesOf({ dtype, shape }: TensorSpec): number {
  return shape.reduce((product, size) => product * size, BYTES_OF[dtype]);
}

/**
 * The order in which tensors are stored: by falling alignment of their size, so that with no hole allowed between them each starts at a multiple
 * of its own alignment (64 bytes for all of the published models). Tensors of equal alignment keep their order.
 */
export function storageOrder<T extends TensorSpec>(tensors: T[]): T[] {
  const alignment = (spec: TensorSpec) => {
    const bytes = bytesOf(spec);
    return bytes % ALIGNMENT === 0 ? ALIGNMENT : bytes & -bytes & (ALIGNMENT - 1);
  };
  return tensors.toSorted((a, b) => alignment(b) - alignment(a));
}

/** Writes the tensors it was created with, in that order, in pieces of any size; hashes on the way. */
export class SafetensorsWriter {
  readonly #hash = createHash('sha256');
  readonly #bytes: number;
  #position = 0;

  private constructor(
    readonly path: string,
    readonly handle: FileHandle,
    bytes: number,
  ) {
    this.#bytes = bytes;
  }

  static async create(path: string, tensors: TensorSpec[]): Promise<SafetensorsWriter> {
    const header = headerOf(tensors);
    const data = tensors.reduce((sum, spec) => sum + bytesOf(spec), 0);
    const writer = new SafetensorsWriter(path, await open(path, 'wx'), header.byteLength + data);
    await writer.write(header);
    return writer;
  }

  /** The next bytes of the file. */
  async write(bytes: Uint8Array): Promise<void> {
    this.#hash.update(bytes);
    let done = 0;
    while (done < bytes.byteLength) {
      const { bytesWritten } = await this.handle.write(bytes, done, bytes.byteLength - done, this.#position + done);
      done += bytesWritten;
    }
    this.#position += bytes.byteLength;
  }

  /** Closes the file; `durable` waits until it is on the disk. */
  async finish({ durable }: { durable: boolean }): Promise<FileRecord> {
    if (this.#position !== this.#bytes)
      throw new MiphaError('ERR_INTERNAL', `${this.path}: ${this.#position} bytes written instead of ${this.#bytes}`);
    if (durable) await this.handle.datasync();
    await this.handle.close();
    return { bytes: this.#bytes, sha256: this.#hash.digest('hex') };
  }

  /** Closes the file as it is; nothing happens after finish(). */
  async abandon(): Promise<void> {
    await this.handle.close().catch(() => undefined);
  }
}

/** Length and JSON, padded with spaces so that the data starts on a multiple of 64 bytes. */
function headerOf(tensors: TensorSpec[]): Uint8Array {
  let offset = 0;
  const entries = tensors.map((spec) => {
    const begin = offset;
    offset += bytesOf(spec);
    return [spec.name, { dtype: spec.dtype, shape: spec.shape, data_offsets: [begin, offset] }];
  });
  const json = new TextEncoder().encode(JSON.stringify(Object.fromEntries(entries)));
  const padded = Math.ceil((8 + json.byteLength) / ALIGNMENT) * ALIGNMENT;
  const header = new Uint8Array(padded).fill(0x20);
  new DataView(header.buffer).setBigUint64(0, BigInt(padded - 8), true);
  header.set(json, 8);
  return header;
}
