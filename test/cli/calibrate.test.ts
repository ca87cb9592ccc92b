import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { convert } from '../../src/package/convert.js';
import { makeFolders } from '../eval/folders.js';
import { calibrationFiles } from '../support/calibrated.js';
import { writeSmallCheckpoint } from '../support/small-nano.js';
import { mipha } from './run.js';

const scratch = mkdtempSync(join(tmpdir(), 'mipha-cli-calibrate-'));
afterAll(() => rmSync(scratch, { recursive: true }));

const { pictures, prompts } = calibrationFiles(scratch);
const MODEL = join(scratch, 'model');
beforeAll(async () => {
  writeSmallCheckpoint(join(scratch, 'checkpoint'), 2);
  await convert(join(scratch, 'checkpoint'), MODEL);
});
const calibrate = (out: string, ...more: string[]) =>
  mipha(['calibrate', MODEL, join(scratch, out), '--pictures', pictures, '--prompts', prompts, '--samples', '2', ...more]);

describe('mipha calibrate', () => {
  it('shows progress, what was kept wide and why, and what error that leaves', async () => {
    const { code, stdout, stderr } = await calibrate('lines', '--budget', '0.01');
    expect(code).toBe(0);
    expect(stderr).toContain('ranges 25 %\n');
    expect(stdout).toMatch(/^\S+ +w8a16 {2}alone it moves the logits by [\d.]+ %$/m);
    expect(stdout).toMatch(/^\d+ of 19 products in INT8, \d+ kept wide; error of the logits [\d.]+ % of 1\.0 % allowed, 2 samples$/m);
    expect(stdout).toContain(`${join(scratch, 'lines')} in `);
  });

  it('keeps what is finished when interrupted, and says when that is of no use; tells what it found as JSON', async () => {
    const interrupted = await mipha(['calibrate', MODEL, join(scratch, 'kept'), '--pictures', pictures, '--prompts', prompts, '--samples', '8'], {
      onOutput: (output, child) => {
        if (!child.killed && output.includes('ranges 25 %')) child.kill('SIGINT'); // a second one would end it at once
      },
    });
    expect(interrupted.code).toBe(130);
    expect(existsSync(join(scratch, 'kept'))).toBe(false);
    expect(existsSync(join(scratch, 'kept.calibration'))).toBe(true);
    const other = await calibrate('kept', '--json');
    expect(other.code).toBe(0);
    expect(other.stderr).toContain('starting anew');
    const report = JSON.parse(other.stdout);
    expect(report).toMatchObject({ folder: join(scratch, 'kept'), durationMs: expect.any(Number), samples: 2, budget: 0.05 });
    expect(Object.keys(report.matrices)).toHaveLength(19);
  });

  it('takes pictures and questions of benchmarks, spread over all that are there', async () => {
    const { folder } = await makeFolders(join(scratch, 'benchmarks'));
    const { code, stdout, stderr } = await mipha(['calibrate', MODEL, join(scratch, 'of-eval'), '--pictures', folder, '--samples', '12', '--json']);
    expect(code, stderr).toBe(0);
    const report = JSON.parse(stdout);
    expect(report).toMatchObject({ samples: 12 });
    expect(report.pictures.map(({ name }: { name: string }) => name)).toEqual(expect.arrayContaining(['gqa/n0.jpg', 'vizwiz/VizWiz_test_0.jpg']));
    expect(report.prompts).toContain('Is the door open?\nAnswer the question using a single word or phrase.');
    const both = await mipha(['calibrate', MODEL, join(scratch, 'both'), '--pictures', folder, '--prompts', prompts]);
    expect([both.code, both.stderr]).toEqual([2, expect.stringMatching(/--prompts: expected nothing, as .* has the questions of vqav2, gqa/)]);
    const neither = await mipha(['calibrate', MODEL, join(scratch, 'neither'), '--pictures', pictures]);
    expect([neither.code, neither.stderr]).toEqual([2, expect.stringMatching(/--prompts: expected a file of questions, as .* has no benchmark/)]);
  });

  it('refuses what it cannot use', async () => {
    const without = await mipha(['calibrate', MODEL, join(scratch, 'without')]);
    expect(without.code).toBe(2);
    expect(without.stderr).toContain('--pictures');
    const budget = await calibrate('budget', '--budget', '2');
    expect(budget.code).toBe(2);
    expect(budget.stderr).toContain('above 0 and at most 1');
    const nothing = await mipha(['calibrate', MODEL, join(scratch, 'nothing'), '--pictures', join(scratch, 'none'), '--prompts', prompts]);
    expect(nothing.code).toBe(2);
    expect(nothing.stderr).toContain('pictures: expected a folder with JPEG');
  });
});
