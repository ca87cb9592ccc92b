import { expect, it } from 'vitest';
import { blocksOf, gridOf } from '../../src/watch/blocks.js';
import { middleOf } from '../../src/watch/middle.js';
import { counts } from '../support/counts.js';
import { Random } from '../support/random.js';

const random = new Random(11);

it('means and clipped shares are those of a count pixel by pixel, of any part, with pixels that do not count', () => {
  for (let round = 0; round < counts(60, 2000); round++) {
    const [width, height] = [1 + random.below(260), 1 + random.below(200)];
    const format = round % 2 === 0 ? 'rgb' : 'gray';
    const channels = format === 'rgb' ? 3 : 1;
    const isBright = random.below(3) === 0;
    const data = Uint8Array.from({ length: width * height * channels }, () => (isBright ? 220 + random.below(36) : random.below(256)));
    const [x, y] = [random.below(width), random.below(height)];
    const rect = { x, y, width: 1 + random.below(width - x), height: 1 + random.below(height - y) };
    const { across, down } = gridOf(rect);
    const counted =
      round % 3 === 0 ? null : Uint8Array.from({ length: across.at.length * down.at.length }, () => (random.below(1 + (round % 7)) === 0 ? 1 : 0));

    const values = Array.from({ length: across.blocks * down.blocks }, () => [...'rgb'].slice(0, channels).map((): number[] => []));
    for (const [row, pixelY] of down.at.entries()) {
      for (const [column, pixelX] of across.at.entries()) {
        if (counted?.[row * across.at.length + column] === 0) continue;
        const block = Math.floor(row / down.samples) * across.blocks + Math.floor(column / across.samples);
        for (let channel = 0; channel < channels; channel++) {
          values[block]?.[channel]?.push(data[(pixelY * width + pixelX) * channels + channel] as number);
        }
      }
    }
    const filled = values.filter(([first]) => first?.length !== 0);
    const each = (of: (samples: number[]) => number) =>
      Float32Array.from({ length: channels * filled.length }, (_, i) => {
        const samples = filled[i % filled.length]?.[Math.floor(i / filled.length)] as number[];
        return of(samples) / samples.length;
      });
    expect(blocksOf({ data, width, format }, rect, counted)).toEqual({
      count: filled.length,
      channels,
      samples: Uint8Array.from(filled, ([first]) => first?.length as number),
      mean: each((samples) => samples.reduce((sum, value) => sum + value, 0)),
      clipped: each((samples) => samples.filter((value) => value >= 235).length),
    });
  }
});

it('the value in the middle is that of the sorted values: none, one, many that are equal, ascending, descending', () => {
  expect(middleOf(new Float32Array())).toBe(0);
  for (let round = 0; round < counts(2000, 30_000); round++) {
    const kinds = 1 + random.below(round % 2 === 0 ? 4 : 1000);
    const values = Float32Array.from({ length: 1 + random.below(round % 5 === 0 ? 5 : 600) }, () => random.below(kinds) / 7 - 3);
    if (round % 3 === 0) values.sort();
    if (round % 6 === 0) values.reverse();
    const sorted = values.slice().sort();
    expect(middleOf(values)).toBe(sorted[sorted.length >> 1]);
    expect(values.sort()).toEqual(sorted); // nothing is lost
  }
});
