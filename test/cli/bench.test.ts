import { readdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { describe, expect, it } from 'vitest';
import { type FullReport, render } from '../../src/cli/bench.js';
import { bytesPerToken, operationsPerLook } from '../../src/cli/bench-measure.js';
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

  it('counts of the last block what the rows of a picture need: keys and values', () => {
    const shapes = new Map(publishedTensors('mipha-3b').map(({ name, shape }) => [name, shape]));
    const { architecture } = readConfig({ path: 'config.json', text: publishedConfig('mipha-3b'), shape: (name) => shapes.get(name) });
    const [wide, deep] = [2560, 4 * 2560]; // Phi-2: q, k and v; out; two of the MLP
    const block = 4 * wide * wide + 2 * wide * deep;
    const tower = 26 * (4 * 1152 * 1152 + 2 * 1152 * 4304); // SigLIP-384 but for its last block, which Mipha does not use
    const projector = 1152 * wide + wide * wide;
    expect(operationsPerLook(architecture)).toBe(2 * 729 * (tower + projector + 31 * block + 3 * wide * wide));
  });

  it('says how close it comes to the limits of the processor, on the processor only', () => {
    const report: FullReport = {
      ...{ name: 'x', backend: 'cpu', detail: 'avx2, 2 threads', processor: 'P', physicalCores: 2, loadMs: 1, firstAnswerMs: 2, memory: [] },
      ...{ look: { totalMs: 1100, preprocessMs: 100, visionMs: 400, prefillMs: 600 }, operationsPerLook: 5e11, int8OperationsPerSecond: 1e12 },
      ...{ firstTokenMs: 1, decodeTokensPerSecond: 10, bytesPerToken: 2.5e9, decodeBytesPerSecond: 25e9, readBytesPerSecond: 50e9 },
      ...{ one: { totalMs: 1 }, eight: { totalMs: 1 } },
    };
    expect(render(report)).toMatch(/look .*; 50 % of the INT8 peak \(1\.00 TOPS\).*decode .*, 50 % of what memory gives \(50 GB\/s\)/s);
    expect(render({ ...report, backend: 'cuda' })).not.toContain('%');
    expect(render({ ...report, bytesPerToken: 8e6, int8OperationsPerSecond: 0 })).not.toContain('%');
  });

  it('prints a table', async () => {
    const { code, stdout } = await mipha(['bench']);
    expect(code).toBe(0);
    for (const row of ['package', 'load', 'first answer', 'look', 'first token', 'decode', '8 questions'])
      expect(stdout).toMatch(new RegExp(`^${row} `, 'm'));
  });
});
