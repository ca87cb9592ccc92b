import { readdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { describe, expect, it } from 'vitest';
import { mipha } from './run.js';

describe('mipha bench', () => {
  it('measures a random package and removes it', async () => {
    const before = (await readdir(tmpdir())).filter((name) => name.startsWith('mipha-bench-'));
    const { code, stdout } = await mipha(['bench', '--random', 'nano', '--json']);
    expect(code).toBe(0);
    const report = JSON.parse(stdout);
    expect(report.name).toBe('random-nano');
    for (const field of ['loadMs', 'firstTokenMs', 'decodeTokensPerSecond', 'bytesPerToken', 'readBytesPerSecond'])
      expect(report[field]).toBeGreaterThan(0);
    for (const field of ['totalMs', 'visionMs', 'prefillMs']) expect(report.look[field]).toBeGreaterThan(0);
    expect(report.one.totalMs).toBeGreaterThan(0);
    expect(report.eight.totalMs).toBeGreaterThan(0);
    expect((await readdir(tmpdir())).filter((name) => name.startsWith('mipha-bench-'))).toEqual(before);
  });

  it('prints a table', async () => {
    const { code, stdout } = await mipha(['bench']);
    expect(code).toBe(0);
    for (const row of ['package', 'load', 'look', 'first token', 'decode', '8 questions']) expect(stdout).toMatch(new RegExp(`^${row} `, 'm'));
  });
});
