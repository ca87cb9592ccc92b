/** Checkpoints of other families, made from test/fixtures/families: the twin of scripts/families/generator.py, which computed the golden values. */
import { createHash } from 'node:crypto';
import { copyFileSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { encodeSafetensors, type Tensors } from '../package/helpers.js';

const FOLDER = 'test/fixtures/families';
const TOKENIZER = ['vocab.json', 'merges.txt', 'added_tokens.json', 'special_tokens_map.json', 'tokenizer_config.json'];

/** What can be told from a few numbers of an array [rows, columns]: the first 16 columns of its first and last row. */
export interface Sample {
  shape: [rows: number, columns: number];
  first: number[];
  last: number[];
  mean: number;
  std: number;
}

export interface FamilyCase {
  picture: number; // seed of familyPixels
  prefix: number[]; // ids before the picture
  after: number[]; // ids after it
  pixels: string; // sha256 of these pixels
  tower: Sample; // of the last layer that runs, without the rows that are dropped
  features: Sample; // after the projector, before any scale of the embedding
  logits: string; // of the prompt's last row: base64 of F32, all of the vocabulary
  greedy: number[]; // 12 ids, none of them one that ends an answer
  margin: number; // from the best logit to the second, in parts of their range: the smallest of all steps
}

/** A published checkpoint in small: see test/fixtures/README.md. */
export interface Family {
  name: string;
  about: string;
  dtype: 'F16' | 'BF16';
  shards: number;
  /** What a reader has to find out; nothing of it is written into the checkpoint. */
  tower: {
    kind: string;
    side: number;
    patch: number;
    hidden: number;
    heads: number;
    layersRun: number;
    rowsDropped: number;
    imageTokens: number;
    mean: number[];
    std: number[];
  };
  sha256: string; // of name and bytes of each tensor, in order
  config: Record<string, unknown>;
  files: Record<string, unknown>; // further JSON files of the folder
  tensors: [name: string, shape: number[], gain: number, offset: number][];
  cases: FamilyCase[];
}

/** What is written to the folder, open to change. */
export interface FamilyCheckpoint {
  config: Record<string, unknown>;
  files: Record<string, unknown>;
  tensors: Tensors;
}

export function familyNames(): string[] {
  return readdirSync(FOLDER).map((file) => file.replace(/\.json$/, ''));
}

export function readFamily(name: string): Family {
  return JSON.parse(readFileSync(join(FOLDER, `${name}.json`), 'utf8'));
}

/** F32 [vocabulary]: the logits of a case. */
export function familyLogits({ logits }: FamilyCase): Float32Array {
  return new Float32Array(new Uint8Array(Buffer.from(logits, 'base64')).buffer);
}

/** uint8 [side, side, 3]: noise. */
export function familyPixels(seed: number, side: number): Uint8Array {
  const bits = stream(`picture ${seed}`);
  return Uint8Array.from({ length: side * side * 3 }, (_, i) => bits(i) >>> 24);
}

/** Every tensor of the checkpoint with its stored bytes, in published order. */
export function familyTensors({ dtype, tensors }: Family): Tensors {
  return Object.fromEntries(
    tensors.map(([name, shape, gain, offset]) => {
      const bits = stream(name);
      const table = Uint16Array.from({ length: 32 }, (_, i) => half(offset + (gain / 32) * (2 * i - 31), dtype));
      const values = new Uint16Array(shape.reduce((a, b) => a * b, 1));
      for (let i = 0; i < values.length; i++) values[i] = table[bits(i) >>> 27] as number;
      return [name, { dtype, shape, bytes: new Uint8Array(values.buffer) }];
    }),
  );
}

export function fingerprint(tensors: Tensors): string {
  const hash = createHash('sha256');
  for (const [name, { bytes }] of Object.entries(tensors)) hash.update(name).update(bytes);
  return hash.digest('hex');
}

/** Writes config.json and its like, the weights in as many shards as published, and mipha-nano's tokenizer. `edit` changes any of it beforehand. */
export function writeFamilyCheckpoint(name: string, folder: string, { edit }: { edit?: (checkpoint: FamilyCheckpoint) => void } = {}): void {
  const family = readFamily(name);
  const checkpoint = { config: family.config, files: family.files, tensors: familyTensors(family) };
  edit?.(checkpoint);
  mkdirSync(folder, { recursive: true });
  for (const [file, content] of Object.entries({ 'config.json': checkpoint.config, ...checkpoint.files }))
    writeFileSync(join(folder, file), JSON.stringify(content, null, 2));
  writeWeights(folder, checkpoint.tensors, family.shards);
  for (const file of TOKENIZER) copyFileSync(join('models/mipha-nano/checkpoint', file), join(folder, file));
}

/** Gives a checkpoint's tokenizer further special tokens, as a family's prompt needs them. */
export function addTokens(folder: string, tokens: readonly string[]): void {
  const path = (name: string) => join(folder, name);
  const [added, config] = ['added_tokens.json', 'tokenizer_config.json'].map((name) => JSON.parse(readFileSync(path(name), 'utf8')));
  const known = new Set(Object.values(config.added_tokens_decoder as Record<string, { content: string }>).map(({ content }) => content));
  let id = Math.max(...(Object.values(added) as number[])) + 1;
  for (const content of tokens.filter((token) => !known.has(token))) {
    config.added_tokens_decoder[id] = { content, lstrip: false, normalized: false, rstrip: false, single_word: false, special: true };
    added[content] = id++;
  }
  writeFileSync(path('added_tokens.json'), JSON.stringify(added));
  writeFileSync(path('tokenizer_config.json'), JSON.stringify(config));
}

function writeWeights(folder: string, tensors: Tensors, shards: number): void {
  const entries = Object.entries(tensors);
  if (shards === 1) {
    writeFileSync(join(folder, 'model.safetensors'), encodeSafetensors(tensors));
    return;
  }
  const numbered = (n: number) => String(n).padStart(5, '0');
  const weightMap: Record<string, string> = {};
  for (let shard = 0; shard < shards; shard++) {
    const part = entries.slice(Math.ceil((shard * entries.length) / shards), Math.ceil(((shard + 1) * entries.length) / shards));
    const file = `model-${numbered(shard + 1)}-of-${numbered(shards)}.safetensors`;
    writeFileSync(join(folder, file), encodeSafetensors(Object.fromEntries(part)));
    for (const [name] of part) weightMap[name] = file;
  }
  const total = entries.reduce((sum, [, { bytes }]) => sum + bytes.length, 0);
  writeFileSync(join(folder, 'model.safetensors.index.json'), JSON.stringify({ metadata: { total_size: total }, weight_map: weightMap }, null, 2));
}

/** Word i of an endless sequence of 32-bit words: murmur3's finalizer over FNV-1a of the name plus i times an odd constant. */
function stream(name: string): (i: number) => number {
  const seed = Buffer.from(name).reduce((hash, byte) => Math.imul(hash ^ byte, 16777619), 2166136261 | 0);
  return (i) => {
    let x = (seed + Math.imul(i, 0x9e3779b1)) | 0;
    x = Math.imul(x ^ (x >>> 16), 0x85ebca6b);
    x = Math.imul(x ^ (x >>> 13), 0xc2b2ae35);
    return (x ^ (x >>> 16)) >>> 0;
  };
}

/** The bits of a value that the type holds exactly and that is no subnormal. */
function half(value: number, dtype: 'F16' | 'BF16'): number {
  const bits = new Uint32Array(new Float32Array([value]).buffer)[0] as number;
  if (value === 0 || dtype === 'BF16') return bits >>> 16;
  return ((bits >>> 16) & 0x8000) | ((((bits >>> 23) & 0xff) - 112) << 10) | ((bits >>> 13) & 0x3ff);
}
