/** A frame as a JPEG file, for snapshots and events. */
import type { Frame } from './frame.js';

export interface JpegOptions {
  /** Scaled down, never up, until the longer side fits. */
  maxSidePx: number;
  quality: number; // 1..100
  /** Only this part of the picture, in whole pixels. */
  part?: { x: number; y: number; width: number; height: number } | undefined;
}

/** `width` and `height` are those of the file. */
export async function jpegOf(
  { data, width, height, format }: Pick<Frame, 'data' | 'width' | 'height' | 'format'>,
  { maxSidePx, quality, part = { x: 0, y: 0, width, height } }: JpegOptions,
): Promise<{ data: Buffer; width: number; height: number }> {
  const { default: sharp } = await import('sharp');
  const { data: file, info } = await sharp(data, { raw: { width, height, channels: format === 'rgb' ? 3 : 1 } })
    .extract({ left: part.x, top: part.y, width: part.width, height: part.height })
    .resize({ width: maxSidePx, height: maxSidePx, fit: 'inside', withoutEnlargement: true })
    .jpeg({ quality })
    .toBuffer({ resolveWithObject: true });
  return { data: file, width: info.width, height: info.height };
}
