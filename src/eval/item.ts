/** What every benchmark is, whatever layout it came in: questions about pictures, and what is true. */
import { MiphaError } from '../errors.js';

export const BENCHMARKS = [
  'vqav2',
  'gqa',
  'vizwiz',
  'vizwiz-val',
  'scienceqa',
  'textvqa',
  'pope',
  'mme',
  'mmbench',
  'mmbench-cn',
  'seed',
  'mm-vet',
  'kitchen',
] as const;
export type Benchmark = (typeof BENCHMARKS)[number];

/** A file; a stretch of base64 inside of one; a scene of the kitchen. Equal `key`, equal picture. */
export type Picture = { key: string; name: string } & ({ path: string } | { tsv: string; offset: number; bytes: number } | { seed: number });

export type AnswerKind =
  | { kind: 'text' }
  | { kind: 'yes-no' }
  | { kind: 'letter'; options: readonly string[] }
  | { kind: 'choice'; options: readonly string[] };

export interface Item {
  /** Unique in its benchmark. */
  id: string;
  picture: Picture;
  /** As the benchmark has it, without the lines that say how to answer. */
  question: string;
  /** As the paper puts it to the model. */
  prompt: string;
  answer: AnswerKind;
  /** What people said, all of them for VQA accuracy, or the one right answer (a letter, yes or no); empty where only a server knows. */
  truth: readonly string[];
  categories: readonly string[];
  /** The same for items that count together: rotations of a question, two questions about a picture. */
  group: string;
}

export interface Dataset {
  benchmark: Benchmark;
  /** In words: which layout, which file. */
  found: string;
  files: { path: string; md5: string }[];
  items: Item[];
  /** What a reader of the number must know about this copy of the data. */
  notes: string[];
  /** Why its number is another one than the paper's: published ones do not stand beside it. */
  differs: string[];
}

/** `where`: file and line. */
export function dataError(where: string, expected: string, received: string): MiphaError {
  return new MiphaError('ERR_OPTION', `${where}: expected ${expected}, received ${received}`, { details: { option: 'data', expected, received } });
}
