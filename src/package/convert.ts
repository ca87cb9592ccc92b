/** A published checkpoint, with or without a LoRA adapter → a package. Written beside and renamed, so that nothing unfinished looks finished. */
import { mkdir } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import { type Checkpoint, openCheckpoint } from './checkpoint.js';
import { formatError } from './format.js';
import { hashFile } from './hash.js';
import { type Adapter, openAdapter } from './lora.js';
import { type FileRecord, FORMAT_VERSION, GOLDEN_FILE, type Manifest, TOKENIZER_FOLDER, WEIGHTS_FILE } from './manifest.js';
import { atomically, refuseExisting, writeDurably, writeManifest } from './output.js';
import { completeRecipe, type Recipe } from './recipe.js';
import { canonicalTensors } from './tensors.js';
import { readTokenizerFiles, type TokenizerFiles } from './tokenizer-files.js';
import { writeWeights } from './weights-writer.js';

export interface ConvertOptions {
  /** Name in the manifest; default: the name of the checkpoint's folder. */
  name?: string | undefined;
  /** Folder of a PEFT adapter to merge. */
  lora?: string | undefined;
  /** Precision of single matrices; all others keep their default. */
  recipe?: Recipe | undefined;
  /** Every matrix in F16, twice the size: what calibration makes the best of. `recipe` still comes first. */
  wide?: boolean | undefined;
  /** Runs the finished but not yet renamed package and gives the JSON of its golden.json. Without it the package has no self-test. */
  selfTest?: ((folder: string, signal: AbortSignal | undefined) => Promise<unknown>) | undefined;
  /** Called often, with a fraction of 0 to 1 of the stage. */
  onProgress?: ((stage: 'weights' | 'self-test', fraction: number) => void) | undefined;
  /** Aborting removes what was written and rejects with its reason. */
  signal?: AbortSignal | undefined;
}

/**
 * Writes the package `out`, which must not exist. The same input gives the same bytes. About 160 MB of memory at any size,
 * besides what the self-test takes.
 * Throws ERR_OPTION (`out` exists or cannot be made), ERR_MODEL_MISSING, ERR_MODEL_FORMAT.
 */
export async function convert(checkpointFolder: string, out: string, options: ConvertOptions = {}): Promise<Manifest> {
  await refuseExisting(out);
  const checkpoint = await openCheckpoint(checkpointFolder);
  let adapter: Adapter | undefined;
  try {
    const tokenizer = await readTokenizerFiles(checkpointFolder, checkpoint.prompt);
    const { vocab } = checkpoint.architecture.language;
    if (tokenizer.tokens > vocab)
      throw formatError(`${checkpointFolder}: tokenizer`, `at most ${vocab} ids, the rows of the embedding`, tokenizer.tokens);
    if (options.lora !== undefined) adapter = await openAdapter(options.lora, checkpoint);
    return await atomically(out, (partial) => writePackage(partial, checkpoint, tokenizer, adapter, options));
  } finally {
    await adapter?.close();
    await checkpoint.close();
  }
}

async function writePackage(
  folder: string,
  checkpoint: Checkpoint,
  tokenizer: TokenizerFiles,
  adapter: Adapter | undefined,
  { name, recipe: changes, wide = false, selfTest, onProgress, signal }: ConvertOptions,
): Promise<Manifest> {
  const tensors = canonicalTensors(checkpoint, adapter?.sources ?? checkpoint.tensor);
  const recipe = completeRecipe(tensors, changes, wide ? 'f16' : 'w8a8');
  // The checkpoint is hashed while it is converted, close behind or ahead of the reads of its tensors; the first failure stops both.
  const stop = new AbortController();
  const either = signal === undefined ? stop.signal : AbortSignal.any([signal, stop.signal]);
  const failed = (error: unknown) => {
    stop.abort(error);
    throw error;
  };
  const outcomes = await Promise.allSettled([
    writeWeights(join(folder, WEIGHTS_FILE), tensors, recipe, { signal: either, onProgress: (fraction) => onProgress?.('weights', fraction) }).catch(
      failed,
    ),
    hashFiles(checkpoint.folder, checkpoint.files, either).catch(failed),
    hashFiles(adapter?.folder ?? '', adapter?.files ?? [], either).catch(failed),
  ]);
  if (either.aborted) throw either.reason;
  const [weights, sourceFiles, adapterFiles] = outcomes.map((outcome) => (outcome as PromiseFulfilledResult<unknown>).value) as [
    FileRecord,
    Record<string, string>,
    Record<string, string>,
  ];

  const files: Manifest['files'] = { [WEIGHTS_FILE]: weights };
  await mkdir(join(folder, TOKENIZER_FOLDER));
  for (const { name, bytes, record } of tokenizer.files) {
    await writeDurably(join(folder, TOKENIZER_FOLDER, name), bytes);
    files[`${TOKENIZER_FOLDER}/${name}`] = record;
  }
  const manifest: Manifest = {
    formatVersion: FORMAT_VERSION,
    name: name ?? basename(resolve(checkpoint.folder)),
    source: {
      name: basename(resolve(checkpoint.folder)),
      ...(checkpoint.licence === undefined ? {} : { licence: checkpoint.licence }),
      files: { ...sourceFiles, ...Object.fromEntries(tokenizer.files.map((file) => [file.name, file.record.sha256])) },
    },
    ...(adapter === undefined ? {} : { lora: { name: basename(resolve(adapter.folder)), files: adapterFiles } }),
    architecture: {
      ...checkpoint.architecture,
      language: { ...checkpoint.architecture.language, tokens: tokenizer.tokens },
    },
    preprocessing: checkpoint.preprocessing,
    prompt: checkpoint.prompt,
    recipe,
    files,
  };
  await writeManifest(folder, manifest);
  if (selfTest === undefined) return manifest;

  onProgress?.('self-test', 0);
  const golden = new TextEncoder().encode(`${JSON.stringify(await selfTest(folder, signal), null, 2)}\n`);
  signal?.throwIfAborted();
  await writeDurably(join(folder, GOLDEN_FILE), golden);
  files[GOLDEN_FILE] = await hashFile(join(folder, GOLDEN_FILE));
  await writeManifest(folder, manifest);
  onProgress?.('self-test', 1);
  return manifest;
}

async function hashFiles(folder: string, names: string[], signal: AbortSignal): Promise<Record<string, string>> {
  const hashes: Record<string, string> = {};
  for (const name of names) hashes[name] = (await hashFile(join(folder, name), { signal })).sha256;
  return hashes;
}
