/** The options of addresses: what they become, what is refused, and that docs/cameras.md says the same as the code. */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { CAMERA_OPTIONS, type CameraOption, readOptions, withOptionTables } from '../../src/camera/options.js';
import { SCHEMES } from '../../src/camera/schemes.js';
import { openSource } from '../../src/camera/source.js';
import { splitUri } from '../../src/camera/uri.js';

const SCHEMES_WITH_OPTIONS = Object.keys(CAMERA_OPTIONS) as (keyof typeof CAMERA_OPTIONS)[];
const REST = { synthetic: '//kitchen', images: '//folder', v4l2: '///dev/video0', csi: '//0', file: '//clip.mp4' };
const document = readFileSync('docs/cameras.md', 'utf8');

const options = SCHEMES_WITH_OPTIONS.flatMap((scheme) =>
  Object.entries(CAMERA_OPTIONS[scheme]).map(([key, option]): [string, string, CameraOption] => [scheme, key, option]),
);
const open = (scheme: string, query: string) => openSource(`${scheme}:${REST[scheme as keyof typeof REST]}?${query}`, { sidePx: 384 });

describe('options of addresses', () => {
  it('have the defaults of the table', () => {
    for (const scheme of SCHEMES_WITH_OPTIONS) {
      const defaults = Object.fromEntries(Object.entries(CAMERA_OPTIONS[scheme]).map(([key, option]) => [key, option.default]));
      expect(readOptions(splitUri(`${scheme}:${REST[scheme]}`), scheme)).toEqual(defaults);
    }
    expect(readOptions(splitUri('synthetic://kitchen'), 'synthetic')).toEqual({ seed: 1, change_ms: 3000, fps: 10, cup: 'any' });
  });

  it('become numbers, words and booleans', () => {
    expect(readOptions(splitUri('synthetic://kitchen?fps=0.5&cup=one'), 'synthetic')).toMatchObject({ fps: 0.5, cup: 'one' });
    expect(readOptions(splitUri('images://x?loop=true'), 'images')).toEqual({ fps: 1, loop: true });
    expect(readOptions(splitUri('csi://0?mode=0'), 'csi')).toEqual({ width: 1280, height: 720, fps: 30, mode: 0 });
  });

  it.each(options)('%s: %s takes its limits and nothing beyond', (scheme, key, option) => {
    const [right, wrong] =
      option.type === 'number'
        ? [
            [option.min, option.max],
            [option.min - 1, option.max + 1, '', 'x', ...(option.whole ? [option.min + 0.5] : [])],
          ]
        : option.type === 'boolean'
          ? [
              ['true', 'false'],
              ['1', 'yes', ''],
            ]
          : [option.choices, ['nothing', '']];
    for (const value of right) expect(() => open(scheme, `${key}=${value}`)).not.toThrow();
    const refusal = expect.objectContaining({ code: 'ERR_OPTION', message: expect.stringContaining(`${key}: expected `) });
    for (const value of [...wrong, `${right[0]}&${key}=${right[0]}`]) expect(() => open(scheme, `${key}=${value}`)).toThrow(refusal);
  });

  it.each(options)('%s: a slip in %s is refused with the right name', (scheme, key) => {
    expect(() => open(scheme, `${key}s=1`)).toThrow(expect.objectContaining({ message: expect.stringContaining(`did you mean ${key}?`) }));
  });
});

describe('docs/cameras.md', () => {
  it('has the options that the code knows (node scripts/docs.mjs)', () => {
    expect(withOptionTables(document)).toBe(document);
    for (const [, key] of options) expect(document).toContain(`| \`${key}\` | `);
  });

  it('has a section and an example of every scheme, and only addresses that open', () => {
    for (const scheme of SCHEMES) expect(document).toMatch(new RegExp(`^## \`${scheme}:(//(kitchen)?)?\`$`, 'm'));
    const marked = SCHEMES_WITH_OPTIONS.filter((scheme) => document.includes(`<!-- options of ${scheme} -->`));
    expect(marked).toEqual(SCHEMES_WITH_OPTIONS);
    const addresses = [...document.matchAll(/^Examples?: (.+)$/gm)].flatMap(([, line]) =>
      [...(line as string).matchAll(/`([^`]+)`/g)].map(([, uri]) => uri),
    );
    expect(new Set(addresses.map((uri) => uri?.split(':')[0]))).toEqual(new Set(SCHEMES));
    for (const uri of addresses) expect(() => openSource(uri as string, { sidePx: 384 })).not.toThrow();
  });
});
