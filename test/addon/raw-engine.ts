/** The shipped model through the bare addon, without tokenizer and prompt: ids in, ids out. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { AskOptions, NativeEngine, NativeImage, NativeLoadOptions } from '../../src/addon/addon.js';
import { packageRoot } from '../../src/addon/load.js';
import { testAddon } from '../support/test-addon.js';

export const addon = testAddon();
export const NANO = join(packageRoot(), 'models/mipha-nano');
export const END = 555;
export const CONTEXT = 512;

/** Every id below the end token is a byte or two; what they spell is of no matter here. */
export function loadOptions(changes: Partial<NativeLoadOptions> = {}): NativeLoadOptions {
  const vocabulary = new Uint8Array(END * 2);
  const vocabularyOffsets = new Uint32Array(END + 1);
  for (let id = 0; id < END; id++) {
    vocabulary.set([65 + (id % 26), 97 + Math.floor(id / 26)], id * 2);
    vocabularyOffsets[id + 1] = id * 2 + 2;
  }
  const { folder = NANO } = changes;
  return {
    folder,
    manifest: changes.manifest ?? readFileSync(join(folder, 'manifest.json'), 'utf8'),
    backend: 'cpu',
    cacheTokens: 0,
    cpu: { threads: 1, isa: '', streamWeights: false },
    prefix: Int32Array.of(1, 2, 3),
    vocabulary,
    vocabularyOffsets,
    ...changes,
  };
}

export const load = (changes: Partial<NativeLoadOptions> = {}): Promise<NativeEngine> => addon.load(loadOptions(changes)).done;

export function question(changes: Partial<AskOptions> = {}): AskOptions {
  return {
    view: -1,
    ids: Int32Array.of(1, 2, 3, 10, 11),
    maxTokens: 4,
    stopIds: Int32Array.of(END),
    temperature: 0,
    topP: 1,
    seed: 0,
    ...changes,
  };
}

/** Goes on until the context is full: no end token, any token. */
export const endless = (changes: Partial<AskOptions> = {}) =>
  question({ maxTokens: CONTEXT - 5, stopIds: new Int32Array(), temperature: 100, ...changes });

export function picture(width = 32, height = 24): NativeImage {
  const data = new Uint8Array(width * height * 3);
  for (let i = 0; i < data.length; i++) data[i] = (i * 7) % 256;
  return { data, width, height, stride: width * 3, format: 'rgb' };
}

export interface NativeError extends Error {
  code: string;
  details: Record<string, number>;
}

/** What a call throws or rejects with. */
export async function failure(call: () => unknown): Promise<NativeError> {
  try {
    await call();
  } catch (error) {
    return error as NativeError;
  }
  throw new Error('expected a failure');
}
