/** From the shipped model to an answer of the tensorrt backend by the command line alone, with the stand-in for TensorRT. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { calibrationFiles } from '../support/calibrated.js';
import { standin } from '../support/standin.js';
import { EVAL, mipha, NANO, ROOT } from './run.js';

const folder = mkdtempSync(join(tmpdir(), 'mipha-cli-tensorrt-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const model = join(folder, 'nano');
const env = { MIPHA_TENSORRT: '' };
beforeAll(async () => {
  env.MIPHA_TENSORRT = standin();
  const { pictures, prompts } = calibrationFiles(folder);
  const made = await mipha(['calibrate', NANO, model, '--pictures', pictures, '--prompts', prompts, '--samples', '4']);
  expect(made.code, made.stderr).toBe(0);
  expect(made.stdout).toMatch(/^35 of 35 products in INT8, 0 kept wide; error of the logits [\d.]+ % of 5\.0 % allowed, 4 samples\n/);
  expect(made.stderr).toContain('ranges 100 %\n');
});

describe('mipha build', () => {
  it('says what it would do, with and without a TensorRT, and touches nothing', async () => {
    const dry = await mipha(['build', model, '--dry-run'], { env });
    expect(dry.stdout).toMatch(/^mipha-nano: 4 segments, .*\nkey [0-9a-f]{16}\n/);
    expect(dry.stdout).toMatch(/language\.3 +weights 1\.41 MB, plan [\d.]+ MB, activations [\d.]+ MB, peak while built [\d.]+ GB/);
    const without = await mipha(['build', NANO, '--dry-run', '--json'], { env: { MIPHA_TENSORRT: join(folder, 'none.so') } });
    expect(JSON.parse(without.stdout)).toMatchObject({ key: null, reason: expect.stringContaining('none.so'), segments: expect.any(Array) });
  });

  it('builds, says which way was needed, and the answers are right', async () => {
    const built = await mipha(['build', model, '--segments', '2'], { env: { ...env, MIPHA_STANDIN_WRONG: 'language.1:switches' } });
    expect(built.code, built.stderr).toBe(0);
    expect(built.stdout).toMatch(/language\.1 .* of what is allowed; built without fusion of products\n/);
    expect(built.stdout).toContain('TensorRT 10.3.0.30 on Orin; 1 of 3 engines are in use that had to be built another way');
    expect(built.stderr).toContain('language.1: built as asked it does not hold: language.prefill.logits deviates by');

    const [scene] = readFileSync(join(EVAL, 'qa.jsonl'), 'utf8')
      .split('\n')
      .map((line) => line && JSON.parse(line));
    const [question, answer] = scene.qa[2];
    const asked = await mipha(['ask', join(EVAL, scene.picture), question, '--model', model, '--backend', 'tensorrt'], { env });
    expect(asked).toMatchObject({ code: 0, stdout: `${answer}\n` });
    const fallen = await mipha(['ask', join(EVAL, scene.picture), question, '--model', model], { env: { ...env, MIPHA_STANDIN_GPU: 'Thor' } });
    expect(fallen).toMatchObject({ code: 0, stdout: `${answer}\n`, stderr: expect.stringContaining('tensorrt is not in use') });
  });

  it('ends with one line that says what to do', async () => {
    const plain = await mipha(['build', NANO], { env });
    expect(plain).toMatchObject({ code: 1, stderr: expect.stringMatching(/ERR_MODEL_MISSING: .* is not calibrated; mipha calibrate makes one/) });
    const none = await mipha(['build', model], { env: { MIPHA_TENSORRT: join(ROOT, 'none.so') } });
    expect(none).toMatchObject({ code: 1, stderr: expect.stringMatching(/; `mipha doctor` says what this machine needs\n$/) });
    expect((await mipha(['build', model, '--workspace', 'much'], { env })).code).toBe(2);
  });
});
