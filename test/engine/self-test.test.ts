import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { recordGolden } from '../../src/engine/self-test.js';
import { Mipha } from '../../src/index.js';
import { hashFile } from '../../src/package/hash.js';
import { GOLDEN_FILE } from '../../src/package/manifest.js';
import { readManifest } from '../../src/package/verify.js';
import { NANO } from '../support/nano.js';
import { testAddon } from '../support/test-addon.js';

const code = async (promise: Promise<unknown>) => ((await promise.catch((error: unknown) => error)) as { code?: string }).code;

describe('the self-test', () => {
  it('is recorded the same again, with memory for one layer', async () => {
    const golden = JSON.parse(readFileSync(join(NANO, GOLDEN_FILE), 'utf8'));
    expect(await recordGolden(NANO)).toEqual(golden);
    expect(golden.ids.length).toBeGreaterThan(0);
  });

  it('refuses a package whose golden ids are not reproduced', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'mipha-golden-'));
    try {
      const manifest = await readManifest(NANO);
      for (const name of ['manifest.json', ...Object.keys(manifest.files)]) cpSync(join(NANO, name), join(folder, name));
      const golden = JSON.parse(readFileSync(join(NANO, GOLDEN_FILE), 'utf8'));
      const write = async (changed: object) => {
        writeFileSync(join(folder, GOLDEN_FILE), JSON.stringify(changed));
        const files = { ...manifest.files, [GOLDEN_FILE]: await hashFile(join(folder, GOLDEN_FILE)) };
        writeFileSync(join(folder, 'manifest.json'), JSON.stringify({ ...manifest, files }));
      };
      const before = testAddon().handles();
      await write({ ...golden, ids: [golden.ids[0] + 1, ...golden.ids.slice(1)] });
      await expect(Mipha.load(folder)).rejects.toMatchObject({
        code: 'ERR_SELF_TEST',
        details: { expected: [golden.ids[0] + 1, ...golden.ids.slice(1)] },
      });
      await write({ ...golden, promptIds: golden.promptIds.slice(1) });
      expect(await code(Mipha.load(folder))).toBe('ERR_SELF_TEST');
      expect(testAddon().handles()).toEqual(before);
      await write({ ...golden, picture: 'other' });
      expect(await code(Mipha.load(folder))).toBe('ERR_MODEL_FORMAT');
      writeFileSync(join(folder, GOLDEN_FILE), '{}');
      expect(await code(Mipha.load(folder))).toBe('ERR_MODEL_CHECKSUM');
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
