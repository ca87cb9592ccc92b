/**
 * A LoRA adapter in PEFT's layout, merged while the checkpoint is read: W + (alpha / r) · B · A in f32, row by row.
 * Whole tensors in the adapter (modules_to_save, trained biases) replace those of the checkpoint.
 */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { loadAddon } from '../addon/load.js';
import { MiphaError } from '../errors.js';
import { type Checkpoint, readText, type SourceTensor, sourceTensor } from './checkpoint.js';
import { allocate, BYTES_OF, toFloat32 } from './floats.js';
import { formatError, parseJson } from './format.js';
import { openSafetensors, type SafetensorsFile } from './safetensors.js';
import type { Sources } from './tensors.js';

const CONFIG_FILE = 'adapter_config.json';
const WEIGHTS_FILE = 'adapter_model.safetensors';

const configSchema = z.looseObject({
  peft_type: z.string().default('LORA'),
  r: z.int().min(1).max(8192),
  lora_alpha: z.number().positive().max(1e6),
  target_modules: z.union([z.array(z.string()), z.string()]).nullish(),
  fan_in_fan_out: z.boolean().default(false),
  use_rslora: z.boolean().default(false),
  use_dora: z.boolean().default(false),
  rank_pattern: z.record(z.string(), z.unknown()).nullish(),
  alpha_pattern: z.record(z.string(), z.unknown()).nullish(),
});
type Config = z.infer<typeof configSchema>;

export interface Adapter {
  folder: string;
  files: string[];
  /** The checkpoint's tensors with the adapter applied. */
  sources: Sources;
  close(): Promise<void>;
}

/** Throws ERR_MODEL_MISSING or ERR_MODEL_FORMAT; every target must be in the checkpoint, in its shape and with rank r. */
export async function openAdapter(folder: string, checkpoint: Checkpoint): Promise<Adapter> {
  const path = join(folder, CONFIG_FILE);
  const config = parseJson(path, await readText(path), configSchema);
  refuseUnsupported(path, config);
  await refusePickles(folder);
  const file = await openSafetensors(join(folder, WEIGHTS_FILE));
  try {
    const merged = collect(file, config, checkpoint);
    const scale = config.lora_alpha / (config.use_rslora ? Math.sqrt(config.r) : config.r);
    const targets = new Map<string, SourceTensor>(merged.replaced);
    for (const [name, pair] of merged.pairs) targets.set(name, mergedTensor(pair, scale));
    return {
      folder,
      files: [CONFIG_FILE, WEIGHTS_FILE],
      sources: (name) => targets.get(name) ?? checkpoint.tensor(name),
      close: () => file.close(),
    };
  } catch (error) {
    await file.close();
    throw error;
  }
}

function refuseUnsupported(path: string, config: Config): void {
  const must = (key: string, expected: unknown, received: unknown) => {
    if (received !== expected) throw formatError(`${path}: ${key}`, JSON.stringify(expected), received);
  };
  must('peft_type', 'LORA', config.peft_type);
  must('use_dora', false, config.use_dora);
  must('fan_in_fan_out', false, config.fan_in_fan_out); // for layers stored as [in, out]; a Mipha checkpoint has none
  must('rank_pattern', 0, Object.keys(config.rank_pattern ?? {}).length);
  must('alpha_pattern', 0, Object.keys(config.alpha_pattern ?? {}).length);
}

/** Weights beside the adapter that we would leave out without a word. */
async function refusePickles(folder: string): Promise<void> {
  const pickle = (await readdir(folder)).find((name) => /^(adapter_model|non_lora_trainables)\.(bin|pt|pth)$/.test(name));
  if (pickle !== undefined)
    throw new MiphaError('ERR_MODEL_FORMAT', `${join(folder, pickle)}: pickled weights are not read; save them in ${WEIGHTS_FILE}`, {
      details: { path: join(folder, pickle), remedy: `save them in ${WEIGHTS_FILE}` },
    });
}

interface Pair {
  base: SourceTensor;
  a: SourceTensor; // [r, in]
  b: SourceTensor; // [out, r]
}

