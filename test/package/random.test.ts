import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { convert } from '../../src/package/convert.js';
import { publishedTensors } from '../../src/package/published-tensors.js';
import { writeRandomCheckpoint, writeRandomPackage } from '../../src/package/random.js';
import { openPackage } from '../../src/package/verify.js';
import { decodeSafetensors, type StoredTensor, temporaryFolder, values } from './helpers.js';

describe('published sizes', () => {
  // Counts of the published checkpoints; the index of the 3B is 86,136 bytes long.
  it.each([
    ['mipha-3b', 905, 3_217_417_280],
    ['mipha-1.6b', 697, 1_853_054_016],
  ] as const)('%s has %i tensors and %i values', (size, tensors, total) => {
    const published = publishedTensors(size);
    expect(published).toHaveLength(tensors);
    expect(published.reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1), 0)).toBe(total);
  });

  it('nano has every tensor of the trained checkpoint, in its shape', async () => {
    const trained = decodeSafetensors(await readFile('models/mipha-nano/checkpoint/model.safetensors'));
    const published = Object.fromEntries(publishedTensors('nano').map(({ name, shape }) => [name, shape]));
    for (const [name, { shape }] of Object.entries(trained)) expect(published[name], name).toEqual(shape);
  });
});

describe('a random package', () => {
  it('opens, is the same for the same seed and another for another', async () => {
    const folder = await temporaryFolder();
    const hashes: string[] = [];
    for (const [name, seed] of [
      ['a', 1],
      ['b', 1],
      ['c', 2],
    ] as const) {
      await writeRandomPackage(join(folder, name), 'nano', { seed });
      await openPackage(join(folder, name));
      hashes.push(
        createHash('sha256')
          .update(await readFile(join(folder, name, 'weights.safetensors')))
          .digest('hex'),
      );
    }
    expect(hashes[0]).toBe(hashes[1]);
    expect(hashes[2]).not.toBe(hashes[0]);
  });

  it('holds balanced weights whose products keep their variance', async () => {
    const folder = join(await temporaryFolder(), 'out');
    await writeRandomPackage(folder, 'nano');
    const stored = decodeSafetensors(await readFile(join(folder, 'weights.safetensors')));
    for (const [name, tensor] of Object.entries(stored).filter(([, { dtype }]) => dtype === 'I8')) {
      const weight = new Int8Array(tensor.bytes.slice().buffer);
      const scale = values(stored[name.replace(/weight$/, 'scale')] as StoredTensor)[0] as number;
      const columns = name.startsWith('language.embedding') ? 1 : (tensor.shape[1] as number);
      const variance = weight.reduce((sum, value) => sum + (value * scale) ** 2, 0) / weight.length;
      expect(variance * columns, name).toBeGreaterThan(0.95);
      expect(variance * columns, name).toBeLessThan(1.05);
      expect(weight.includes(-128)).toBe(false);
      expect(Math.abs(weight.reduce((sum, value) => sum + value, 0) / weight.length)).toBeLessThan(1);
    }
    expect(new Set(values(stored['language.layers.0.norm1.weight'] as StoredTensor))).toEqual(new Set([1]));
  });

  it('refuses a size nobody knows', async () => {
    await expect(writeRandomPackage(join(await temporaryFolder(), 'x'), 'mipha-3B' as never)).rejects.toMatchObject({
      code: 'ERR_OPTION',
      message: expect.stringMatching(/did you mean mipha-3b/),
    });
  });
});

it('a random checkpoint has two shards and converts', async () => {
  const folder = await temporaryFolder();
  await writeRandomCheckpoint(join(folder, 'checkpoint'), 'nano');
  const manifest = await convert(join(folder, 'checkpoint'), join(folder, 'out'));
  expect(Object.keys(manifest.source.files)).toEqual(
    expect.arrayContaining(['model-00001-of-00002.safetensors', 'model-00002-of-00002.safetensors']),
  );
  expect(manifest.architecture).toMatchObject({ vision: { layers: 4 }, language: { vocab: 576, tokens: 559 } });
  await openPackage(join(folder, 'out'));
});
