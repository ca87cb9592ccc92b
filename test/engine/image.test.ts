import { openAsBlob, readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import sharp from 'sharp';
import { describe, expect, it } from 'vitest';
import { type ImageInput, type RawImage, toPixels } from '../../src/engine/image.js';

const raw = (more: Partial<RawImage> = {}): RawImage => ({ data: new Uint8Array(4 * 2 * 3), width: 4, height: 2, format: 'rgb', ...more });
const codeOf = async (image: unknown) => (await toPixels(image as ImageInput).catch((error) => error)).code;

/** Three by two pixels, each different. */
const picture = () =>
  sharp(Buffer.from([255, 0, 0, 0, 255, 0, 0, 0, 255, 10, 20, 30, 40, 50, 60, 70, 80, 90]), { raw: { width: 3, height: 2, channels: 3 } });

describe('encoded pictures', () => {
  it('become RGB, from a path and from bytes alike', async () => {
    const path = 'test/fixtures/eval/pictures/0000.png';
    const fromPath = await toPixels(path);
    expect(fromPath).toMatchObject({ width: 320, height: 240, stride: 960, format: 'rgb' });
    expect(fromPath.data).toHaveLength(320 * 240 * 3);
    expect(Buffer.compare((await toPixels(readFileSync(path))).data, fromPath.data)).toBe(0);
  });

  it('of one channel, with alpha, with 16 bits or a palette are RGB too', async () => {
    const gray = await toPixels(await picture().grayscale().png().toBuffer());
    expect(gray.data).toHaveLength(18);
    const alpha = await toPixels(await picture().ensureAlpha(0).png().toBuffer());
    expect([...alpha.data.subarray(0, 9)]).toEqual([255, 0, 0, 0, 255, 0, 0, 0, 255]);
    const deep = await toPixels(await picture().toColourspace('rgb16').png().toBuffer());
    expect([...deep.data.subarray(9)]).toEqual([10, 20, 30, 40, 50, 60, 70, 80, 90]);
    const palette = await toPixels(await picture().png({ palette: true }).toBuffer());
    expect([...palette.data.subarray(0, 9)]).toEqual([255, 0, 0, 0, 255, 0, 0, 0, 255]);
    expect((await toPixels(await picture().webp({ lossless: true }).toBuffer())).data).toEqual(await picture().raw().toBuffer());
  });

  it('stand upright: EXIF orientation is applied', async () => {
    const turned = await toPixels(await picture().png().withMetadata({ orientation: 6 }).toBuffer());
    expect([turned.width, turned.height]).toEqual([2, 3]);
    expect([...turned.data.subarray(0, 6)]).toEqual([10, 20, 30, 255, 0, 0]); // the lower left corner comes to the top left
  });

  it('that are none, broken, cut short or too large are image errors', async () => {
    const jpeg = await sharp({
      create: { width: 200, height: 200, channels: 3, background: 'red', noise: { type: 'gaussian', mean: 128, sigma: 50 } },
    })
      .jpeg()
      .toBuffer();
    for (const image of ['does/not/exist.png', 'test', new Uint8Array(0), Buffer.from('hello'), jpeg.subarray(0, jpeg.length / 2)]) {
      expect(await codeOf(image)).toBe('ERR_IMAGE');
    }
    const svg = Buffer.from('<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>');
    expect(await codeOf(svg)).toBe('ERR_IMAGE');
    // 100 megapixels in a header of a few bytes: refused before a pixel is decoded.
    const large = await sharp({ create: { width: 10_000, height: 10_000, channels: 3, background: 'black' } })
      .png({ compressionLevel: 1 })
      .toBuffer();
    expect(await codeOf(large)).toBe('ERR_IMAGE');
  });

  it('come as URL, Blob and buffers of every kind', async () => {
    const path = resolve('test/fixtures/eval/pictures/0000.png');
    const bytes = readFileSync(path);
    const { data: expected } = await toPixels(path);
    const shared = new SharedArrayBuffer(bytes.length);
    new Uint8Array(shared).set(bytes);
    const alone = Uint8Array.from(bytes);
    const Resizable = ArrayBuffer as unknown as new (length: number, options: { maxByteLength: number }) => ArrayBuffer;
    const resizable = new Resizable(bytes.length, { maxByteLength: 2 * bytes.length });
    new Uint8Array(resizable).set(bytes);
    const inputs: ImageInput[] = [
      pathToFileURL(path),
      new Blob([bytes]),
      await openAsBlob(path),
      alone,
      alone.buffer,
      new DataView(alone.buffer),
      new Uint8ClampedArray(alone.buffer),
      new Uint16Array(alone.buffer.slice(0, alone.length - (alone.length % 2))),
      shared,
      new Uint8Array(shared),
      Buffer.from(shared),
      resizable,
      new Uint8Array(resizable),
      Buffer.concat([Buffer.from([0]), bytes]).subarray(1), // within pooled or larger memory
    ];
    for (const [index, input] of inputs.entries()) {
      if (index === 7 && alone.length % 2 === 1) continue;
      expect(Buffer.compare((await toPixels(input)).data, expected), `input ${index}`).toBe(0);
    }
  });

  it('are refused by name where they are nowhere', async () => {
    const gone = new ArrayBuffer(10);
    structuredClone(gone, { transfer: [gone] });
    const refusals: [unknown, object][] = [
      [gone, { code: 'ERR_OPTION', message: expect.stringContaining('has not been transferred') }],
      [
        new URL('https://user:hush@example.org/a.png'),
        { code: 'ERR_OPTION', message: 'Option image: expected a file: URL of this machine, received "https://example.org"' },
      ],
      [new URL('file://elsewhere/a.png'), { code: 'ERR_OPTION' }],
      [Symbol('x'), { code: 'ERR_OPTION' }],
      [undefined, { code: 'ERR_OPTION', message: expect.stringContaining('expected a path, a file: URL, a Blob') }],
      [
        'does/not/exist.png',
        { code: 'ERR_IMAGE', message: 'does/not/exist.png: no such file', details: { reason: 'missing', path: 'does/not/exist.png' } },
      ],
      [pathToFileURL('/does/not/exist.png'), { code: 'ERR_IMAGE', details: { reason: 'missing', path: '/does/not/exist.png' } }],
      ['package.json/x.png', { code: 'ERR_IMAGE', details: { reason: 'missing' } }],
      ['test', { code: 'ERR_IMAGE', message: 'test: expected a picture file, this is a folder', details: { reason: 'unreadable' } }],
      ['package.json', { code: 'ERR_IMAGE', details: { reason: 'format' } }],
      [new Blob([]), { code: 'ERR_IMAGE', details: { reason: 'format' } }],
    ];
    for (const [input, error] of refusals) await expect(toPixels(input as ImageInput), String(input)).rejects.toMatchObject(error);
  });

  it('stop being read when the call is aborted', async () => {
    const reason = new Error('enough');
    await expect(toPixels('test/fixtures/eval/pictures/0000.png', AbortSignal.abort(reason))).rejects.toBe(reason);
  });
});

describe('raw pixels', () => {
  it('pass through with their stride', async () => {
    expect(await toPixels(raw())).toMatchObject({ stride: 12, width: 4, height: 2 });
    expect(await toPixels(raw({ data: new Uint8Array(28), stride: 16 }))).toMatchObject({ stride: 16 });
    expect(await toPixels(raw({ format: 'nv12', data: new Uint8Array(12) }))).toMatchObject({ stride: 4 });
    expect(await toPixels(raw({ format: 'gray', data: new Uint8Array(8) }))).toMatchObject({ stride: 4 });
    expect(await toPixels(raw({ format: 'rgba', data: new Uint8Array(32) }))).toMatchObject({ stride: 16 });
  });

  it('may lie in shared or resizable memory, clamped or not: they are copied', async () => {
    const shared = new Uint8Array(new SharedArrayBuffer(24)).fill(7);
    const { data } = await toPixels(raw({ data: shared }));
    expect(data.buffer).toBeInstanceOf(ArrayBuffer);
    expect([...data]).toEqual(new Array(24).fill(7));
    expect((await toPixels(raw({ data: new Uint8ClampedArray(24) }))).data).toBeInstanceOf(Uint8Array);
    const own = new Uint8Array(24);
    expect((await toPixels(raw({ data: own }))).data.buffer).toBe(own.buffer); // no copy where none is needed
  });

  it.each([
    ['no pixels', raw({ width: 0 })],
    ['negative', raw({ height: -1 })],
    ['100 megapixels', raw({ width: 10_000, height: 10_000 })],
    ['too long a side', raw({ width: 70_000, height: 1 })],
    ['too few bytes', raw({ data: new Uint8Array(23) })],
    ['stride below a row', raw({ stride: 11 })],
    ['too few bytes for the stride', raw({ stride: 13 })],
    ['odd nv12', raw({ format: 'nv12', width: 3 })],
    ['nv12 without chroma', raw({ format: 'nv12', data: new Uint8Array(8) })],
  ])('%s: ERR_IMAGE', async (_, image) => {
    expect(await codeOf(image)).toBe('ERR_IMAGE');
  });

  it.each([
    ['no object', 7],
    ['null', null],
    ['no data', raw({ data: 'text' as unknown as Uint8Array })],
    ['a fraction', raw({ width: 1.5 })],
    ['an unknown format', raw({ format: 'rgbb' as 'rgb' })],
    ['an inherited name as format', raw({ format: 'toString' as 'rgb' })],
    ['an unknown key', { ...raw(), strid: 12 }],
  ])('%s: ERR_OPTION', async (_, image) => {
    expect(await codeOf(image)).toBe('ERR_OPTION');
  });
});
