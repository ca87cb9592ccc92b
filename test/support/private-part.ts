/** Pictures with a part that nobody may see, in a colour that stands nowhere else, and how much of it a picture tells. */
import type { Frame, Picture } from '../../src/camera/frame.js';
import type { Polygon } from '../../src/camera/polygon.js';

/** What is private is of this colour, which stands nowhere else; it fills the part from 0.25 to 0.6 across and 0.3 to 0.7 down. */
export const SECRET = [255, 0, 255] as const;
export const GROUND = [60, 160, 60] as const;
export const PART = { left: 0.25, top: 0.3, right: 0.6, bottom: 0.7 };
export const MASK: Polygon = [
  [PART.left, PART.top],
  [PART.right, PART.top],
  [PART.right, PART.bottom],
  [PART.left, PART.bottom],
];
/**
 * How much of the secret colour the pixel has that has most of it, those that are black left out: 1 for the colour itself, 0 for the ground, and in
 * between where scaling or JPEG have mixed them.
 */
export function told({ data, format }: Pick<Frame, 'data' | 'format'>): number {
  let most = -255;
  if (format === 'gray') {
    for (const value of data) if (value > 0) most = Math.max(most, value);
    return (most - GROUND[0]) / (255 - GROUND[0]);
  }
  for (let i = 0; i < data.length; i += 3) {
    const [r, g, b] = data.subarray(i, i + 3) as unknown as [number, number, number];
    if (r + g + b > 0) most = Math.max(most, Math.min(r, b) - g);
  }
  return (most + GROUND[1] - GROUND[0]) / (255 + GROUND[1] - GROUND[0]);
}

/** The same where JPEG mixes the ground with what is black: 1 for the secret colour, at most 0 for mixtures without it. */
export function leaning({ data }: { data: Uint8Array | Uint8ClampedArray }): number {
  let most = -255;
  for (let i = 0; i < data.length; i += 3) most = Math.max(most, Math.min(data[i] as number, data[i + 2] as number) - (data[i + 1] as number));
  return most / 255;
}

/** The ground with the secret. In gray: with white. */
export function secret(width: number, height: number, format: Picture['format'] = 'rgb'): Picture {
  const channels = format === 'rgb' ? 3 : 1;
  const data = new Uint8Array(width * height * channels);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const hidden = x + 1 > PART.left * width && x < PART.right * width && y + 1 > PART.top * height && y < PART.bottom * height;
      data.set(format === 'gray' ? [hidden ? 255 : GROUND[0]] : hidden ? SECRET : GROUND, (y * width + x) * channels);
    }
  }
  return { width, height, format, data };
}
