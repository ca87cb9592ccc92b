import { describe, expect, it } from 'vitest';
import type { Picture } from '../../src/camera/frame.js';
import { random } from '../../src/camera/kitchen.js';
import { PnmReader } from '../../src/camera/pnm.js';

const rgb = Buffer.concat([Buffer.from('P6\n2 1\n255\n'), Buffer.from([1, 2, 3, 4, 10, 255])]);
const gray = Buffer.concat([Buffer.from('P5\n# made by hand\n3 2\n# and so on\n255\n'), Buffer.from([9, 8, 7, 80, 54, 10])]); // P6 and a newline inside
const stream = Buffer.concat([rgb, gray, rgb]);
const expected = [
  { width: 2, height: 1, format: 'rgb', data: [1, 2, 3, 4, 10, 255] },
  { width: 3, height: 2, format: 'gray', data: [9, 8, 7, 80, 54, 10] },
  { width: 2, height: 1, format: 'rgb', data: [1, 2, 3, 4, 10, 255] },
];

function read(...chunks: Uint8Array[]): { pictures: unknown[]; partial: boolean } {
  const pictures: Picture[] = [];
  const reader = new PnmReader((picture) => pictures.push(picture));
  for (const chunk of chunks) reader.push(chunk);
  return { pictures: pictures.map(({ giveBack, ...picture }) => ({ ...picture, data: [...picture.data] })), partial: reader.partial };
}

describe('PnmReader', () => {
  it('reads pictures of changing size and format', () => {
    expect(read(stream)).toEqual({ pictures: expected, partial: false });
  });

  it('does not care where the stream is cut', () => {
    for (let cut = 0; cut <= stream.length; cut++)
      expect(read(stream.subarray(0, cut), stream.subarray(cut))).toEqual({ pictures: expected, partial: false });
    expect(read(...[...stream].map((byte) => new Uint8Array([byte])))).toEqual({ pictures: expected, partial: false });
    const rand = random(1);
    for (let round = 0; round < 200; round++) {
      const chunks: Uint8Array[] = [];
      for (let at = 0; at < stream.length; ) {
        const length = Math.floor(rand() * 9);
        chunks.push(stream.subarray(at, at + length));
        at += length;
      }
      expect(read(...chunks).pictures).toEqual(expected);
    }
  });

  it('gives each picture memory of its own until it is given back', () => {
    const chunk = Buffer.from(rgb);
    const pictures: Picture[] = [];
    const reader = new PnmReader((picture) => pictures.push(picture));
    reader.push(chunk);
    chunk.fill(0);
    reader.push(rgb);
    expect(pictures.map(({ data }) => [...data])).toEqual([expected[0]?.data, expected[0]?.data]);
    expect(pictures[0]?.data.buffer.byteLength).toBe(6);
  });

  it('knows that a stream was cut off', () => {
    for (let cut = 1; cut < rgb.length; cut++) expect(read(rgb.subarray(0, cut))).toEqual({ pictures: [], partial: true });
    expect(read(rgb)).toMatchObject({ partial: false });
  });

  it.each([
    ['text', 'Setting pipeline to PLAYING'],
    ['another format', 'P3\n1 1\n255\n0 0 0\n'],
    ['a lost byte', '6\n2 1\n255\n'],
    ['no width', 'P6\n0 1\n255\n'],
    ['a negative height', 'P6\n1 -1\n255\n'],
    ['an absurd size', 'P6\n99999 99999\n255\n'],
    ['a number that is none', 'P6\n1e3 1\n255\n'],
    ['16 bits', 'P6\n2 1\n65535\n'],
    ['too many numbers', 'P6\n2 1\n255 3\n'],
    ['an endless header', `P6\n#${'x'.repeat(300)}`],
    ['an endless number', `P6\n${'1'.repeat(300)}`],
  ])('refuses %s', (_, text) => {
    expect(() => read(Buffer.from(text))).toThrow(
      expect.objectContaining({ code: 'ERR_CAMERA', message: expect.stringMatching(/Broken stream of pictures/) }),
    );
  });

  it('either reads or refuses any bytes', () => {
    const rand = random(2);
    for (let round = 0; round < 2000; round++) {
      const bytes = Buffer.from(stream);
      for (let flips = 1 + Math.floor(rand() * 3); flips > 0; flips--) bytes[Math.floor(rand() * bytes.length)] = Math.floor(rand() * 256);
      try {
        read(bytes);
      } catch (error) {
        expect(error).toMatchObject({ code: 'ERR_CAMERA' });
      }
    }
  });
});
