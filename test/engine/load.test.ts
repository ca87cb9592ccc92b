import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadWhileChecking, openChecked } from '../../src/engine/load.js';
import { callSite } from '../../src/errors.js';
import { Mipha, MiphaError } from '../../src/index.js';
import { hashFile } from '../../src/package/hash.js';
import { type Manifest, WEIGHTS_FILE } from '../../src/package/manifest.js';
import type { OpeningPackage } from '../../src/package/verify.js';
import { counts } from '../support/counts.js';
import { NANO } from '../support/nano.js';
import { Random } from '../support/random.js';
import { testAddon } from '../support/test-addon.js';

const folder = mkdtempSync(join(tmpdir(), 'mipha-load-'));
const WEIGHTS = join(folder, WEIGHTS_FILE);
let manifest: Manifest;
let sound: Buffer; // the weights
beforeAll(() => {
  manifest = JSON.parse(readFileSync(join(NANO, 'manifest.json'), 'utf8'));
  for (const name of ['manifest.json', ...Object.keys(manifest.files)]) cpSync(join(NANO, name), join(folder, name));
  sound = readFileSync(WEIGHTS);
});
afterAll(() => rmSync(folder, { recursive: true }));

const load = (options = {}) => Mipha.load(folder, { backend: 'cpu', ...options });

/** Native objects, and files of this process that are open. */
function held(): object {
  const { references: _, ...handles } = testAddon().handles();
  return { ...handles, files: readdirSync('/proc/self/fd').length };
}

/** Where the tensors begin. */
const dataStart = () => 8 + Number(sound.readBigUInt64LE(0));

/** Writes the weights with -128 in a matrix, which no package may have. */
function plantForbidden(): void {
  const header = JSON.parse(sound.toString('utf8', 8, dataStart())) as Record<string, { dtype: string; data_offsets: [number, number] }>;
  const isPacked = (name: string) => name.startsWith('language.layers.') && (manifest.recipe?.[name.replace(/\.weight$/, '')] ?? 'w8a8') === 'w8a8';
  const matrix = Object.entries(header).find(([name, { dtype }]) => dtype === 'I8' && isPacked(name));
  const damaged = Buffer.from(sound);
  damaged[dataStart() + (matrix?.[1].data_offsets[0] as number)] = 0x80;
  writeFileSync(WEIGHTS, damaged);
}

describe('a damaged file', () => {
  const expectChecksum = async (path: string) =>
    expect(load()).rejects.toMatchObject({ code: 'ERR_MODEL_CHECKSUM', details: { path }, message: expect.stringContaining(path) });

  it('is named, whichever bit of it has flipped, and nothing stays', async () => {
    const before = held();
    const random = new Random(41);
    for (const name of Object.keys(manifest.files)) {
      const path = join(folder, name);
      const bytes = readFileSync(path);
      // Of the weights also the length of their header, the header, and the last byte.
      const places = name === WEIGHTS_FILE ? [0, 7, 8, 8 + random.below(dataStart() - 8), bytes.length - 1] : [];
      for (let i = 0; i < counts(2, 30); i++) places.push(random.below(bytes.length));
      for (const at of places) {
        const damaged = Buffer.from(bytes);
        damaged[at] = (damaged[at] as number) ^ (1 << random.below(8));
        writeFileSync(path, damaged);
        await expectChecksum(path);
      }
      writeFileSync(path, bytes);
    }
    expect(held()).toEqual(before);
    await (await load()).dispose();
  });

  it('is named as damaged where packing finds it malformed', async () => {
    plantForbidden();
    await expectChecksum(WEIGHTS);
    writeFileSync(WEIGHTS, sound);
  });

  it('that has the checksum of its damage is malformed', async () => {
    plantForbidden();
    const files = { ...manifest.files, [WEIGHTS_FILE]: await hashFile(WEIGHTS) };
    writeFileSync(join(folder, 'manifest.json'), JSON.stringify({ ...manifest, files }));
    const before = held();
    await expect(load()).rejects.toMatchObject({ code: 'ERR_MODEL_FORMAT', message: expect.stringMatching(/row \d+, column \d+ is -128/) });
    expect(held()).toEqual(before);
    writeFileSync(join(folder, 'manifest.json'), JSON.stringify(manifest));
    writeFileSync(WEIGHTS, sound);
  });
});

it('no answer is worked out before the weights are checked', async () => {
  const before = held();
  const stages: string[] = [];
  const damaged = new Error('damaged');
  let fail = () => {};
  const checked = new Promise<void>((_, reject) => (fail = () => reject(damaged)));
  const onProgress = (stage: string, fraction: number) => {
    stages.push(stage);
    if (stage === 'prefix' && fraction === 1) setTimeout(fail, 20);
  };
  const { signal } = new AbortController();
  const cpu = { threads: 0, isa: '', streamWeights: false };
  const opening = openChecked({ folder, manifest }, { signal, onProgress, checked }, { backend: 'cpu', cacheTokens: 0, cpu }, callSite(openChecked));
  await expect(opening).rejects.toBe(damaged);
  expect(stages).not.toContain('self-test');
  expect(held()).toEqual(before);
});

