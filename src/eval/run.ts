/** Asks a model what has not been answered yet: a picture is looked at once for all its questions, and these are asked in batches. */
import { z } from 'zod';
import { loadAddon } from '../addon/load.js';
import type { Answer, AnswerOptions } from '../engine/answer.js';
import type { RawImage } from '../engine/image.js';
import { MiphaError, optionError } from '../errors.js';
import type { Manifest } from '../package/manifest.js';
import type { Pixels } from '../picture/decode.js';
import type { Answers } from './answers.js';
import type { AnswerKind, Benchmark, Dataset, Item } from './item.js';
import { pixelsOf } from './layouts/pictures.js';
import type { Mode } from './mark.js';
import { letters } from './parsers/letters.js';
import type { Answered } from './score.js';

/** What of Mipha and its views is used. */
export interface Model {
  look(image: RawImage, options: { signal?: AbortSignal | undefined }): Promise<Looked>;
}

export interface Looked {
  askAll(
    questions: readonly Asked[],
    options: { signal?: AbortSignal | undefined },
  ): Promise<readonly Pick<Answer<unknown>, 'text' | 'value' | 'confidence'>[]>;
  dispose(): Promise<void>;
}

export interface Asked extends Pick<AnswerOptions<unknown>, 'as' | 'maxTokens' | 'temperature'> {
  question: string;
}

export interface RunOptions {
  mode: Mode;
  answers: Answers;
  manifest: Pick<Manifest, 'preprocessing'>;
  signal?: AbortSignal | undefined;
  /** `leftMs`: null before the first answer. */
  onProgress?: ((done: number, total: number, leftMs: number | null) => void) | undefined;
}

const BATCH = 8; // as many as decode together

/** As the paper's scripts have it. */
export function maxTokens(benchmark: Benchmark): number {
  return ['mmbench', 'mmbench-cn', 'scienceqa', 'mm-vet'].includes(benchmark) ? 1024 : 128;
}

/** MM-Vet's script goes around the border that all others put about a picture. */
export function isSquashed(benchmark: Benchmark): boolean {
  return benchmark === 'mm-vet';
}

/** Without those that have no type. Throws ERR_OPTION where none has. */
export function askable(dataset: Dataset, mode: Mode): Dataset {
  if (mode === 'paper') return dataset;
  const items = dataset.items.filter(({ answer }) => answer.kind !== 'text');
  if (items.length === 0) throw optionError('mode', `paper, as ${dataset.benchmark} asks for free words`, mode);
  return { ...dataset, items };
}

/** Every item's answer. Throws what looking and asking throw, with the item's name; `signal.reason`. What was answered stays in `answers`. */
export async function run(dataset: Dataset, model: Model, options: RunOptions): Promise<Map<string, Answered>> {
  const { answers, signal, onProgress } = options;
  const { items } = dataset;
  const pending = items.filter((item) => answers.get(item) === undefined);
  const begun = performance.now();
  let done = 0;
  const tell = () => {
    const left = done === 0 ? null : ((performance.now() - begun) / done) * (pending.length - done);
    onProgress?.(items.length - pending.length + done, items.length, left);
  };
  tell();
  for (const about of byPicture(pending)) {
    signal?.throwIfAborted();
    const begin = performance.now();
    const view = await model.look(await imageOf(dataset.benchmark, about[0] as Item, options), { signal });
    const lookMs = (performance.now() - begin) / about.length;
    try {
      for (let from = 0; from < about.length; from += BATCH) {
        const batch = about.slice(from, from + BATCH);
        const start = performance.now();
        const said = await ask(view, dataset.benchmark, batch, options);
        const ms = lookMs + (performance.now() - start) / batch.length;
        answers.add(batch.map((item, index) => ({ item, answer: { ...(said[index] as Omit<Answered, 'ms'>), ms } })));
        done += batch.length;
        tell();
      }
    } finally {
      await view.dispose();
    }
  }
  return new Map(items.map((item) => [item.id, answers.get(item) as Answered]));
}

function byPicture(items: readonly Item[]): Iterable<Item[]> {
  const pictures = new Map<string, Item[]>();
  for (const item of items) {
    const about = pictures.get(item.picture.key);
    if (about === undefined) pictures.set(item.picture.key, [item]);
    else about.push(item);
  }
  return pictures.values();
}

async function imageOf(benchmark: Benchmark, { picture }: Item, { manifest }: RunOptions): Promise<RawImage> {
  const pixels = await pixelsOf(picture);
  return isSquashed(benchmark) ? squashed(pixels, manifest) : { ...pixels, format: 'rgb' };
}

/** Each side resized on its own to what the tower sees, so that nothing is left to do for any package. */
function squashed({ data, width, height }: Pixels, { preprocessing }: RunOptions['manifest']): RawImage {
  const side = preprocessing.shortestSide;
  const native = { data, width, height, stride: width * 3, format: 'rgb' as const };
  return { data: loadAddon().resize(native, side, { ...preprocessing, aspect: 'squash' }), width: side, height: side, format: 'rgb' };
}

type Said = Omit<Answered, 'ms'>;

async function ask(view: Looked, benchmark: Benchmark, items: readonly Item[], { mode, signal }: RunOptions): Promise<Said[]> {
  const spec = (item: Item, most: number): Asked => {
    if (mode === 'constrained') return { question: item.prompt, as: typeOf(item.answer), temperature: 0 };
    return { question: item.prompt, maxTokens: most, temperature: 0 };
  };
  try {
    const most = maxTokens(benchmark);
    return (
      await view.askAll(
        items.map((item) => spec(item, most)),
        { signal },
      )
    ).map(said);
  } catch (error) {
    if (!(error instanceof MiphaError) || error.code !== 'ERR_CONTEXT_FULL') throw error;
  }
  const answers: Said[] = [];
  for (const item of items) answers.push(await askWithin(view, benchmark, item, spec, signal));
  return answers;
}

/** An answer may have as many tokens as the context leaves. */
async function askWithin(
  view: Looked,
  benchmark: Benchmark,
  item: Item,
  spec: (item: Item, most: number) => Asked,
  signal: AbortSignal | undefined,
): Promise<Said> {
  for (let most = maxTokens(benchmark); ; ) {
    try {
      const [answer] = await view.askAll([spec(item, most)], { signal });
      return said(answer as Parameters<typeof said>[0]);
    } catch (error) {
      if (!(error instanceof MiphaError) || error.code !== 'ERR_CONTEXT_FULL') throw error;
      const { neededTokens, availableTokens } = error.details as { neededTokens: number; availableTokens: number };
      const fewer = most - (neededTokens - availableTokens);
      if (!(fewer >= 1 && fewer < most)) {
        throw new MiphaError('ERR_CONTEXT_FULL', `${item.id} of ${benchmark}: ${error.message}`, { details: error.details as never, cause: error });
      }
      most = fewer;
    }
  }
}

function typeOf(answer: AnswerKind): NonNullable<Asked['as']> {
  if (answer.kind === 'yes-no') return z.boolean();
  if (answer.kind === 'letter') return z.enum(letters(answer.options.length) as [string, ...string[]]);
  return z.enum(answer.kind === 'choice' ? ([...answer.options] as [string, ...string[]]) : ['']);
}

function said({ text, value, confidence }: Pick<Answer<unknown>, 'text' | 'value' | 'confidence'>): Said {
  const typed = typeof value === 'boolean' ? (value ? 'yes' : 'no') : String(value);
  return { text: confidence === null ? text : typed, confidence };
}
