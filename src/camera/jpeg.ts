/** A frame as a JPEG file, for snapshots and events. */
import type { Frame } from './frame.js';

export interface JpegOptions {
  /** Scaled down, never up, until the longer side fits. */
  maxSidePx: number;
  quality: number; // 1..100
  /** Only this part of the picture, in whole pixels. */
  part?: { x: number; y: number; width: number; height: number } | undefined;
}

/** Takes up to a second. The main thread does it before other threads do: its libraries must not be unloaded with the thread that loaded them. */
export async function loadEncoder(): Promise<void> {
  await import('sharp');
}

/** `width` and `height` are those of the file. */
export async function jpegOf(
  { data, width, height, format }: Pick<Frame, 'data' | 'width' | 'height' | 'format'>,
  { maxSidePx, quality, part }: JpegOptions,
): Promise<{ data: Buffer; width: number; height: number }> {
  const { default: sharp } = await import('sharp');
  const picture = sharp(data, { raw: { width, height, channels: format === 'rgb' ? 3 : 1 } });
  // steps that change nothing cost the thread of the event loop a third more
  if (part !== undefined) picture.extract({ left: part.x, top: part.y, width: part.width, height: part.height });
  if (Math.max(part?.width ?? width, part?.height ?? height) > maxSidePx) picture.resize({ width: maxSidePx, height: maxSidePx, fit: 'inside' });
  const { data: file, info } = await picture.jpeg({ quality }).toBuffer({ resolveWithObject: true });
  return { data: file, width: info.width, height: info.height };
}
