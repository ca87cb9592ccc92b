/** Pictures and questions → what calibration runs: pixels as the model sees them, ids as it reads them. */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { loadAddon } from '../addon/load.js';
import { MiphaError, optionError } from '../errors.js';
import type { Sample } from '../package/calibrate/stages.js';
import type { Calibration } from '../package/calibration.js';
import { hashFile } from '../package/hash.js';
import { imageTokens, TOKENIZER_FOLDER } from '../package/manifest.js';
import { tokensOf } from '../package/prompts.js';
import { readManifest } from '../package/verify.js';
import { fileText, NotUtf8 } from '../utf8.js';
import { type ImageInput, toPixels } from './image.js';
import { Prompt } from './prompt.js';
import { loadTokenizer } from './tokenizer.js';

export interface Samples {
  samples: Sample[];
  source: Pick<Calibration, 'pictures' | 'prompts'>;
}

const PICTURE = /\.(jpe?g|png|webp|avif|gif|tiff?)$/i;

/** A picture and a question about it. Pairs of one picture have the same name. */
export interface Pair {
  name: string;
  sha256: string;
  image: () => Promise<ImageInput>;
  question: string;
  /** Where the question stands, for messages. */
  where: string;
}

/**
 * `count` pairs, or every pair when there are fewer. Pictures in the order of their names, spread evenly over the folder, each with the next question
 * of the file; where there are fewer pictures than pairs, the next round gives each picture the question after its last.
 * One question per line; \n in it starts a new line, # a comment.
 * Throws ERR_OPTION (no picture, no question), ERR_IMAGE, ERR_CONTEXT_FULL, and what reading the package throws.
 */
export async function readSamples(folder: string, pictures: string, prompts: string, count: number): Promise<Samples> {
  const questions = await readPrompts(prompts);
  const names = spread(await listPictures(pictures), count);
  const hashes = new Map<string, string>();
  const pairs: Pair[] = [];
  for (let pair = 0; pair < Math.min(count, names.length * questions.length); pair++) {
    const picture = pair % names.length;
    const round = Math.floor(pair / names.length);
    const name = names[picture] as string;
    const path = join(pictures, name);
    const sha256 = hashes.get(name) ?? (await hashFile(path)).sha256;
    hashes.set(name, sha256);
    pairs.push({ name, sha256, image: async () => path, question: questions[(picture + round) % questions.length] as string, where: prompts });
  }
  return { ...(await samplesOf(folder, pairs)), source: { pictures: sourceOf(pairs), prompts: questions } };
}

/** Throws ERR_IMAGE, ERR_CONTEXT_FULL, and what reading the package throws. */
export async function samplesOf(folder: string, pairs: readonly Pair[]): Promise<Samples> {
  const manifest = await readManifest(folder);
  const { vision, language } = manifest.architecture;
  const tokenizer = await loadTokenizer(join(folder, TOKENIZER_FOLDER), tokensOf(manifest.prompt));
  const prompt = new Prompt(tokenizer, manifest.prompt, language.context);
  const samples: Sample[] = [];
  for (const { image, question, where } of pairs) {
    const pixels = loadAddon().resize(await toPixels(await image()), vision.imageSize, manifest.preprocessing);
    const ids = prompt.afterPicture(question);
    const needed = prompt.prefix.length + imageTokens(manifest.architecture) + ids.length;
    if (needed > language.context) {
      throw new MiphaError('ERR_CONTEXT_FULL', `${where}: a question needs ${needed} positions, the model has ${language.context}`, {
        details: { neededTokens: needed, availableTokens: language.context },
      });
    }
    samples.push({ pixels, prefix: prompt.prefix, ids });
  }
  return { samples, source: { pictures: sourceOf(pairs), prompts: [...new Set(pairs.map(({ question }) => question))] } };
}

function sourceOf(pairs: readonly Pair[]): Samples['source']['pictures'] {
  return [...new Map(pairs.map(({ name, sha256 }) => [name, { name, sha256 }])).values()];
}

async function readPrompts(path: string): Promise<string[]> {
  const expected = 'a file with one question per line';
  const bytes = await readFile(path).catch(() => {
    throw optionError('prompts', expected, path);
  });
  const lines = promptText(path, bytes)
    .split(/\r?\n/)
    .map((line) => line.trim());
  const questions = lines.filter((line) => line !== '' && !line.startsWith('#')).map((line) => line.replaceAll('\\n', '\n'));
  if (questions.length === 0) throw optionError('prompts', expected, path);
  return questions;
}

function promptText(path: string, bytes: Uint8Array): string {
  try {
    return fileText(bytes);
  } catch (error) {
    throw error instanceof NotUtf8 ? optionError(`prompts (${path}:${error.at.line})`, 'UTF-8', error.at.words) : error;
  }
}

async function listPictures(folder: string): Promise<string[]> {
  const expected = 'a folder with JPEG, PNG, WebP, AVIF, GIF or TIFF files';
  const names = await readdir(folder).catch(() => {
    throw optionError('pictures', expected, folder);
  });
  const pictures = names.filter((name) => PICTURE.test(name)).sort();
  if (pictures.length === 0) throw optionError('pictures', expected, folder);
  return pictures;
}

/** `count` of them, evenly; all when there are fewer. */
export function spread<T>(all: readonly T[], count: number): T[] {
  const most = Math.min(count, all.length);
  return Array.from({ length: most }, (_, i) => all[Math.floor((i * all.length) / most)] as T);
}
