/** Parts of pictures: fractions → whole pixels → raw pixels that share the bytes of the frame. */
import type { Crop, Frame } from '../camera/frame.js';
import type { RawImage } from '../engine/image.js';

export interface Rect {
  x: number; // pixels
  y: number;
  width: number; // at least 1
  height: number;
}

export const BYTES_PER_PIXEL = { rgb: 3, gray: 1 } as const;

/** The whole picture without a crop. Every pixel that the crop covers by half or more, and at least one. */
export function rectOf({ width, height }: Pick<Frame, 'width' | 'height'>, crop: Crop | undefined): Rect {
  if (crop === undefined) return { x: 0, y: 0, width, height };
  const x = Math.min(width - 1, Math.round(crop.x * width));
  const y = Math.min(height - 1, Math.round(crop.y * height));
  return {
    x,
    y,
    width: Math.max(1, Math.min(width, Math.round((crop.x + crop.width) * width)) - x),
    height: Math.max(1, Math.min(height, Math.round((crop.y + crop.height) * height)) - y),
  };
}

/** Not a copy: rows of the crop lie `stride` bytes apart in the frame. */
export function cropped(frame: Frame, crop: Crop | undefined): RawImage {
  const { x, y, width, height } = rectOf(frame, crop);
  const pixel = BYTES_PER_PIXEL[frame.format];
  const stride = frame.width * pixel;
  const begin = y * stride + x * pixel;
  const bytes = (height - 1) * stride + width * pixel;
  return { data: frame.data.subarray(begin, begin + bytes), width, height, stride, format: frame.format };
}
