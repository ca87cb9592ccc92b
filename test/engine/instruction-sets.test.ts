/** Integer products are equal bit for bit on every instruction set, sums of floats are not: words must be. */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { loadAddon } from '../../src/addon/load.js';
import { mipha } from '../cli/run.js';
import { counts } from '../support/counts.js';

const SCENES = counts(8, 512);
const QUESTIONS = 8; // of a scene
const SCALAR = counts(1, 16); // scenes that the plain loops are asked about: they take a hundred times as long

const folder = mkdtempSync(join(tmpdir(), 'mipha-isa-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** A process each, because MIPHA_ISA is read by native code. */
async function answers(isa: string, scenes: number): Promise<string[]> {
  const out = join(folder, isa);
  const args = ['eval', 'kitchen', '--backend', 'cpu', '--limit', String(scenes * QUESTIONS), '--out', out];
  const { code, stderr } = await mipha(args, { env: { ...process.env, MIPHA_ISA: isa } });
  expect(code, stderr).toBe(0);
  const file = readdirSync(out).find((name) => name.endsWith('.ndjson')) as string;
  const lines = readFileSync(join(out, file), 'utf8').trim().split('\n').slice(1);
  return lines.map((line) => (JSON.parse(line) as { text: string }).text);
}

it('every instruction set that this machine runs answers the held-out scenes in the same words', async () => {
  const [best, ...others] = loadAddon().cpu().runnable as [string, ...string[]];
  const expected = await answers(best, SCENES);
  expect(expected).toHaveLength(SCENES * QUESTIONS);
  for (const isa of others) {
    const scenes = isa === 'scalar' ? SCALAR : SCENES;
    expect(await answers(isa, scenes), isa).toEqual(expected.slice(0, scenes * QUESTIONS));
  }
}, 900_000);
