/** The FP32 reference on a whole checkpoint, and greedy decoding with it: the yardstick of every other forward pass. */
import { readFileSync } from 'node:fs';
import { openCheckpoint } from '../../src/package/checkpoint.js';
import type { CheckpointConfig } from '../../src/package/families/family.js';
import type { Architecture } from '../../src/package/manifest.js';
import { readReferenceTensors } from '../../src/package/tensors.js';
import { type NativeReference, testAddon } from './test-addon.js';

export interface Loaded {
  reference: NativeReference;
  architecture: Architecture;
}

/** What a reader made of a checkpoint. */
export type Reading = Pick<CheckpointConfig, 'architecture' | 'preprocessing' | 'layout'>;

/** `towerLayers`: run that many layers of the tower instead of those that the select layer needs. `read`: reads something else into the file. */
export async function loadReference(folder: string, towerLayers?: number, read = (reading: Reading): Reading => reading): Promise<Loaded> {
  const opened = await openCheckpoint(folder);
  try {
    const reading = read(opened);
    const { vision } = reading.architecture;
    const architecture = { ...reading.architecture, vision: { ...vision, layers: towerLayers ?? vision.layers } };
    const reference = testAddon().reference(JSON.stringify({ architecture, preprocessing: reading.preprocessing }));
    for await (const { name, shape, data } of readReferenceTensors({ ...opened, ...reading, architecture })) reference.setTensor(name, shape, data);
    return { reference, architecture };
  } finally {
    await opened.close();
  }
}

export interface GoldenCase {
  picture: string; // relative to test/fixtures/eval
  prompt: string | null;
  prefix_ids: number[]; // the text before the image
  ids: number[]; // the text after it
  eos: number;
  limit: number;
  greedy_ids: number[]; // end token included when it was reached
}

export function readCases(path: string): GoldenCase[] {
  return JSON.parse(readFileSync(path, 'utf8')) as GoldenCase[];
}

/** Index of the largest of the first `tokens` values of the last row; ids from there on are padding. */
function best(logits: Float32Array, vocab: number, tokens: number): number {
  const row = logits.subarray(logits.length - vocab, logits.length - vocab + tokens);
  return row.reduce((top, value, id) => (value > (row[top] as number) ? id : top), 0);
}

/** Greedy answer to one prompt on an empty sequence, end token included when it was reached. */
export function greedy(
  { reference, architecture }: Loaded,
  pieces: (Int32Array | Float32Array)[],
  eos: number,
  limit: number,
  tokens: number,
): number[] {
  const answer: number[] = [];
  reference.reset();
  let logits = reference.append(pieces);
  for (;;) {
    const id = best(logits, architecture.language.vocab, tokens);
    answer.push(id);
    if (id === eos || answer.length === limit) return answer;
    logits = reference.append([Int32Array.of(id)]);
  }
}
