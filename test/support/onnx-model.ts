/** A package's graphs in ONNX Runtime: the independent judge. Rows of all sequences lie in one cache, and masks say which row sees which. */
import { join } from 'node:path';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import type { Prompt } from '../../src/engine/prompt.js';
import { toFloat32 } from '../../src/package/floats.js';
import { type Manifest, WEIGHTS_FILE } from '../../src/package/manifest.js';
import { openGraphSource } from '../../src/package/onnx/source.js';
import { type Segment, segmentsOf, writeGraph } from '../../src/package/onnx/write.js';
import { openSafetensors } from '../../src/package/safetensors.js';

const HIDDEN = -60000;

interface LanguageSegment {
  session: InferenceSession;
  segment: Extract<Segment, { kind: 'language' }>;
}

/** New rows of one sequence: which cache rows they see besides each other, and their first position. */
export interface Span {
  hidden: Float32Array; // [rows, hidden]
  sees: number[]; // cache rows, in the order of their positions
}

export class OnnxModel {
  /** FP16 bits per layer: keys and values, [rows, kvHeads, headSize]. */
  #cache: { keys: Uint16Array; values: Uint16Array }[] = [];
  #rows = 0;

  private constructor(
    readonly manifest: Manifest,
    private readonly embedding: (id: number) => Float32Array,
    private readonly vision: InferenceSession,
    private readonly language: LanguageSegment[],
  ) {
    this.reset();
  }

  static async load(folder: string, graphs: string, parts: number, wide = false): Promise<OnnxModel> {
    const source = await openGraphSource(folder);
    const sessions = new Map<Segment, InferenceSession>();
    for (const segment of segmentsOf(source.manifest.architecture.language.layers, parts)) {
      const { path } = await writeGraph(graphs, source, segment, wide);
      sessions.set(segment, await openSession(path));
    }
    const all = [...sessions].map(([segment, session]) => ({ segment, session }));
    const vision = all.find(({ segment }) => segment.kind === 'vision')?.session as InferenceSession;
    return new OnnxModel(source.manifest, await readEmbedding(folder), vision, all.filter(isLanguage));
  }

  reset(): void {
    this.#cache = Array.from({ length: this.manifest.architecture.language.layers }, () => ({ keys: new Uint16Array(), values: new Uint16Array() }));
    this.#rows = 0;
  }

  /** pixels uint8 [size, size, 3] → features [tokens, hidden] */
  async encode(pixels: Uint8Array): Promise<Float32Array> {
    const size = this.manifest.architecture.vision.imageSize;
    const { mean, std } = this.manifest.preprocessing;
    const planes = Float32Array.from({ length: pixels.length }, (_, i) => {
      const channel = Math.floor(i / size ** 2);
      return ((pixels[3 * (i % size ** 2) + channel] as number) / 255 - (mean[channel] as number)) / (std[channel] as number);
    });
    const { features } = await this.vision.run({ pixels: new Tensor('float32', planes, [1, 3, size, size]) });
    return features?.data as Float32Array;
  }

  embed(ids: Iterable<number>): Float32Array {
    return joinedFloats(...[...ids].map(this.embedding));
  }

