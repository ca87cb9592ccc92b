import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { mipha, NANO } from './run.js';

const CHECKPOINT = join(NANO, 'checkpoint');
let scratch = '';
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'mipha-cli-'));
});
afterAll(() => rm(scratch, { recursive: true }));

/** Path → content of every file below a folder. */
async function contents(folder: string): Promise<Record<string, string>> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  const pairs = files.map(async (file) => [file.slice(folder.length + 1), (await readFile(file)).toString('base64')] as const);
  return Object.fromEntries(await Promise.all(pairs));
}

describe('mipha convert', () => {
  it('writes the same bytes twice, and they are the shipped ones', async () => {
    const [first, second] = [join(scratch, 'first'), join(scratch, 'second')];
    const lines = await mipha(['convert', CHECKPOINT, first, '--name', 'mipha-nano']);
    expect(lines.code).toBe(0);
    expect(lines.stderr).toContain('weights 100 %\n');
    const json = await mipha(['convert', CHECKPOINT, second, '--name', 'mipha-nano', '--json']);
    const report = JSON.parse(json.stdout);
    expect(report).toMatchObject({ name: 'mipha-nano', folder: second, durationMs: expect.any(Number) });

    const written = await contents(first);
    expect(Object.keys(written)).toEqual(expect.arrayContaining(['manifest.json', 'weights.safetensors', 'golden.json', 'tokenizer/vocab.json']));
    expect(await contents(second)).toEqual(written);
    // golden.json is left out: how far the greedy answer is certain depends a little on the instruction set it was recorded with.
    const shipped = await contents(NANO);
    const different = Object.keys(written).filter((name) => !/^(golden|manifest)\.json$/.test(name) && shipped[name] !== written[name]);
    expect(different).toEqual([]);
  });

  it('refuses a folder that exists and a checkpoint that does not', async () => {
    const exists = await mipha(['convert', CHECKPOINT, scratch]);
    expect(exists.code).toBe(2);
    expect(exists.stderr).toContain('ERR_OPTION');
    const missing = await mipha(['convert', join(scratch, 'nothing'), join(scratch, 'out')]);
    expect(missing.code).toBe(1);
    expect(missing.stderr).toContain('ERR_MODEL_MISSING');
  });

  it('leaves nothing behind when interrupted', async () => {
    const folder = await mkdtemp(join(scratch, 'interrupted-'));
    const { code, stderr } = await mipha(['convert', CHECKPOINT, join(folder, 'out')], {
      onOutput: (output, child) => {
        if (!child.killed && output.includes('weights 0 %')) child.kill('SIGINT'); // a second one would end it at once
      },
    });
    expect(code).toBe(130);
    expect(stderr).toContain('mipha: interrupted');
    expect(await readdir(folder)).toEqual([]);
  });
});
