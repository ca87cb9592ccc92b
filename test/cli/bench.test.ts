import { readdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { describe, expect, it } from 'vitest';
import { bytesPerToken } from '../../src/cli/bench-measure.js';
import { readConfig } from '../../src/package/families/index.js';
import { publishedConfig } from '../../src/package/published.js';
import { publishedTensors } from '../../src/package/published-tensors.js';
import { mipha } from './run.js';

describe('mipha bench', () => {
  it('measures a random package and removes it', async () => {
    const before = (await readdir(tmpdir())).filter((name) => name.startsWith('mipha-bench-'));
    const { code, stdout } = await mipha(['bench', '--random', 'nano', '--json']);
    expect(code).toBe(0);
    const report = JSON.parse(stdout);
    expect(report.name).toBe('random-nano');
    for (const field of ['loadMs', 'firstAnswerMs', 'firstTokenMs', 'decodeTokensPerSecond', 'bytesPerToken', 'readBytesPerSecond'])
      expect(report[field]).toBeGreaterThan(0);
    for (const field of ['totalMs', 'visionMs', 'prefillMs']) expect(report.look[field]).toBeGreaterThan(0);
    expect(report.int8OperationsPerSecond).toBeGreaterThanOrEqual(0);
    expect(report.firstAnswerMs).toBeGreaterThan(report.loadMs);
    expect(report.one.totalMs).toBeGreaterThan(0);
    expect(report.eight.totalMs).toBeGreaterThan(0);
    expect((await readdir(tmpdir())).filter((name) => name.startsWith('mipha-bench-'))).toEqual(before);
  });

  it('counts the weights of a model whose MLP is gated and whose heads share keys', () => {
    const shapes = new Map(publishedTensors('mipha-2.4b').map(({ name, shape }) => [name, shape]));
    const config = readConfig({ path: 'config.json', text: publishedConfig('mipha-2.4b'), shape: (name) => shapes.get(name) });
    const architecture = { ...config.architecture, language: { ...config.architecture.language, tokens: 1 } };
    const layer = 2048 * (8 + 1 + 1) * 256 + 8 * 256 * 2048 + 3 * 2048 * 16384; // Gemma-2B: q, k and v; out; gate, up and down
    expect(bytesPerToken(architecture)).toBe(18 * layer + 256_000 * 2048);
  });

  it('prints a table', async () => {
    const { code, stdout } = await mipha(['bench']);
    expect(code).toBe(0);
    for (const row of ['package', 'load', 'first answer', 'look', 'first token', 'decode', '8 questions'])
      expect(stdout).toMatch(new RegExp(`^${row} `, 'm'));
  });
});
