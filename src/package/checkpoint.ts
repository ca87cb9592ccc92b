/** A published checkpoint opened: its sizes, and its tensors by the names they have on the hub. */
import { readFile, realpath, stat } from 'node:fs/promises';
import { basename, dirname, join, sep } from 'node:path';
import { z } from 'zod';
import { MiphaError } from '../errors.js';
import type { CheckpointConfig } from './families/family.js';
import { readConfig, readerOf } from './families/index.js';
import { BYTES_OF, type FloatType } from './floats.js';
import { fileError, formatError, parseJson, textOf } from './format.js';
import { missing, notAFolder } from './other-weights.js';
import { openSafetensors, type SafetensorsFile, type TensorEntry } from './safetensors.js';

const CONFIG_FILE = 'config.json';
const PREPROCESSOR_FILE = 'preprocessor_config.json';
const INDEX_FILE = 'model.safetensors.index.json';
const SINGLE_FILE = 'model.safetensors';
const MAX_JSON_BYTES = 64 * 1024 * 1024;

/** A float tensor that is read by rows of its first dimension; row = all other dimensions. */
export interface SourceTensor {
  name: string;
  dtype: FloatType;
  shape: number[];
  /** Fills `into` with rows * (values per row) values of `dtype`. */
  read(firstRow: number, rows: number, into: Uint8Array<ArrayBuffer>): Promise<void>;
}

export interface Checkpoint extends CheckpointConfig {
  folder: string;
  /** Everything that was opened, for provenance: config.json, preprocessor_config.json, the index, the safetensors files. */
  files: string[];
  licence: string | undefined;
  names(): Iterable<string>;
  /** Undefined when there is no such tensor; throws ERR_MODEL_FORMAT when it is none of BF16, F16, F32. */
  tensor(name: string): SourceTensor | undefined;
  close(): Promise<void>;
}

/** Throws ERR_MODEL_MISSING or ERR_MODEL_FORMAT naming file, tensor or key. Reads headers only. */
export async function openCheckpoint(folder: string): Promise<Checkpoint> {
  const root = await realpath(folder).catch((error: unknown) => {
    throw fileError(folder, error);
  });
  if (!(await stat(root)).isDirectory()) throw notAFolder(folder);
  if (!(await isThere(join(folder, CONFIG_FILE)))) throw await missing(folder, CONFIG_FILE);
  const path = join(folder, CONFIG_FILE);
  const text = await readText(path);
  const reader = readerOf(path, text); // an unknown family is refused before anything is said about its weights
  const index = await readIndex(join(folder, INDEX_FILE));
  if (index === undefined && !(await isThere(join(folder, SINGLE_FILE)))) throw await missing(folder, SINGLE_FILE);
  const shards = index === undefined ? [SINGLE_FILE] : [...new Set(index.values())].sort();
  const opened: SafetensorsFile[] = [];
  try {
    for (const shard of shards) opened.push(await openSafetensors(await insideFolder(root, shard)));
    const tensors = index === undefined ? allTensors(opened) : indexedTensors(index, shards, opened);
    const preprocessor = await readIfThere(join(folder, PREPROCESSOR_FILE));
    return {
      ...readConfig({ path, text, preprocessor, shape: (name) => tensors.get(name)?.entry.shape }, reader),
      folder,
      files: [CONFIG_FILE, ...(preprocessor === undefined ? [] : [PREPROCESSOR_FILE]), ...(index === undefined ? [] : [INDEX_FILE]), ...shards],
      licence: await readLicence(folder),
      names: () => tensors.keys(),
      tensor: (name) => {
        const found = tensors.get(name);
        return found === undefined ? undefined : sourceTensor(name, found.file, found.entry);
      },
      close: async () => void (await Promise.all(opened.map((file) => file.close()))),
    };
  } catch (error) {
    await Promise.all(opened.map((file) => file.close()));
    throw error;
  }
}

type Located = Map<string, { file: SafetensorsFile; entry: TensorEntry }>;

function allTensors(files: SafetensorsFile[]): Located {
  return new Map(files.flatMap((file) => [...file.tensors].map(([name, entry]) => [name, { file, entry }] as const)));
}

function indexedTensors(index: Map<string, string>, shards: string[], files: SafetensorsFile[]): Located {
  const located: Located = new Map();
  for (const [name, shard] of index) {
    const file = files[shards.indexOf(shard)];
    const entry = file?.tensors.get(name);
    if (file === undefined || entry === undefined) throw formatError(`${shard}: ${name}`, 'a tensor, as the index says', 'none');
    located.set(name, { file, entry });
  }
  return located;
}

export function sourceTensor(name: string, file: SafetensorsFile, { dtype, shape, offset }: TensorEntry): SourceTensor {
  if (dtype !== 'BF16' && dtype !== 'F16' && dtype !== 'F32') throw formatError(`${file.path}: ${name}: dtype`, 'BF16, F16 or F32', dtype);
  const rowBytes = shape.slice(1).reduce((product, size) => product * size, BYTES_OF[dtype]);
  return { name, dtype, shape, read: (firstRow, _rows, into) => file.read(offset + firstRow * rowBytes, into) };
}

async function isThere(path: string): Promise<boolean> {
  try {
    await stat(path);
    return true;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') return false;
    throw fileError(path, error);
  }
}

async function readIfThere(path: string): Promise<string | undefined> {
  return (await isThere(path)) ? await readText(path) : undefined;
}

/** Tensor name → file name; undefined when the checkpoint is a single file. */
async function readIndex(path: string): Promise<Map<string, string> | undefined> {
  if (!(await isThere(path))) return undefined;
  const schema = z.looseObject({ weight_map: z.record(z.string(), z.string()) });
  const { weight_map: map } = parseJson(path, await readText(path), schema);
  for (const [name, file] of Object.entries(map))
    if (!/^[A-Za-z0-9_][A-Za-z0-9._-]*\.safetensors$/.test(file)) throw formatError(`${path}: ${name}`, 'a safetensors file beside the index', file);
  return new Map(Object.entries(map));
}

/**
 * The real path of a file named by the index. A link may not lead out of the folder, except inside the repository folder of the hub's cache,
 * whose snapshots/REVISION/ consists of links to ../../blobs/.
 */
async function insideFolder(root: string, name: string): Promise<string> {
  const path = join(root, name);
  const real = await realpath(path).catch((error: unknown) => {
    throw fileError(path, error);
  });
  const hubCache = basename(dirname(root)) === 'snapshots' ? join(dirname(dirname(root)), 'blobs') : root;
  if (!real.startsWith(root + sep) && !real.startsWith(hubCache + sep)) throw formatError(path, 'a file inside the checkpoint', `a link to ${real}`);
  return real;
}

/** A small text file. */
export async function readText(path: string): Promise<string> {
  try {
    const { size } = await stat(path);
    if (size > MAX_JSON_BYTES) throw formatError(path, `at most ${MAX_JSON_BYTES} bytes`, size);
    return textOf(path, await readFile(path));
  } catch (error) {
    throw error instanceof MiphaError ? error : fileError(path, error);
  }
}

/** The `license` of the model card's front matter, when there is a card. */
async function readLicence(folder: string): Promise<string | undefined> {
  const card = await readFile(join(folder, 'README.md'), 'utf8').catch(() => '');
  const front = /^---\n([\s\S]{0,10000}?)\n---/.exec(card)?.[1] ?? '';
  return /^license:\s*([\w.-]{1,100})\s*$/m.exec(front)?.[1];
}
