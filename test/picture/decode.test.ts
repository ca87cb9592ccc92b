import sharp, { type Sharp } from 'sharp';
import { describe, expect, it } from 'vitest';
import { decodePicture } from '../../src/picture/decode.js';

const SCENE = 'test/fixtures/eval/pictures/0003.png';
const LEAST = 200; // bytes that are the head of no file here

const ENCODINGS: Record<string, (picture: Sharp) => Sharp> = {
  png: (picture) => picture.png(),
  'png, palette': (picture) => picture.png({ palette: true }),
  'png, interlaced': (picture) => picture.png({ progressive: true }),
  'png, 16 bits': (picture) => picture.toColourspace('rgb16').png(),
  webp: (picture) => picture.webp(),
  'webp, lossless': (picture) => picture.webp({ lossless: true }),
  'webp, alpha': (picture) => picture.ensureAlpha(0.5).webp(),
  gif: (picture) => picture.gif(),
  tiff: (picture) => picture.tiff(),
  'tiff, lzw': (picture) => picture.tiff({ compression: 'lzw' }),
  'tiff, deflate': (picture) => picture.tiff({ compression: 'deflate', predictor: 'horizontal' }),
  'tiff, raw': (picture) => picture.tiff({ compression: 'none' }),
  'tiff, tiled': (picture) => picture.tiff({ tile: true }),
  avif: (picture) => picture.avif({ effort: 1 }),
};
/** Those whose every byte is under a checksum, or whose codes go wrong at once. */
const CHECKED = ['png', 'png, palette', 'png, interlaced', 'png, 16 bits', 'webp, lossless', 'tiff, lzw'];

const refusal = (bytes: Uint8Array) =>
  decodePicture(bytes, 'x').then(
    () => undefined,
    (error: unknown) => error as { code?: string; message: string },
  );

describe.each(Object.entries(ENCODINGS))('%s', async (name, encode) => {
  const file = await encode(sharp(SCENE)).toBuffer();

  it('is decoded, whatever stands behind its end', async () => {
    const whole = await decodePicture(file, 'x');
    expect([whole.width, whole.height, whole.data.length]).toEqual([320, 240, 320 * 240 * 3]);
    for (const tail of [Buffer.alloc(512), Buffer.from('garbage')]) {
      expect((await decodePicture(Buffer.concat([file, tail]), 'x')).data.equals(whole.data)).toBe(true);
    }
  });

  it('is refused where it was cut', async () => {
    for (const end of [1, 4, 13, 100, file.length / 2, file.length - LEAST]) {
      expect(await refusal(file.subarray(0, file.length - Math.floor(end))), `${end} bytes less`).toMatchObject({ code: 'ERR_IMAGE' });
    }
  });

  it.runIf(CHECKED.includes(name))('is refused where a part is zeros or lost', async () => {
    for (const share of [0.3, 0.5, 0.8]) {
      const at = LEAST + Math.floor((file.length - LEAST) * share * 0.9);
      expect(await refusal(Buffer.from(file).fill(0, at, at + 64)), `zeros at ${at}`).toMatchObject({ code: 'ERR_IMAGE' });
      expect(await refusal(Buffer.concat([file.subarray(0, at), file.subarray(at + 64)])), `lost at ${at}`).toMatchObject({ code: 'ERR_IMAGE' });
    }
  });
});

describe('harmless oddities', () => {
  it('are decoded: a wrong checksum of a comment in a PNG, an unknown block in a GIF, several pictures', async () => {
    const png = await sharp(SCENE).png().toBuffer();
    const comment = Buffer.from([0, 0, 0, 3, ...Buffer.from('tEXta\0b'), 1, 2, 3, 4]);
    const ihdr = 8 + 25;
    expect(await refusal(Buffer.concat([png.subarray(0, ihdr), comment, png.subarray(ihdr)]))).toBeUndefined();
    const gif = await sharp(SCENE).gif().toBuffer();
    const block = Buffer.from([0x21, 0x99, 2, 1, 2, 0]);
    expect(await refusal(Buffer.concat([gif.subarray(0, -1), block, gif.subarray(-1)]))).toBeUndefined();
    const frames = await sharp([SCENE, 'test/fixtures/eval/pictures/0000.png'], { join: { animated: true } })
      .gif()
      .toBuffer();
    expect(await decodePicture(frames, 'x')).toMatchObject({ width: 320, height: 240 });
  });
});
