/** The pixels of an item's picture. */
import { open, readFile } from 'node:fs/promises';
import { makeScene, renderScene } from '../../camera/kitchen.js';
import { decodePicture, imageError, type Pixels } from '../../picture/decode.js';
import type { Picture } from '../item.js';

const BASE64 = /^[A-Za-z0-9+/]*={0,2}$/;

/** Upright RGB. Throws ERR_IMAGE that names the file, or the row of the table. */
export async function pixelsOf(picture: Picture): Promise<Pixels> {
  if ('seed' in picture) {
    const { data, width, height } = await renderScene(makeScene(picture.seed));
    return { data: Buffer.from(data), width, height };
  }
  return await decodePicture(await pictureBytes(picture), 'path' in picture ? picture.path : picture.name);
}

/** The file as it is. */
export async function pictureBytes(picture: Extract<Picture, { path: string } | { tsv: string }>): Promise<Buffer> {
  if ('path' in picture) {
    return await readFile(picture.path).catch((cause: Error) => {
      throw imageError('unreadable', `${picture.path}: cannot be read (${cause.message})`, { path: picture.path }, cause);
    });
  }
  await using file = await open(picture.tsv);
  const { buffer, bytesRead } = await file.read(Buffer.alloc(picture.bytes), 0, picture.bytes, picture.offset);
  const text = buffer.toString('latin1', 0, bytesRead);
  if (bytesRead !== picture.bytes || !BASE64.test(text)) throw imageError('damaged', `${picture.name}: expected base64, received something else`, {});
  return Buffer.from(text, 'base64');
}
