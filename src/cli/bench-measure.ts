/** The measurements behind `mipha bench`: medians over a few rounds of the public SDK on one package. */
import { z } from 'zod';
import type { KitchenFrame } from '../camera/kitchen.js';
import { COLORS } from '../camera/kitchen.js';
import { type Backend, Mipha } from '../index.js';
import { type Block, decoderBlocks, headMatrix, type Matrix, matricesOf, projectorMatrices, towerBlocks } from '../package/block.js';
import { type Architecture, imageTokens, towerRows } from '../package/manifest.js';
import { readManifest } from '../package/verify.js';
import { warnPassedOver } from './options.js';

const ROUNDS = 5;
const BUDGET_MS = 8000; // a slow package gets fewer rounds
const DECODE_TOKENS = 32;

const colors = z.enum(COLORS);
const count = z.int().min(0).max(9);
const QUESTIONS = [
  { question: 'Is the lamp on?', as: z.boolean() },
  { question: 'Is the door open?', as: z.boolean() },
  { question: 'Is there a person?', as: z.boolean() },
  { question: 'Is the table empty?', as: z.boolean() },
  { question: 'How many objects are on the table?', as: count },
  { question: 'How many balls are on the table?', as: count },
  { question: 'What color is the cup?', as: colors },
  { question: 'What color is the box?', as: colors },
] as const;

export interface BenchReport {
  name: string;
  backend: string;
  detail: string; // instruction set, threads
  loadMs: number;
  firstAnswerMs: number; // from the start of loading: load, one look, one typed question
  memory: { name: string; bytes: number }[];
  look: { totalMs: number; preprocessMs: number; visionMs: number; prefillMs: number };
  operationsPerLook: number; // multiplications and additions of its weighted products on the CPU
  firstTokenMs: number; // from asking to the first piece
  decodeTokensPerSecond: number;
  bytesPerToken: number; // weights that one decode step reads
  one: { totalMs: number }; // mean of the eight, asked one after the other
  eight: { totalMs: number };
}

export interface MeasureOptions {
  backend: Backend;
  signal: AbortSignal;
  progress: (stage: string, fraction: number) => void;
}

export async function measure(folder: string, frame: KitchenFrame, { backend: wanted, signal, progress }: MeasureOptions): Promise<BenchReport> {
  const { name, architecture } = await readManifest(folder);
  const begin = performance.now();
  await using mipha = await Mipha.load(folder, { backend: wanted, signal, onProgress: (stage, fraction) => progress(stage, fraction) });
  const loadMs = performance.now() - begin;
  const { backend, detail, memory, passedOver } = mipha.status();
  warnPassedOver(passedOver);

  progress('first answer', 0);
  await askOnce(mipha, frame, signal);
  const firstAnswerMs = performance.now() - begin;

  progress('looking', 0);
  const looks = await rounds(signal, async () => {
    const start = performance.now();
    await using view = await mipha.look(frame, { signal });
    const { preprocessMs, visionMs, prefillMs } = view.timings;
    return { totalMs: performance.now() - start, preprocessMs, visionMs, prefillMs };
  });
  await using view = await mipha.look(frame, { signal });

  progress('writing', 0);
  const decodes = await rounds(signal, async () => {
    const start = performance.now();
    const first = { ms: 0 };
    for await (const _ of view.stream('Describe the scene.', { maxTokens: 1, signal })) first.ms ||= performance.now() - start;
    const answer = await view.ask('Describe the scene.', { maxTokens: DECODE_TOKENS, signal });
    const steps = Math.max(1, answer.tokens.answer - 1); // the first token comes out of the prefill
    return { firstMs: first.ms, perSecond: (steps * 1000) / answer.timings.decodeMs };
  });

  progress('one question', 0);
  const ones = await rounds(signal, async () => {
    const total = await timed(async () => {
      for (const { question, as } of QUESTIONS) await view.ask<unknown>(question, { as, signal });
    });
    return total / QUESTIONS.length;
  });
  progress('eight questions', 0);
  const eights = await rounds(signal, () => timed(() => view.askAll(QUESTIONS, { signal })));

  const middle = <T>(list: T[], of: (item: T) => number) => median(list.map(of));
  return {
    name,
    backend,
    detail,
    loadMs,
    firstAnswerMs,
    memory,
    look: {
      totalMs: middle(looks, (look) => look.totalMs),
      preprocessMs: middle(looks, (look) => look.preprocessMs),
      visionMs: middle(looks, (look) => look.visionMs),
      prefillMs: middle(looks, (look) => look.prefillMs),
    },
    firstTokenMs: middle(decodes, (decode) => decode.firstMs),
    decodeTokensPerSecond: middle(decodes, (decode) => decode.perSecond),
    operationsPerLook: operationsPerLook(architecture),
    bytesPerToken: bytesPerToken(architecture),
    one: { totalMs: median(ones) },
    eight: { totalMs: median(eights) },
  };
}

/** Nobody asks for logits of a picture's rows: of the last block they need keys and values only. */
export function operationsPerLook(architecture: Architecture): number {
  const tower = weights(towerBlocks(architecture).flatMap(matricesOf));
  const blocks = decoderBlocks(architecture);
  const last = blocks.at(-1) as Block;
  const later = weights([...projectorMatrices(architecture), ...blocks.slice(0, -1).flatMap(matricesOf), last.qkv]);
  return 2 * (towerRows(architecture.vision) * tower + imageTokens(architecture) * later);
}

async function askOnce(mipha: Mipha, frame: KitchenFrame, signal: AbortSignal): Promise<void> {
  await using view = await mipha.look(frame, { signal });
  const { question, as } = QUESTIONS[0];
  await view.ask(question, { as, signal });
}

/** INT8 matrices of all layers and of the head; the embedding gives one row only. */
export function bytesPerToken(architecture: Architecture): number {
  return weights([...decoderBlocks(architecture).flatMap(matricesOf), headMatrix(architecture)]);
}

function weights(matrices: Matrix[]): number {
  return matrices.reduce((sum, { rows, columns }) => sum + rows * columns, 0);
}

async function rounds<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T[]> {
  const results: T[] = [];
  const begin = performance.now();
  do {
    signal.throwIfAborted();
    results.push(await work());
  } while (results.length < ROUNDS && performance.now() - begin < BUDGET_MS);
  return results;
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const begin = performance.now();
  await work();
  return performance.now() - begin;
}

function median(values: number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const half = sorted.length >> 1;
  return sorted.length % 2 === 1 ? (sorted[half] as number) : ((sorted[half - 1] as number) + (sorted[half] as number)) / 2;
}
