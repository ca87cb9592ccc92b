/** Fetching a release: from folders and real servers, cut and gone on with; everything that is wrong is refused with words and leaves no package behind. */
import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { openPackage } from '../../src/package/verify.js';
import { bring, releaseAt } from '../../src/update/bring.js';
import { ModelsFolder, outcomeOf } from '../../src/update/models-folder.js';
import type { Release } from '../../src/update/release.js';
import { allowedSource, anySource, type Source } from '../../src/update/source.js';
import { canMount, mounted } from '../support/small-disk.js';
import { newSigner, refusalOf, type Signer, scratch, writeRelease } from './helpers.js';

const { signal } = new AbortController();
const canFill = canMount('a model that does not fit the disk');

interface Stage {
  root: string;
  models: string;
  signer: Signer;
  release: Release;
  source: Source;
}

async function stage(bytes?: number): Promise<Stage> {
  const folder = await scratch();
  const [root, models] = [join(folder, 'stick'), join(folder, 'models')];
  await mkdir(models);
  const signer = newSigner();
  const release = await writeRelease(join(root, 'new'), 1, '1', signer, bytes);
  return { root, models, signer, release, source: await allowedSource('new', { folder: root, origins: [] }) };
}

/** Gives up after so many bytes of all files. */
function cutAfter(source: Source, most: number): Source {
  let left = most;
  return {
    name: source.name,
    isRemote: source.isRemote,
    small: (...call) => source.small(...call),
    read: async (...call) => {
      const { from, pieces } = await source.read(...call);
      const cut = async function* () {
        for await (const piece of pieces) {
          if (left <= 0) throw new Error('cut');
          const part = piece.subarray(0, left);
          left -= part.length;
          yield part;
        }
      };
      return { from, pieces: cut() };
    },
  };
}

