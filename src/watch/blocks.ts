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

/**
 * At most 37 000 pixels are looked at, however large the picture. `counted` has 1 for each of them that counts, row by row; null: all do. Blocks
 * without any are left out.
 */
export function blocksOf({ data, width, format }: Pick<Frame, 'data' | 'width' | 'format'>, rect: Rect, counted: Uint8Array | null = null): Blocks {
  const channels = BYTES_PER_PIXEL[format];
  const { across, down } = gridOf(rect);
  const count = across.blocks * down.blocks;
  const samples = new Uint8Array(count).fill(counted === null ? across.samples * down.samples : 0);
  const mean = new Float32Array(channels * count);
  const clipped = new Float32Array(channels * count);
  for (const [row, y] of down.at.entries()) {
    const line = y * width;
    const first = Math.floor(row / down.samples) * across.blocks;
    let position = 0;
    for (let column = 0; column < across.blocks; column++) {
      const block = first + column;
      for (let sample = 0; sample < across.samples; sample++, position++) {
        if (counted !== null) {
          if (counted[row * across.at.length + position] === 0) continue;
          samples[block] = (samples[block] as number) + 1;
        }
        const pixel = (line + (across.at[position] as number)) * channels;
        for (let channel = 0; channel < channels; channel++) {
          const value = data[pixel + channel] as number;
          const index = channel * count + block;
          mean[index] = (mean[index] as number) + value;
          if (value >= CLIPPED) clipped[index] = (clipped[index] as number) + 1;
        }
      }
    }
  }
  for (let index = 0; index < mean.length; index++) {
    const looked = samples[index % count] as number;
    if (looked === 0) continue;
    mean[index] = (mean[index] as number) / looked;
    clipped[index] = (clipped[index] as number) / looked;
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
