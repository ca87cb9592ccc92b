/** The fixtures of test/fixtures/families are what they say: golden values are worth nothing on other tensors than they were computed from. */
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import {
  familyLogits,
  familyNames,
  familyPixels,
  familyTensors,
  fingerprint,
  readFamily,
  writeFamilyCheckpoint,
} from '../support/family-checkpoint.js';
import { decodeSafetensors, temporaryFolder } from './helpers.js';

describe.each(familyNames())('%s', (name) => {
  const family = readFamily(name);

  it('has the tensors that its golden values were computed from', () => {
    expect(family.name).toBe(name);
    expect(fingerprint(familyTensors(family))).toBe(family.sha256);
  });

  it('shows the pictures that they were computed from', () => {
    for (const { picture, pixels } of family.cases) {
      const shown = createHash('sha256').update(familyPixels(picture, family.tower.side)).digest('hex');
      expect(shown).toBe(pixels);
    }
  });

  it('has answers that need the picture and the question, and are no matter of rounding', () => {
    const [first, otherPicture, otherQuestion] = family.cases;
    expect({ ...otherPicture, picture: 0 }).toMatchObject({ picture: 0, prefix: first?.prefix, after: first?.after });
    expect(otherQuestion?.picture).toBe(first?.picture);
    expect(new Set(family.cases.map(({ greedy }) => greedy.join())).size).toBe(family.cases.length);
    for (const { greedy, logits, margin, features, ...rest } of family.cases) {
      const row = familyLogits({ greedy, logits, margin, features, ...rest });
      expect(row.length).toBe(family.tensors.find(([tensor]) => /embed_tokens|embed_in|wte/.test(tensor))?.[1][0]);
      expect(row.indexOf(Math.max(...row))).toBe(greedy[0]);
      expect(features.shape[0]).toBe(family.tower.imageTokens);
      expect(greedy).toHaveLength(12);
      expect(margin).toBeGreaterThanOrEqual(0.01);
    }
  });
});

describe('writeFamilyCheckpoint', () => {
  it('writes shards with an index', async () => {
    const folder = await temporaryFolder();
    writeFamilyCheckpoint('bunny-v1.0-3b', folder);
    const family = readFamily('bunny-v1.0-3b');
    expect(JSON.parse(readFileSync(join(folder, 'config.json'), 'utf8'))).toEqual(family.config);
    expect(JSON.parse(readFileSync(join(folder, 'generation_config.json'), 'utf8'))).toEqual(family.files['generation_config.json']);
    const shards = readdirSync(folder).filter((file) => file.endsWith('.safetensors'));
    expect(shards.sort()).toEqual(['model-00001-of-00002.safetensors', 'model-00002-of-00002.safetensors']);
    const read = shards.map((file) => decodeSafetensors(readFileSync(join(folder, file))));
    expect(fingerprint({ ...read[0], ...read[1] })).toBe(family.sha256);
    const index = JSON.parse(readFileSync(join(folder, 'model.safetensors.index.json'), 'utf8')).weight_map;
    for (const [i, file] of shards.entries()) for (const tensor of Object.keys(read[i] ?? {})) expect(index[tensor]).toBe(file);
    expect(Object.keys(index)).toHaveLength(family.tensors.length);
    expect(existsSync(join(folder, 'vocab.json'))).toBe(true);
  });

  it('writes what `edit` left', async () => {
    const folder = await temporaryFolder();
    writeFamilyCheckpoint('mipha-gemma', folder, {
      edit: ({ config, tensors }) => {
        config.model_type = 'another';
        for (const name of Object.keys(tensors)) if (name !== 'model.norm.weight') delete tensors[name];
      },
    });
    expect(JSON.parse(readFileSync(join(folder, 'config.json'), 'utf8')).model_type).toBe('another');
    expect(Object.keys(decodeSafetensors(readFileSync(join(folder, 'model.safetensors'))))).toEqual(['model.norm.weight']);
    expect(readFamily('mipha-gemma').config.model_type).toBe('mipha_gemma');
  });
});
