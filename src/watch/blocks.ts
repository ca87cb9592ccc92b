/** A picture, or a part of it, as the mean colours of a grid of blocks: little enough to keep and to compare, and averaging evens out noise. */
import type { Frame } from '../camera/frame.js';
import { BYTES_PER_PIXEL, type Rect } from './crop.js';

export interface Blocks {
  count: number; // of blocks
  channels: 1 | 3;
  /** Pixels looked at in each block: at least 1, at most 64. */
  samples: Uint8Array;
  /** Per channel and block, 0 to 255: [channels, count]. */
  mean: Float32Array;
  /** Share of the samples at the upper end of the scale, where brighter looks the same: [channels, count]. */
  clipped: Float32Array;
}

const MOST_BLOCKS = 24; // per side
const LEAST_BLOCK = 4; // pixels per side of a block, so that noise has something to even out
const MOST_SAMPLES = 8; // per side of a block
const CLIPPED = 235; // noise hides the end of the scale

/** Of a sample: its value, and above 16 bits 1 where it is clipped. 64 of them do not run over. */
const WEIGHTS = Uint32Array.from({ length: 256 }, (_, value) => value + (value >= CLIPPED ? 0x10000 : 0));

/**
 * At most 37 000 pixels are looked at, however large the picture. `counted` has 1 for each of them that counts, row by row; null: all do. Blocks
 * without any are left out.
 */
export function blocksOf({ data, width, format }: Pick<Frame, 'data' | 'width' | 'format'>, rect: Rect, counted: Uint8Array | null = null): Blocks {
  const channels = BYTES_PER_PIXEL[format];
  const { across, down } = gridOf(rect);
  const count = across.blocks * down.blocks;
  const samples = new Uint8Array(count);
  const mean = new Float32Array(channels * count);
  const clipped = new Float32Array(channels * count);
  const columns = across.at.map((x) => x * channels);
  const sums = new Uint32Array(mean.length); // of values, and above it how many are clipped: one addition for both
  for (let row = 0; row < down.at.length; row++) {
    const line = (down.at[row] as number) * width * channels;
    const first = Math.floor(row / down.samples) * across.blocks;
    for (let column = 0, position = 0; column < across.blocks; column++) {
      const block = first + column;
      const end = position + across.samples;
      let looked = 0;
      let red = 0; // of gray: all there is
      let green = 0;
      let blue = 0;
      for (; position < end; position++) {
        if (counted !== null && counted[row * columns.length + position] === 0) continue;
        const pixel = line + (columns[position] as number);
        looked++;
        red += WEIGHTS[data[pixel] as number] as number;
        if (channels === 1) continue;
        green += WEIGHTS[data[pixel + 1] as number] as number;
        blue += WEIGHTS[data[pixel + 2] as number] as number;
      }
      samples[block] = (samples[block] as number) + looked;
      sums[block] = (sums[block] as number) + red;
      if (channels === 1) continue;
      sums[block + count] = (sums[block + count] as number) + green;
      sums[block + 2 * count] = (sums[block + 2 * count] as number) + blue;
    }
  }
  for (let index = 0; index < mean.length; index++) {
    const looked = samples[index % count] as number;
    if (looked === 0) continue;
    const sum = sums[index] as number;
    mean[index] = (sum & 0xffff) / looked;
    clipped[index] = (sum >>> 16) / looked;
  }
  const blocks = { count, channels, samples, mean, clipped };
  return samples.includes(0) ? withoutEmpty(blocks) : blocks;
}

function withoutEmpty({ count, channels, samples, mean, clipped }: Blocks): Blocks {
  const has = (_: number, index: number) => samples[index % count] !== 0;
  const left = samples.filter(has);
  return { count: left.length, channels, samples: left, mean: mean.filter(has), clipped: clipped.filter(has) };
}

interface Positions {
  blocks: number;
  samples: number; // in each block
  at: Int32Array; // pixels of the picture
}

/** The columns and rows of pixels that are looked at. */
export function gridOf({ x, y, width, height }: Rect): { across: Positions; down: Positions } {
  return { across: positions(x, width), down: positions(y, height) };
}

/** Where to look along one side: `samples` evenly spread pixels in each of `blocks` blocks. */
function positions(from: number, length: number): Positions {
  const blocks = Math.max(1, Math.min(MOST_BLOCKS, Math.floor(length / LEAST_BLOCK)));
  const samples = Math.max(1, Math.min(MOST_SAMPLES, Math.floor(length / blocks)));
  const step = length / (blocks * samples);
  return { blocks, samples, at: Int32Array.from({ length: blocks * samples }, (_, index) => from + Math.floor((index + 0.5) * step)) };
}