  /** Runs the spans together. Returns the cache rows that each got, and the logits of each one's last row; `show` sees hidden rows at segment ends. */
  async append(spans: Span[], show?: (layer: number, hidden: Float32Array) => void): Promise<{ rows: number[][]; logits: Float32Array[] }> {
    const { hidden, kvHeads, headSize, layers, rotaryDims, ropeTheta, vocab } = this.manifest.architecture.language;
    const counts = spans.map((span) => span.hidden.length / hidden);
    const count = counts.reduce((sum, rows) => sum + rows, 0);
    const [past, columns] = [this.#rows, this.#rows + count];
    const mask = new Float32Array(count * columns).fill(HIDDEN);
    const positions: number[] = [];
    const rows: number[][] = [];
    for (const [s, { sees }] of spans.entries()) {
      const first = positions.length;
      for (let i = 0; i < (counts[s] as number); i++) {
        for (const row of sees) mask[(first + i) * columns + row] = 0;
        for (let j = 0; j <= i; j++) mask[(first + i) * columns + past + first + j] = 0;
        positions.push(sees.length + i);
      }
      rows.push(Array.from({ length: counts[s] as number }, (_, i) => past + first + i));
    }
    const half = rotaryDims / 2;
    const angles = positions.flatMap((position) => Array.from({ length: half }, (_, i) => position * ropeTheta ** (-i / half)));
    const rotation = {
      cosine: new Tensor('float32', Float32Array.from(angles, Math.cos), [count, half]),
      sine: new Tensor('float32', Float32Array.from(angles, Math.sin), [count, half]),
    };
    let x = Float32Array.from(spans.flatMap((span) => [...span.hidden]));
    let logits = new Float32Array();
    for (const { session, segment } of this.language) {
      const feeds: Record<string, Tensor> = {
        hidden_in: new Tensor('float32', x, [count, hidden]),
        ...(half > 0 ? rotation : {}),
        mask: new Tensor('float32', mask, [count, columns]),
      };
      for (let layer = segment.first; layer < segment.end; layer++) {
        const { keys, values } = this.#cache[layer] as { keys: Uint16Array; values: Uint16Array };
        feeds[`past_keys.${layer}`] = new Tensor('float16', keys, [past, kvHeads, headSize]);
        feeds[`past_values.${layer}`] = new Tensor('float16', values, [past, kvHeads, headSize]);
      }
      if (segment.end === layers)
        feeds.rows = new Tensor(
          'int32',
          Int32Array.from(rows, (own) => (own.at(-1) as number) - past),
          [spans.length],
        );
      const outputs = await session.run(feeds);
      for (let layer = segment.first; layer < segment.end; layer++) {
        const cached = this.#cache[layer] as { keys: Uint16Array; values: Uint16Array };
        cached.keys = joined(cached.keys, outputs[`new_keys.${layer}`]?.data as unknown as Uint16Array);
        cached.values = joined(cached.values, outputs[`new_values.${layer}`]?.data as unknown as Uint16Array);
      }
      x = (outputs.hidden_out?.data ?? new Float32Array()) as Float32Array<ArrayBuffer>;
      if (outputs.hidden_out !== undefined) show?.(segment.end, x);
      logits = (outputs.logits?.data ?? logits) as Float32Array<ArrayBuffer>;
    }
    this.#rows += count;
    return { rows, logits: spans.map((_, s) => logits.slice(s * vocab, (s + 1) * vocab)) };
  }

  /** FP16 keys and values of some cache rows as f32. */
  cached(layer: number, kind: 'keys' | 'values', rows: number[]): Float32Array {
    const { kvHeads, headSize } = this.manifest.architecture.language;
    const width = kvHeads * headSize;
    const all = toFloat32(new Uint8Array(Uint16Array.from((this.#cache[layer] as { keys: Uint16Array; values: Uint16Array })[kind]).buffer), 'F16');
    return Float32Array.from(rows.flatMap((row) => [...all.subarray(row * width, (row + 1) * width)]));
  }

  /** Greedy answers to several questions about one picture, decoded together; ids without the end. */
  async answers(features: Float32Array, { prefix, stopIds }: Prompt, questions: Int32Array[], limit: number): Promise<number[][]> {
    const { tokens } = this.manifest.architecture.language;
    this.reset();
    const view = await this.append([{ hidden: joinedFloats(this.embed(prefix), features), sees: [] }]);
    const first = await this.append(questions.map((ids) => ({ hidden: this.embed(ids), sees: view.rows[0] as number[] })));
    const running = questions.map((_, i) => ({
      ids: [] as number[],
      sees: [...(view.rows[0] as number[]), ...(first.rows[i] as number[])],
      logits: first.logits[i] as Float32Array,
    }));
    let active = running;
    while (active.length > 0) {
      const going: typeof running = [];
      for (const sequence of active) {
        const id = best(sequence.logits, tokens);
        if (stopIds.includes(id)) continue;
        sequence.ids.push(id);
        if (sequence.ids.length < limit) going.push(sequence);
      }
      if (going.length === 0) break;
      const next = await this.append(going.map(({ ids, sees }) => ({ hidden: this.embed([ids.at(-1) as number]), sees })));
      for (const [i, sequence] of going.entries()) {
        sequence.sees.push(...(next.rows[i] as number[]));
        sequence.logits = next.logits[i] as Float32Array;
      }
      active = going;
    }
    return running.map(({ ids }) => ids);
  }
}

export async function openSession(path: string | Uint8Array): Promise<InferenceSession> {
  // The graph as it is written, operator by operator: what an engine is compared with.
  const options = { graphOptimizationLevel: 'disabled', logSeverityLevel: 3 } as const;
  return typeof path === 'string' ? InferenceSession.create(path, options) : InferenceSession.create(path, options);
}

function isLanguage(entry: { segment: Segment; session: InferenceSession }): entry is LanguageSegment {
  return entry.segment.kind === 'language';
}

async function readEmbedding(folder: string): Promise<(id: number) => Float32Array> {
  const file = await openSafetensors(join(folder, WEIGHTS_FILE));
  try {
    const read = async (name: string) => {
      const entry = file.tensors.get(name) as { offset: number; bytes: number; shape: number[]; dtype: string };
      const bytes = new Uint8Array(entry.bytes);
      await file.read(entry.offset, bytes);
      return { ...entry, bytes };
    };
    const weight = await read('language.embedding.weight');
    const scale = toFloat32((await read('language.embedding.scale')).bytes, 'F32');
    const width = weight.shape[1] as number;
    return (id) => Float32Array.from(new Int8Array(weight.bytes.buffer, id * width, width), (value) => value * (scale[id] as number));
  } finally {
    await file.close();
  }
}

function best(logits: Float32Array, tokens: number): number {
  let top = 0;
  for (let id = 1; id < tokens; id++) if ((logits[id] as number) > (logits[top] as number)) top = id;
  return top;
}

function joined(a: Uint16Array, b: Uint16Array): Uint16Array {
  const whole = new Uint16Array(a.length + b.length);
  whole.set(a);
  whole.set(new Uint16Array(b.buffer, b.byteOffset, b.length), a.length);
  return whole;
}

export function joinedFloats(...parts: Float32Array[]): Float32Array {
  return Float32Array.from(parts.flatMap((part) => [...part]));
}
