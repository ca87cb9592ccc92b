/** nano's held-out scenes, asked on the CUDA backend by the program that goes to a machine with a GPU; here the machine without one runs the kernels. */
import { execFile, execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { ROOT } from '../architecture/sources.js';
import { counts } from '../support/counts.js';
import { GPU_ANSWERS, MACHINE_LACKS } from '../support/machine.js';

interface Figures {
  questions: number;
  same: number;
  right: number;
  cpuRight: number;
}
const PACKAGE = join(ROOT, 'models/mipha-nano');

/** Its status is about these scenes alone; what counts here is the sum. */
function ask(questions: string, first: number, count: number): Promise<Figures> {
  return new Promise((done, fail) => {
    execFile(GPU_ANSWERS, [PACKAGE, questions, String(first), String(count)], (error, stdout, stderr) => {
      if (/^\{.*\}\n$/.test(stdout)) done(JSON.parse(stdout));
      else fail(error ?? new Error(stderr));
    });
  });
}

describe.runIf(MACHINE_LACKS === '')(`gpu_answers${MACHINE_LACKS && ` (needs ${MACHINE_LACKS})`}`, () => {
  it('has the answers of the CPU, and as many right ones', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'mipha-questions-'));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    const scenes = counts(1, 24);
    execFileSync(process.execPath, ['scripts/gpu-check/questions.mjs', PACKAGE, folder, String(scenes)], { cwd: ROOT });
    const half = Math.ceil(scenes / 2);
    const parts = await Promise.all([ask(folder, 0, half), ...(scenes > half ? [ask(folder, half, scenes - half)] : [])]);
    const sum = (name: keyof Figures) => parts.reduce((total, part) => total + part[name], 0);
    expect(sum('questions')).toBeGreaterThanOrEqual(5 * scenes);
    expect(sum('same') / sum('questions')).toBeGreaterThanOrEqual(0.99);
    expect(Math.abs(sum('right') - sum('cpuRight')) / sum('questions')).toBeLessThanOrEqual(0.003);
  }, 1_200_000);
});
