/** Folders that have no weights that are read: what lies there is named, with the way out. */
import { mkdir, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { openCheckpoint } from '../../src/package/checkpoint.js';
import { temporaryFolder, writeTiny } from './helpers.js';

/** A checkpoint whose weights are gone, with these files instead. */
async function without(...files: string[]): Promise<string> {
  const folder = await temporaryFolder();
  await writeTiny(folder);
  await rm(join(folder, 'model.safetensors'));
  for (const file of files) await writeFile(join(folder, file), 'x');
  return folder;
}

async function refusal(folder: string) {
  const error = await openCheckpoint(folder).then(
    () => undefined,
    (reason: unknown) => reason,
  );
  return error as { code: string; message: string; details: Record<string, unknown> };
}

describe('weights in another form', () => {
  it.each<[string[], string, RegExp]>([
    [['pytorch_model.bin'], 'pytorch_model.bin', /Python pickles, which are not read because they can run code; .*safetensors\.torch/],
    [['pytorch_model-00001-of-00002.bin', 'pytorch_model-00002-of-00002.bin', 'pytorch_model.bin.index.json'], '00002.bin and 1 more', /pickles/],
    [['consolidated.00.pth', 'optimizer.pt', 'training_args.bin'], 'consolidated.00.pth: ', /pickles/],
    [['model.ckpt'], 'model.ckpt', /pickles/],
    [['mipha-Q4_K_M.gguf'], 'mipha-Q4_K_M.gguf', /quantized for llama\.cpp; take the checkpoint/],
    [['model-00001-of-00002.safetensors', 'model-00002-of-00002.safetensors'], '00002.safetensors and 1 more', /model\.safetensors\.index\.json/],
    [['adapter_model.safetensors', 'adapter_config.json'], 'adapter_model.safetensors', /LoRA adapter; .*--lora/],
    [['weights.safetensors'], 'weights.safetensors', /under another name; .*model\.safetensors/],
    [['tf_model.h5'], 'tf_model.h5', /another runtime/],
  ])('%j', async (files, named, words) => {
    const folder = await without(...files);
    for (const wanted of ['model.safetensors', 'config.json']) {
      if (wanted === 'config.json') await rm(join(folder, wanted));
      const { code, message, details } = await refusal(folder);
      expect(code).toBe('ERR_MODEL_MISSING');
      expect(message).toMatch(new RegExp(`^${join(folder, wanted)}: no such file; there is `));
      expect(message).toContain(named);
      expect(message).toMatch(words);
      expect(message).toContain(details.remedy);
    }
  });

  it.each([[[]], [['optimizer.pt', 'training_args.bin', 'rng_state_0.pth', 'notes.txt']]])('nothing is made up about %j', async (files) => {
    const folder = await without(...files);
    expect((await refusal(folder)).message).toBe(`${join(folder, 'model.safetensors')}: no such file`);
  });

  it('is not what lies beside weights that are read', async () => {
    const folder = await temporaryFolder();
    await writeTiny(folder);
    await writeFile(join(folder, 'pytorch_model.bin'), 'x');
    await (await openCheckpoint(folder)).close();
    await rm(join(folder, 'config.json'));
    expect((await refusal(folder)).message).toBe(`${join(folder, 'config.json')}: no such file`);
  });

  it('is a package, which needs no conversion', async () => {
    expect((await refusal('models/mipha-nano')).message).toMatch(/config\.json: no such file; this is a package already/);
  });

  it('is named where a file is given instead of a folder', async () => {
    const folder = await temporaryFolder();
    const words: [string, RegExp][] = [
      ['model.gguf', /received a file: weights quantized for llama\.cpp; take/],
      ['pytorch_model.bin', /received a file: weights as Python pickles/],
      ['model.safetensors', /received a file; give the folder it lies in$/],
      ['notes.txt', /received a file; give the folder it lies in$/],
    ];
    for (const [name, expected] of words) {
      await writeFile(join(folder, name), 'x');
      expect(await refusal(join(folder, name))).toMatchObject({ code: 'ERR_MODEL_FORMAT', message: expect.stringMatching(expected) });
    }
  });

  it.each([
    ['version https://git-lfs.github.com/spec/v1\noid sha256:abc\nsize 5\n', /received a Git LFS pointer; fetch it with: git lfs pull/],
    ['<!DOCTYPE html><html>Not found</html>', /received a web page; download the file again/],
  ])('is what an unfinished download leaves: %j', async (text, words) => {
    const folder = await temporaryFolder();
    await writeTiny(folder);
    await writeFile(join(folder, 'model.safetensors'), text);
    expect(await refusal(folder)).toMatchObject({ code: 'ERR_MODEL_FORMAT', message: expect.stringMatching(words) });
  });

  it('is found in folders that are links, and not in ones that are missing', async () => {
    const folder = await without('pytorch_model.bin');
    const link = join(await temporaryFolder(), 'link');
    await symlink(folder, link);
    expect((await refusal(link)).message).toMatch(/pytorch_model\.bin/);
    expect((await refusal(join(link, 'nothing'))).message).toMatch(/nothing: no such file$/);
    await mkdir(join(folder, 'empty'));
    expect((await refusal(join(folder, 'empty'))).message).toMatch(/config\.json: no such file$/);
  });
});