describe('from a folder', () => {
  it('a release comes whole, tells how far it is, and is there at once the second time', async () => {
    const { models, source, signer, release } = await stage();
    const told: number[] = [];
    expect(await releaseAt(source, [signer.text], release.sha256, signal)).toMatchObject({ id: release.id });
    const folder = await bring(models, source, release, { signal, onProgress: (fraction) => told.push(fraction) });
    expect((await openPackage(folder)).manifest.name).toBe('tiny-1');
    expect(told.at(-1)).toBe(1);
    expect(told).toEqual([...told].sort((a, b) => a - b));
    expect(await readdir(models)).toEqual([release.id]);
    await rm(source.name, { recursive: true });
    expect(await bring(models, source, release, { signal })).toBe(folder);
  });

  it('goes on where it was cut, and begins a file anew that the cut has spoilt', async () => {
    const { models, source, release } = await stage();
    await expect(bring(models, cutAfter(source, 5000), release, { signal })).rejects.toThrow('received');
    const incoming = join(models, `.incoming-${release.id}`);
    const [partial] = (await readdir(incoming)).filter((name) => name !== 'manifest.json');
    expect(partial).toBeDefined();
    const manifest = join(incoming, 'manifest.json');
    await writeFile(manifest, (await readFile(manifest)).fill(0x20, 10, 20)); // as a disk may that lost its power
    const read: [string, number][] = [];
    const watched: Source = {
      name: source.name,
      isRemote: source.isRemote,
      small: (...call) => source.small(...call),
      read: (path, from, until) => {
        read.push([path, from]);
        return source.read(path, from, until);
      },
    };
    await openPackage(await bring(models, watched, release, { signal }));
    expect(read[0]).toEqual(['manifest.json', 0]);
    expect(read.some(([, from]) => from > 0)).toBe(true);
  });

  it.each([
    ['../other', 'below model.updates.folder'],
    ['new/../../other', 'below model.updates.folder'],
    ['/etc', 'below model.updates.folder'],
    ['.', 'below model.updates.folder'],
    ['linked', 'no link leads to'],
    ['nothing', 'ENOENT'],
    ['file', 'no folder'],
    ['a\0b', 'below model.updates.folder'],
    ['https://else.example/x', 'names none'],
    ['http://else.example/x', 'https://HOST/FOLDER'],
    ['https://user:password@else.example/x', 'without user'],
    ['https://else.example/x?token=1', 'query'],
    ['ftp://else.example', 'https://HOST/FOLDER'],
  ])('%j is refused', async (text, words) => {
    const { root } = await stage();
    await symlink(join(root, 'new'), join(root, 'linked'));
    await writeFile(join(root, 'file'), '');
    const { message, details } = await refusalOf(allowedSource(text, { folder: root, origins: [] }));
    expect(details.reason).toBe('source');
    expect(message).toContain(words);
    expect(message).not.toContain('password@');
  });

  it('names a folder only where the configuration has one; its owner may name any', async () => {
    const { root } = await stage();
    expect(await refusalOf(allowedSource('new', { origins: [] }))).toMatchObject({ details: { reason: 'source' } });
    expect((await anySource(join(root, 'new'), {})).name).toBe(join(root, 'new'));
    expect(await refusalOf(anySource(join(root, 'none'), {}))).toMatchObject({ details: { reason: 'source' } });
  });

  const spoil: Record<string, (folder: string, outside: string) => Promise<void>> = {
    'a file that is missing': (folder) => rm(join(folder, 'golden.json')),
    'a file with another byte': async (folder) =>
      writeFile(join(folder, 'golden.json'), (await readFile(join(folder, 'golden.json'))).fill(0x41, 0, 1)),
    'a file that is longer': async (folder) =>
      writeFile(join(folder, 'golden.json'), Buffer.concat([await readFile(join(folder, 'golden.json')), Buffer.from('x')])),
    'a link': async (folder, outside) => {
      await rename(join(folder, 'golden.json'), outside);
      await symlink(outside, join(folder, 'golden.json'));
    },
    'a folder that is a link': async (folder, outside) => {
      await rename(join(folder, 'tokenizer'), outside);
      await symlink(outside, join(folder, 'tokenizer'));
    },
    'a folder in place of a file': async (folder) => {
      await rm(join(folder, 'golden.json'));
      await mkdir(join(folder, 'golden.json'));
    },
  };
  it.each(Object.keys(spoil))('%s is refused by its name, and there is no package', async (name) => {
    const { root, models, source, release } = await stage();
    await spoil[name]?.(join(root, 'new'), join(root, 'outside'));
    const { code, message } = await refusalOf(bring(models, source, release, { signal }));
    expect(['ERR_UPDATE', 'ERR_MODEL_MISSING', 'ERR_MODEL_FORMAT']).toContain(code);
    expect(message).toMatch(/golden\.json|tokenizer\//);
    expect(existsSync(join(models, release.id))).toBe(false);
  });

  it('is refused with another sha256 than the one that was asked for', async () => {
    const { source, signer, release } = await stage();
    const error = await refusalOf(releaseAt(source, [signer.text], 'f'.repeat(64), signal));
    expect(error).toMatchObject({ code: 'ERR_UPDATE', details: { reason: 'checksum', received: release.sha256 } });
  });
});

describe.skipIf(!canFill)('a disk', () => {
  it('with too little room is seen before anything is written', async () => {
    const { source, release } = await stage();
    await mounted(32 * 1024 * 1024, async (models) => {
      const error = await refusalOf(bring(models, source, release, { signal }));
      expect(error).toMatchObject({ code: 'ERR_UPDATE', details: { reason: 'space' } });
      expect(error.message).toMatch(/expected \d+ bytes of room for 1, received \d+/);
      expect(await readdir(models)).toEqual([]);
    });
  });

  it('that cannot be written any more serves what was installed', async () => {
    const { source, signer, release } = await stage();
    await mounted(100 * 1024 * 1024, async (path, mount) => {
      const warnings: string[] = [];
      const models = new ModelsFolder(join(path, 'models'), null, [signer.text], (message) => warnings.push(message));
      await models.bring(source, release, { signal });
      await models.install(release, outcomeOf('installed', '1', 'it serves', 'beside'), null);
      mount('remount,ro,');
      expect(await models.begin()).toMatchObject({ release: { id: release.id }, note: null });
      expect(warnings).toEqual([expect.stringContaining('EROFS')]);
      mount('remount,rw,');
    });
  });

  it('that others fill meanwhile gets its room back', async () => {
    const { source, release } = await stage(2_000_000);
    await mounted(100 * 1024 * 1024, async (models) => {
      let isFull = false;
      const filling: Source = {
        name: source.name,
        isRemote: source.isRemote,
        small: (...call) => source.small(...call),
        read: async (...call) => {
          if (!isFull) await writeFile(join(models, 'others'), Buffer.alloc(98 * 1024 * 1024)).catch(() => {});
          isFull = true;
          return await source.read(...call);
        },
      };
      const error = await refusalOf(bring(models, filling, release, { signal }));
      expect(error).toMatchObject({ code: 'ERR_UPDATE', details: { reason: 'space' } });
      expect(error.message).toContain('ENOSPC');
      expect(await readdir(models)).toEqual(['others']);
    });
  });
});
