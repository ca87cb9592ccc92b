import { describe, expect, it } from 'vitest';
import { MultipartReader } from '../../src/camera/multipart.js';

const part = (file: Buffer) =>
  Buffer.concat([Buffer.from(`\r\n--ThisRandomString\r\nContent-Type: image/jpeg\r\nContent-Length: ${file.length}\r\n\r\n`), file]);

function read(stream: Buffer, size: number): { files: Buffer[]; partial: boolean } {
  const files: Buffer[] = [];
  const reader = new MultipartReader((file) => files.push(file));
  for (let at = 0; at < stream.length; at += size) reader.push(stream.subarray(at, at + size));
  return { files, partial: reader.partial };
}

describe('a multipart stream', () => {
  const files = [Buffer.from('one'), Buffer.alloc(5000, '\r\n\r\n--'), Buffer.from([0])];
  const stream = Buffer.concat(files.map(part));

  it.each([1, 7, 100, 1 << 20])('gives its files, in pieces of %i bytes', (size) => {
    expect(read(stream, size)).toEqual({ files, partial: false });
  });

  it('that ends in a file was cut off; with a line end behind the last it was not', () => {
    expect(read(stream.subarray(0, -1), 100)).toEqual({ files: files.slice(0, 2), partial: true });
    expect(read(Buffer.concat([stream, Buffer.from('\r\n')]), 100).partial).toBe(false);
  });

  it.each([
    ['no length', 'Content-Type: image/jpeg\r\n\r\n'],
    ['none', 'Content-Length: 0\r\n\r\n'],
    ['too much', 'Content-Length: 99999999999\r\n\r\n'],
    ['no end', 'x'.repeat(2000)],
  ])('is refused: %s', (_, text) => {
    expect(() => read(Buffer.from(text), 64)).toThrow(/Broken stream of pictures/);
  });
});
