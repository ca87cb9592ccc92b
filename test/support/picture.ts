import sharp from 'sharp';
import type { NativeImage } from '../../src/addon/addon.js';

/** Decodes a picture file to packed RGB. */
export async function readPicture(path: string | URL): Promise<NativeImage> {
  const { data, info } = await sharp(path instanceof URL ? path.pathname : path)
    .removeAlpha()
    .toColourspace('srgb')
    .raw()
    .toBuffer({ resolveWithObject: true });
  return { data, width: info.width, height: info.height, stride: info.width * 3, format: 'rgb' };
}
