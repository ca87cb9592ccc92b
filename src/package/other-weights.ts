/** A folder without the weights that are read: what lies there instead, and the way out. */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { MiphaError } from '../errors.js';

const PICKLES = 'safetensors.torch.save_file() writes what torch.load(FILE, weights_only=True) reads';

/** What is found, in the order in which it is told. Files of a training run (optimizer.pt, training_args.bin) are no weights. */
const KINDS: readonly { pattern: RegExp; what: string; remedy: string }[] = [
  {
    pattern: /^(model|pytorch_model)-\d+-of-\d+\.safetensors$/,
    what: 'shards without model.safetensors.index.json, which says what is where',
    remedy: 'download the index too',
  },
  {
    pattern: /^adapter_model\.(safetensors|bin)$/,
    what: 'a LoRA adapter',
    remedy: 'give the checkpoint it was trained on, and the adapter with --lora',
  },
  {
    pattern: /\.safetensors$/,
    what: 'safetensors under another name',
    remedy: 'one file must be called model.safetensors, several need model.safetensors.index.json',
  },
  {
    pattern: /^(?!(training_args|optimizer|scheduler|scaler|rng_state.*|events.*)\.).*\.(bin|pth|pt|ckpt)$/,
    what: 'weights as Python pickles, which are not read because they can run code',
    remedy: `save them as safetensors: ${PICKLES}`,
  },
  { pattern: /\.(gguf|ggml)$/, what: 'weights quantized for llama.cpp', remedy: 'take the checkpoint that they were made from, in safetensors' },
  {
    pattern: /\.(onnx|h5|msgpack|tflite|engine|plan|pte|mlpackage|npz)$/,
    what: 'weights for another runtime',
    remedy: 'take the checkpoint in safetensors',
  },
];

/** ERR_MODEL_MISSING for `folder`, where `wanted` is not; `details.found` has the names of other weights there. */
export async function missing(folder: string, wanted: string): Promise<MiphaError> {
  const names = (await readdir(folder).catch(() => [])).sort();
  const path = join(folder, wanted);
  if (names.includes('manifest.json')) {
    const remedy = 'this is a package already, give the checkpoint it was made from';
    return new MiphaError('ERR_MODEL_MISSING', `${path}: no such file; ${remedy}`, { details: { path, remedy } });
  }
  // Where the weights are those that are read, the file is all that is missing.
  const isWeights = names.includes('model.safetensors') || names.includes('model.safetensors.index.json');
  for (const { pattern, what, remedy } of isWeights ? [] : KINDS) {
    const found = names.filter((name) => pattern.test(name));
    const [first] = found;
    if (first === undefined) continue;
    const others = found.length === 1 ? '' : ` and ${found.length - 1} more`;
    return new MiphaError('ERR_MODEL_MISSING', `${path}: no such file; there is ${first}${others}: ${what}; ${remedy}`, {
      details: { path, found, remedy },
    });
  }
  return new MiphaError('ERR_MODEL_MISSING', `${path}: no such file`, { details: { path, found: [] } });
}

/** ERR_MODEL_FORMAT for a file that was given where a checkpoint's folder is wanted. */
export function notAFolder(path: string): MiphaError {
  const kind = KINDS.find(({ pattern }) => pattern.test(path.slice(path.lastIndexOf('/') + 1)));
  const readable = path.endsWith('.safetensors');
  const [what, remedy] = kind === undefined || readable ? ['', 'give the folder it lies in'] : [`: ${kind.what}`, kind.remedy];
  return new MiphaError(
    'ERR_MODEL_FORMAT',
    `${path}: expected a folder with config.json, safetensors and tokenizer files, received a file${what}; ${remedy}`,
    {
      details: { path, remedy },
    },
  );
}