/** Sorts the adapter's tensors by what they do, under the checkpoint's names. */
function collect(file: SafetensorsFile, config: Config, checkpoint: Checkpoint) {
  const halves = new Map<string, { A?: SourceTensor; B?: SourceTensor }>();
  const replaced = new Map<string, SourceTensor>();
  for (const [name, entry] of file.tensors) {
    const bare = name.replace(/^base_model\.model\./, '').replace(/\.modules_to_save(\.default)?\./, '.');
    const lora = /^(.+)\.lora_([AB])(\.default)?\.weight$/.exec(bare);
    if (bare === name || (lora === null && /\.lora_/.test(bare)))
      throw formatError(`${file.path}: ${name}`, 'a LoRA pair or a whole tensor', 'this name');
    const tensor = sourceTensor(name, file, entry);
    if (lora !== null) {
      const target = `${lora[1]}.weight`;
      halves.set(target, { ...halves.get(target), [lora[2] as 'A' | 'B']: tensor });
    } else {
      const base = find(checkpoint, file, name, bare);
      if (base.shape.join() !== tensor.shape.join()) throw formatError(`${file.path}: ${name}`, `shape [${base.shape}]`, `[${tensor.shape}]`);
      replaced.set(bare, tensor);
    }
  }
  const pairs = new Map<string, Pair>();
  for (const [target, { A, B }] of halves) {
    const base = find(checkpoint, file, (A ?? B)?.name ?? target, target);
    pairs.set(target, {
      base,
      a: expectShape(file, target, 'A', A, [config.r, base.shape[1]]),
      b: expectShape(file, target, 'B', B, [base.shape[0], config.r]),
    });
  }
  if (pairs.size === 0) throw formatError(file.path, 'at least one pair of lora_A and lora_B', 'none');
  refuseMissingTargets(file.path, config, [...pairs.keys()]);
  return { pairs, replaced };
}

function find(checkpoint: Checkpoint, file: SafetensorsFile, name: string, target: string): SourceTensor {
  const base = checkpoint.tensor(target);
  if (base === undefined) throw formatError(`${file.path}: ${name}`, `a tensor ${target} in the checkpoint`, 'none');
  return base;
}

function expectShape(
  file: SafetensorsFile,
  target: string,
  half: string,
  tensor: SourceTensor | undefined,
  shape: (number | undefined)[],
): SourceTensor {
  if (tensor?.shape.join() === shape.join()) return tensor;
  throw formatError(`${file.path}: lora_${half} of ${target}`, `shape [${shape}]`, tensor === undefined ? 'no such tensor' : `[${tensor.shape}]`);
}

/** A listed target without a single pair means that the adapter is not whole. A pattern (target_modules as one string) cannot be checked so. */
function refuseMissingTargets(path: string, { target_modules: listed }: Config, targets: string[]): void {
  if (!Array.isArray(listed)) return;
  const missing = listed.find((module) => !targets.some((target) => `.${target}`.endsWith(`.${module}.weight`)));
  if (missing !== undefined) throw formatError(`${path}: target_modules`, `a LoRA pair for ${missing}`, 'none');
}

/** The base tensor with the product added whenever rows are read; always F32. A and B are loaded at the first read and kept. */
function mergedTensor({ base, a, b }: Pair, scale: number): SourceTensor {
  const [rank, columns] = a.shape as [number, number];
  let loaded: Promise<{ A: Float32Array<ArrayBuffer>; B: Float32Array<ArrayBuffer> }> | undefined;
  const load = async () => ({ A: await readFloats(a, 0, rank), B: await readFloats(b, 0, base.shape[0] as number) });
  return {
    name: base.name,
    dtype: 'F32',
    shape: base.shape,
    read: async (firstRow, rows, into) => {
      loaded ??= load();
      const { A, B } = await loaded;
      const out = new Float32Array(into.buffer, into.byteOffset, rows * columns);
      out.set(await readFloats(base, firstRow, rows));
      await loadAddon().addProduct(out, B.subarray(firstRow * rank, (firstRow + rows) * rank), A, rows, rank, columns, scale);
      if (firstRow + rows === base.shape[0]) loaded = undefined; // read in order: the last rows are the end of the need
    },
  };
}

async function readFloats(tensor: SourceTensor, firstRow: number, rows: number): Promise<Float32Array<ArrayBuffer>> {
  const rowBytes = tensor.shape.slice(1).reduce((product, size) => product * size, BYTES_OF[tensor.dtype]);
  const bytes = allocate(rows * rowBytes);
  await tensor.read(firstRow, rows, bytes);
  return toFloat32(bytes, tensor.dtype);
}
