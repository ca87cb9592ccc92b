/**
 * The golden answer of a package: a picture that a formula draws, a question, and the ids that a right engine gives. Recorded when the
 * package is made, checked at every load.
 */

import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import type { NativeImage } from '../addon/addon.js';
import { callSite, MiphaError } from '../errors.js';
import { fileError, parseJson, textOf } from '../package/format.js';
import { GOLDEN_FILE } from '../package/manifest.js';
import { type OpenedPackage, readManifest } from '../package/verify.js';
import { Call } from './call.js';
import { Engine } from './engine.js';

const goldenSchema = z.strictObject({
  picture: z.literal('ramp-640x480'),
  prompt: z.string().min(1).max(1000),
  promptIds: z.array(z.int().min(0)).max(4096), // before and after the picture
  ids: z.array(z.int().min(0)).max(8), // greedy, without the end token
});
export type Golden = z.infer<typeof goldenSchema>;

const PROMPT = 'Describe the image.';
const MAX_IDS = 8;

/**
 * Instruction sets add floats in different orders, and activations that are rounded to eight bits carry such differences on as whole steps.
 * A token whose logit leads by less than this may therefore differ between machines, and so may everything after it.
 */
const SAFE_MARGIN = 0.5;

/** Runs a finished package, with memory for one layer at a time, and returns what its golden.json must hold. */
export async function recordGolden(folder: string): Promise<Golden> {
  const opened: OpenedPackage = { folder, manifest: await readManifest(folder) };
  const engine = await Engine.open(
    opened,
    { backend: 'cpu', cacheTokens: 0, cpu: { threads: 0, isa: '', streamWeights: true }, onProgress: () => {} },
    callSite(recordGolden),
  );
  try {
    const { promptIds, ids, margins } = await answer(engine, PROMPT, MAX_IDS);
    const shaky = margins.findIndex((margin) => !(margin >= SAFE_MARGIN));
    return { picture: 'ramp-640x480', prompt: PROMPT, promptIds, ids: shaky < 0 ? ids : ids.slice(0, shaky) };
  } finally {
    await engine.dispose();
  }
}

/** Throws ERR_SELF_TEST when the package's golden ids are not reproduced. A package without golden.json has nothing to check. */
export async function checkGolden(engine: Engine, { folder, manifest }: OpenedPackage, signal?: AbortSignal): Promise<void> {
  if (manifest.files[GOLDEN_FILE] === undefined) return;
  const path = join(folder, GOLDEN_FILE);
  const bytes = await readFile(path).catch((error: unknown) => {
    throw fileError(path, error);
  });
  const golden = parseJson(path, textOf(path, bytes), goldenSchema);
  const received = await answer(engine, golden.prompt, Math.max(1, golden.ids.length), signal);
  compare(folder, 'prompt ids', golden.promptIds, received.promptIds);
  compare(folder, 'answer ids', golden.ids, received.ids.slice(0, golden.ids.length));
}

function compare(folder: string, what: string, expected: readonly number[], received: readonly number[]): void {
  if (expected.length === received.length && expected.every((id, index) => id === received[index])) return;
  throw new MiphaError('ERR_SELF_TEST', `${folder}: self-test failed, ${what}: expected ${expected.join(' ')}, received ${received.join(' ')}`, {
    details: { what, expected, received },
  });
}

async function answer(
  engine: Engine,
  prompt: string,
  maxTokens: number,
  signal?: AbortSignal,
): Promise<{ promptIds: number[]; ids: number[]; margins: number[] }> {
  const call = new Call('self-test', { signal }, callSite(answer));
  const { view } = await engine.look(ramp(), call);
  try {
    const after = engine.prompt.afterPicture(prompt);
    const { ids, margins } = await engine.greedy(view, after, maxTokens, call);
    return { promptIds: [...engine.prompt.prefix, ...after], ids: [...ids], margins: [...margins] };
  } finally {
    engine.releaseView(view);
  }
}

/** 640 x 480 RGB, pixel (x, y) = (3x + y, x + 2y, xy) mod 256. */
export function ramp(): NativeImage {
  const [width, height] = [640, 480];
  const data = new Uint8Array(width * height * 3);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) data.set([(3 * x + y) & 255, (x + 2 * y) & 255, (x * y) & 255], (y * width + x) * 3);
  }
  return { data, width, height, stride: width * 3, format: 'rgb' };
}