describe('progress', () => {
  it('goes from stage to stage, and in each from 0 to 1', async () => {
    const seen: [string, number][] = [];
    const mipha = await load({ onProgress: (stage: string, fraction: number) => seen.push([stage, fraction]) });
    await mipha.dispose();
    expect(seen.map(([stage]) => stage).filter((stage, i, all) => stage !== all[i - 1])).toEqual(['verify', 'weights', 'prefix', 'self-test']);
    for (const stage of new Set(seen.map(([stage]) => stage))) {
      const fractions = seen.filter(([of]) => of === stage).map(([, fraction]) => fraction);
      expect(fractions).toEqual([...fractions].sort((a, b) => a - b));
      expect(fractions.at(-1)).toBe(1);
    }
  });
});

describe('a load that is aborted', () => {
  const reason = new Error('enough');

  it('at any stage ends with the reason and leaves nothing', async () => {
    const before = held();
    for (const stage of ['verify', 'weights', 'prefix', 'self-test']) {
      const controller = new AbortController();
      const onProgress = (at: string) => at === stage && controller.abort(reason);
      await expect(load({ signal: controller.signal, onProgress })).rejects.toBe(reason);
      expect(held()).toEqual(before);
    }
  });

  it('at any moment does too', async () => {
    const before = held();
    for (let i = 0; i < counts(10, 100); i++) {
      const controller = new AbortController();
      const loading = load({ signal: controller.signal }).catch((error: unknown) => error);
      await sleep(i % 50);
      controller.abort(reason);
      const outcome = await loading;
      if (outcome instanceof Mipha) await outcome.dispose();
      else expect(outcome).toBe(reason);
      expect(held()).toEqual(before);
    }
  });
});

describe('of checking and packing', () => {
  const damaged = new MiphaError('ERR_MODEL_CHECKSUM', 'weights: damaged');
  const malformed = new MiphaError('ERR_MODEL_FORMAT', 'weights: malformed');
  const noMemory = new MiphaError('ERR_MEMORY', 'model memory');

  /** Runs until `signal` aborts, then takes a while to end. */
  const untilAborted = (signal: AbortSignal | undefined, ended: () => void) =>
    new Promise<never>((_, reject) => {
      signal?.addEventListener('abort', async () => {
        await sleep(5);
        ended();
        reject(signal.reason);
      });
    });
  const during = <T>(checkWeights: OpeningPackage['checkWeights'], load: Parameters<typeof loadWhileChecking<T>>[2], told: unknown[] = []) =>
    loadWhileChecking({ checkWeights } as OpeningPackage, { onProgress: (...step) => told.push(step) }, load);

  it('the check that fails ends the packing, which is waited for', async () => {
    let ended = false;
    const packing = during(
      () => Promise.reject(damaged),
      ({ signal }) => untilAborted(signal, () => (ended = true)),
    );
    await expect(packing).rejects.toBe(damaged);
    expect(ended).toBe(true);
  });

  it('the packing that fails ends the check, which is waited for', async () => {
    let ended = false;
    const packing = during(
      (signal) => untilAborted(signal, () => (ended = true)),
      () => Promise.reject(noMemory),
    );
    await expect(packing).rejects.toBe(noMemory);
    expect(ended).toBe(true);
  });

  it('both that fail, damage is what is said, whichever fails first', async () => {
    for (const [checkMs, packMs] of [
      [0, 10],
      [10, 0],
    ] as const) {
      const both = during(
        () => sleep(checkMs).then(() => Promise.reject(damaged)),
        () => sleep(packMs).then(() => Promise.reject(malformed)),
      );
      await expect(both).rejects.toBe(damaged);
    }
  });

  it('a malformed file is waited for: it may be damaged, or not', async () => {
    const packing = during(
      () => sleep(5),
      () => Promise.reject(malformed),
    );
    await expect(packing).rejects.toBe(malformed);
  });

  it('the check alone does not make it ready, and stages beside it are told after it', async () => {
    const told: unknown[] = [];
    let finish = () => {};
    const check = new Promise<void>((resolve) => (finish = resolve));
    const packing = during<string>(
      () => check,
      async ({ onProgress, checked }) => {
        onProgress('weights', 1);
        await checked;
        onProgress('self-test', 0);
        return 'ready';
      },
      told,
    );
    expect(await Promise.race([packing, sleep(5, 'not yet')])).toBe('not yet');
    expect(told).toEqual([]);
    finish();
    expect(await packing).toBe('ready');
    expect(told).toEqual([
      ['weights', 1],
      ['self-test', 0],
    ]);
  });
});
