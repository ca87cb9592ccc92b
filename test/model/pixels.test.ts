/** Preprocessing against Pillow: bit for bit, though the contract would allow one level on a thousandth of the values. */
import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { NativeImage, PixelFormat } from '../../src/addon/addon.js';
import { loadAddon } from '../../src/addon/load.js';
import { preprocessing, SIGLIP } from '../../src/package/pictures.js';
import { parsePreprocessor } from '../../src/package/preprocessor.js';
import { readPicture } from '../support/picture.js';
import { readCases } from '../support/reference.js';
import { bytesOf, readFixtures } from '../support/safetensors.js';

const fixtures = new URL('../fixtures/', import.meta.url).pathname;
const { resize } = loadAddon();
/** As SigLIP's towers get it. */
const padded = (image: NativeImage, size: number) => resize(image, size, preprocessing(SIGLIP, size, 'pad'));
const squashed = (image: NativeImage, size: number) => resize(image, size, preprocessing(SIGLIP, size));

/** How many values differ, and by how much at most. */
function difference(a: Uint8Array, b: Uint8Array): { values: number; largest: number } {
  expect(a.length).toBe(b.length);
  const distances = Array.from(a, (value, i) => Math.abs(value - (b[i] as number)));
  return { values: distances.filter((d) => d > 0).length, largest: distances.reduce((x, y) => Math.max(x, y), 0) };
}

/** Rows of `bytes` bytes per pixel, `gap` junk bytes after each. */
function image(
  width: number,
  height: number,
  format: PixelFormat,
  bytes: number,
  gap: number,
  pixel: (x: number, y: number) => number[],
): NativeImage {
  const stride = width * bytes + gap;
  const data = new Uint8Array(stride * height).fill(0xee);
  for (let y = 0; y < height; y++) for (let x = 0; x < width; x++) data.set(pixel(x, y), y * stride + x * bytes);
  return { data, width, height, stride, format };
}

const formula = (x: number, y: number) => [(3 * x + y) % 256, (x + 2 * y) % 256, (x * y) % 256];

describe('resize against Pillow', () => {
  const expected = readFixtures(`${fixtures}pillow/expected.safetensors`);

  it('has an expected result for every picture', () => {
    const pictures = readdirSync(`${fixtures}pillow`).filter((name) => name.endsWith('.png'));
    expect(new Set([...expected.keys()].map((name) => name.replace(/\.\d+$/, '.png')))).toEqual(new Set(pictures));
  });

  it.each([...expected.keys()])('%s', async (name) => {
    const [, picture, size] = /^(.*)\.(\d+)$/.exec(name) as unknown as [string, string, string];
    const pixels = padded(await readPicture(`${fixtures}pillow/${picture}.png`), Number(size));
    expect(difference(pixels, bytesOf(expected, name))).toEqual({ values: 0, largest: 0 });
  });

  it.each(['nano', 'fused'])('%s: the pixels its golden values were computed from', async (model) => {
    const golden = readFixtures(`${fixtures}${model}/golden.safetensors`);
    const shown = readCases(`${fixtures}${model}/golden.json`).slice(0, 2);
    for (const [i, { picture }] of shown.entries()) {
      const tensor = golden.get(`${i}.pixels_u8`);
      const pixels = padded(await readPicture(`${fixtures}eval/${picture}`), tensor?.shape[0] as number);
      expect(difference(pixels, bytesOf(golden, `${i}.pixels_u8`))).toEqual({ values: 0, largest: 0 });
    }
  });
});

describe('other towers: pixels of their own processors', () => {
  const expected = readFixtures(`${fixtures}pillow/paths.safetensors`);
  const paths = JSON.parse(readFileSync(`${fixtures}pillow/paths.json`, 'utf8')) as {
    path: string;
    pad: number[] | null;
    preprocessor_config: object;
  }[];
  const cases = [...expected.keys()].map((name) => {
    const [picture, path] = name.split(/\.(.*)/) as [string, string];
    return { name, picture, path: paths.find((one) => one.path === path) as (typeof paths)[number] };
  });

  it('has an expected result for every picture and processor', () => {
    const pictures = readdirSync(`${fixtures}pillow`).filter((name) => name.endsWith('.png'));
    expect(new Set(expected.keys())).toEqual(new Set(pictures.flatMap((name) => paths.map(({ path }) => name.replace(/png$/, path)))));
  });

  it.each(cases)('$name', async ({ name, picture, path }) => {
    const { preprocessing: own, imageSize } = parsePreprocessor(path.path, JSON.stringify(path.preprocessor_config));
    if (path.pad !== null) expect(own.background).toEqual(path.pad);
    const wanted: typeof own = path.pad === null ? own : { ...own, aspect: 'pad' };
    const pixels = resize(await readPicture(`${fixtures}pillow/${picture}.png`), imageSize, wanted);
    expect(difference(pixels, bytesOf(expected, name))).toEqual({ values: 0, largest: 0 });
  });
});

describe('the formula picture, 640 × 480 → 384', () => {
  const picture = image(640, 480, 'rgb', 3, 0, formula);
  const sums = (pixels: Uint8Array) => [0, 1, 2].map((channel) => pixels.reduce((sum, value, i) => sum + (i % 3 === channel ? value : 0), 0));
  const at = (pixels: Uint8Array, row: number, column: number) => [...pixels.subarray((row * 384 + column) * 3, (row * 384 + column) * 3 + 3)];

  it('padded', () => {
    const pixels = padded(picture, 384);
    expect(sums(pixels)).toEqual([18805035, 18827905, 18545649]);
    expect(at(pixels, 0, 0)).toEqual([127, 127, 127]);
    expect(at(pixels, 48, 0)).toEqual([9, 8, 7]);
    expect(at(pixels, 100, 200)).toEqual([64, 255, 121]);
    expect(at(pixels, 200, 100)).toEqual([243, 162, 106]);
  });

  it('squashed', () => {
    const pixels = squashed(picture, 384);
    expect(sums(pixels)).toEqual([18831030, 18861410, 18486624]);
    expect(at(pixels, 0, 0)).toEqual([1, 0, 0]);
    expect(at(pixels, 100, 200)).toEqual([102, 72, 103]);
    expect(at(pixels, 383, 383)).toEqual([91, 61, 148]);
  });
});

