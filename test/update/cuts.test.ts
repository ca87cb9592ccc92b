/** A process that is killed while it installs or takes back: whenever that is, the next start has a whole package, the old or the new, and can install. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readdir } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { expect, it } from 'vitest';
import { openPackage } from '../../src/package/verify.js';
import { ModelsFolder } from '../../src/update/models-folder.js';
import { counts } from '../support/counts.js';
import { sleep } from '../support/mosquitto.js';
import { newSigner, type Signer, scratch, writeRelease } from './helpers.js';

const DIST = resolve('dist');

interface Place {
  models: string;
  stick: string;
  signer: Signer;
}

async function place(): Promise<Place> {
  const folder = await scratch();
  const [models, stick, signer] = [join(folder, 'models'), join(folder, 'stick'), newSigner()];
  await mkdir(models);
  await writeRelease(join(stick, '1.0'), 1, '1.0', signer);
  await writeRelease(join(stick, '1.1'), 2, '1.1', signer, 40_000);
  return { models, stick, signer };
}

/** Killed at that call of the file system, or after so many milliseconds. What it printed. */
async function installing({ models, stick, signer }: Place, source: string, at: number, afterMs?: number): Promise<{ out: string; killed: boolean }> {
  const child = spawn(process.execPath, ['test/update/killed.mjs', DIST, models, stick, source, signer.text, `${at}`], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let out = '';
  child.stdout.on('data', (data) => {
    out += data;
  });
  const ended = once(child, 'close');
  if (afterMs !== undefined) {
    await Promise.race([ended, sleep(afterMs)]);
    child.kill('SIGKILL');
  }
  await ended;
  return { out, killed: child.signalCode === 'SIGKILL' };
}

/** What a start serves, whole. */
async function served({ models, signer }: Place): Promise<string> {
  const there = new ModelsFolder(models, null, [signer.text]);
  const { folder, release, note } = await there.begin();
  await there.end();
  expect(note).toBeNull();
  if (folder === undefined) return 'own';
  expect((await openPackage(folder)).manifest.name).toBe(release?.model);
  for (const name of await readdir(models)) if (/^[0-9a-f]{16}$/.test(name)) await openPackage(join(models, name)); // nothing half has a name
  return release?.release ?? '';
}

async function callsOf(here: Place, source: string): Promise<number> {
  const { out } = await installing(here, source, 0);
  return Number(/calls (\d+)/.exec(out)?.[1]);
}

it('finds the old or the new at every step of an installation, and installs then', async () => {
  const counted = await place();
  const calls = await callsOf(counted, '1.0');
  expect(await served(counted)).toBe('1.0');
  expect(calls).toBeGreaterThan(50);
  const seen = new Set<string>();
  const steps = counts(6, 24);
  for (let step = 1; step <= steps; step++) {
    const here = { ...counted, models: `${counted.models}-${step}` };
    const { killed } = await installing(here, '1.0', Math.ceil((step * calls) / steps) - (step === steps ? 4 : 0));
    expect(killed).toBe(true);
    seen.add(await served(here));
    await installing(here, '1.0', 0);
    expect(await served(here)).toBe('1.0');
  }
  expect([...seen].sort()).toEqual(['1.0', 'own']);
});

it(
  '… at any moment of installing over another one and of taking back, again and again in one place',
  async () => {
    const here = await place();
    await installing(here, '1.0', 0);
    const began = performance.now();
    await installing(here, '1.1', 0);
    const took = performance.now() - began;
    const allowed = ['own', '1.0', '1.1'];
    for (let cut = 0; cut < counts(6, 56); cut++) {
      const before = await served(here);
      expect(allowed).toContain(before);
      const source = before === 'own' ? '1.0' : before === '1.0' ? '1.1' : 'back';
      await installing(here, source, 0, took * (0.2 + 0.9 * ((cut * 0.618) % 1)));
      const after = await served(here);
      expect(source === 'back' ? [before, '1.0', 'own'] : [before, source]).toContain(after);
    }
  },
  counts(60_000, 600_000),
);
