/** A frame as a JPEG file, for snapshots. */
import type { Frame } from './frame.js';

export interface JpegOptions {
  /** Scaled down, never up, until the longer side fits. */
  maxSidePx: number;
  quality: number; // 1..100
}

/** `width` and `height` are those of the file. */
export async function jpegOf(
  { data, width, height, format }: Pick<Frame, 'data' | 'width' | 'height' | 'format'>,
  options: JpegOptions,
): Promise<{ data: Buffer; width: number; height: number }> {
  const { default: sharp } = await import('sharp');
  const { data: file, info } = await sharp(data, { raw: { width, height, channels: format === 'rgb' ? 3 : 1 } })
    .resize({ width: options.maxSidePx, height: options.maxSidePx, fit: 'inside', withoutEnlargement: true })
    .jpeg({ quality: options.quality })
    .toBuffer({ resolveWithObject: true });
  return { data: file, width: info.width, height: info.height };
}