describe('raw formats', () => {
  const expected = padded(image(50, 36, 'rgb', 3, 0, formula), 28);

  it.each([0, 5])('rgb, bgr and rgba with %i bytes between rows are the same picture', (gap) => {
    expect(padded(image(50, 36, 'rgb', 3, gap, formula), 28)).toEqual(expected);
    expect(
      padded(
        image(50, 36, 'bgr', 3, gap, (x, y) => formula(x, y).reverse()),
        28,
      ),
    ).toEqual(expected);
    expect(
      padded(
        image(50, 36, 'rgba', 4, gap, (x, y) => [...formula(x, y), (x * 7) % 256]),
        28,
      ),
    ).toEqual(expected);
  });

  it('gray is the same in every channel', () => {
    const gray = (x: number, y: number) => (5 * x + 3 * y) % 256;
    const asRgb = image(33, 20, 'rgb', 3, 0, (x, y) => [gray(x, y), gray(x, y), gray(x, y)]);
    expect(
      padded(
        image(33, 20, 'gray', 1, 7, (x, y) => [gray(x, y)]),
        28,
      ),
    ).toEqual(padded(asRgb, 28));
  });

  // BT.601 in 8 bits: Y, Cb, Cr of the primaries at limited range.
  it.each([
    { colour: 'red', ycc: [81, 90, 240], rgb: [254, 0, 0] },
    { colour: 'green', ycc: [145, 54, 34], rgb: [0, 255, 1] },
    { colour: 'blue', ycc: [41, 240, 110], rgb: [0, 0, 255] },
    { colour: 'white', ycc: [235, 128, 128], rgb: [255, 255, 255] },
    { colour: 'black', ycc: [16, 128, 128], rgb: [0, 0, 0] },
  ])('nv12: $colour', ({ ycc: [luma, cb, cr], rgb }) => {
    const [width, height, stride] = [16, 8, 20];
    const data = new Uint8Array(stride * 12).fill(luma as number);
    for (let i = stride * height; i < data.length; i++) data[i] = (i % 2 === 0 ? cb : cr) as number;
    const pixels = squashed({ data, width, height, stride, format: 'nv12' }, 14);
    expect([...pixels.subarray(0, 3)]).toEqual(rgb);
    expect(new Set(pixels)).toEqual(new Set(rgb));
  });

  it('reads a view in the middle of a larger buffer', () => {
    const { data, ...rest } = image(50, 36, 'rgb', 3, 0, formula);
    const larger = new Uint8Array(data.length + 100).fill(77);
    larger.set(data, 31);
    expect(padded({ ...rest, data: larger.subarray(31, 31 + data.length) }, 28)).toEqual(expected);
  });
});

describe('bad images', () => {
  const good: NativeImage = { data: new Uint8Array(48), width: 4, height: 4, stride: 12, format: 'rgb' };
  const failing = (change: Partial<NativeImage>) => {
    try {
      padded({ ...good, ...change }, 28);
    } catch (error) {
      return error as Error & { code: string; details: Record<string, number> };
    }
    throw new Error('accepted');
  };

  it.each([
    { name: 'no pixels', change: { width: 0 } },
    { name: 'a buffer too small', change: { data: new Uint8Array(47) } },
    { name: 'a stride too small', change: { stride: 11 } },
    { name: '100 megapixels', change: { width: 10_000, height: 10_000, stride: 30_000 } },
    { name: 'a side too long', change: { width: 1, height: 65_536, stride: 3 } },
    { name: 'NV12 of odd height', change: { format: 'nv12' as const, height: 3 } },
  ])('$name is ERR_IMAGE with every number', ({ change }) => {
    const { code, message, details } = failing(change);
    const { width, height, stride, data } = { ...good, ...change };
    expect(code).toBe('ERR_IMAGE');
    expect(details).toMatchObject({ width, height, stride, receivedBytes: data.length, expectedBytes: expect.any(Number) });
    expect(message).toContain(`${width} x ${height}`);
  });

  it.each<[string, object, RegExp]>([
    ['another aspect', { aspect: 'anyres' }, /preprocessing.aspect: expected pad, squash or crop, received anyres/],
    ['another filter', { filter: 'lanczos' }, /preprocessing.filter: expected bicubic or bilinear, received lanczos/],
    ['a crop larger than the picture', { shortestSide: 27 }, /preprocessing.shortestSide: expected an integer from 28/],
    ['a colour that is none', { background: [0, 256, 0] }, /preprocessing.background: expected an integer from 0 to 255/],
    ['one number for a colour', { background: 127 }, /preprocessing.background: expected red, green and blue/],
  ])('%s is ERR_OPTION', (_, change, message) => {
    expect(() => resize(good, 28, { ...preprocessing(SIGLIP, 28), ...change })).toThrow(
      expect.objectContaining({ code: 'ERR_OPTION', message: expect.stringMatching(message) }),
    );
  });

  it('a size that no model has is ERR_OPTION', () => {
    for (const size of [0, -1, 1.5, 1e9]) expect(() => padded(good, size)).toThrow(expect.objectContaining({ code: 'ERR_OPTION' }));
  });
});
