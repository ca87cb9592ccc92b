/** Which pixels polygons cover, compared with a slow twin that asks every pixel. */
import { describe, expect, it } from 'vitest';
import { cover, type Runs } from '../../src/camera/cover.js';
import { random } from '../../src/camera/kitchen.js';
import type { Polygon } from '../../src/camera/polygon.js';
import { counts } from '../support/counts.js';

const HAIR = 1e-5; // pixels: nearer than that either answer is right

/** 1 where the square of a pixel, grown by `grown` on each side, meets a polygon. */
function twin(polygons: readonly Polygon[], width: number, height: number, grown: number): Uint8Array {
  const scaled = polygons.map((polygon) => polygon.map(([x = 0, y = 0]) => ({ x: x * width, y: y * height })));
  return Uint8Array.from({ length: width * height }, (_, index) => {
    const [x, y] = [index % width, Math.floor(index / width)];
    return scaled.some((polygon) => meets(polygon, x - grown, y - grown, x + 1 + grown, y + 1 + grown)) ? 1 : 0;
  });
}

type XY = { x: number; y: number };

/** An edge comes through the square, or all of the square is inside. */
function meets(polygon: readonly XY[], left: number, top: number, right: number, bottom: number): boolean {
  const through = polygon.some((from, index) => crosses(from, polygon[(index + 1) % polygon.length] as XY, left, top, right, bottom));
  return through || Math.round(turns(polygon, { x: (left + right) / 2, y: (top + bottom) / 2 })) !== 0;
}

/** Neither axis, nor the edge's normal, parts the two. */
function crosses(a: XY, b: XY, left: number, top: number, right: number, bottom: number): boolean {
  if (Math.max(a.x, b.x) < left || Math.min(a.x, b.x) > right || Math.max(a.y, b.y) < top || Math.min(a.y, b.y) > bottom) return false;
  const length = Math.hypot(b.x - a.x, b.y - a.y);
  if (length === 0) return true;
  const side = (x: number, y: number) => ((b.x - a.x) * (y - a.y) - (b.y - a.y) * (x - a.x)) / length;
  const sides = [side(left, top), side(right, top), side(left, bottom), side(right, bottom)];
  return Math.min(...sides) <= 0 && Math.max(...sides) >= 0;
}

/** How often the outline goes round a point: the sum of the angles under which its edges are seen. */
function turns(polygon: readonly XY[], { x, y }: XY): number {
  const angles = polygon.map((from, index) => {
    const to = polygon[(index + 1) % polygon.length] as XY;
    const [ax, ay, bx, by] = [from.x - x, from.y - y, to.x - x, to.y - y];
    return Math.atan2(ax * by - ay * bx, ax * bx + ay * by);
  });
  return angles.reduce((sum, angle) => sum + angle, 0) / (2 * Math.PI);
}

function pixelsOf(runs: Runs, width: number, height: number): Uint8Array {
  const pixels = new Uint8Array(width * height);
  let before = -1;
  for (let index = 0; index < runs.length; index += 2) {
    const [begin, end] = [runs[index] as number, runs[index + 1] as number];
    if (!(begin > before && end > begin && end <= pixels.length)) throw new Error(`runs that are not ascending and apart: ${runs.join(' ')}`);
    pixels.fill(1, begin, end);
    before = end;
  }
  return pixels;
}

function compare(polygons: readonly Polygon[], width: number, height: number, margin: number): void {
  const found = pixelsOf(cover(polygons, width, height, margin), width, height);
  const least = twin(polygons, width, height, margin - HAIR);
  const most = twin(polygons, width, height, margin + HAIR);
  const wrong = [...found.keys()].filter((index) => found[index] !== least[index] && found[index] !== most[index]);
  const places = wrong.map((index) => `${index % width},${Math.floor(index / width)}`);
  expect(places, `${width} x ${height}, margin ${margin}: ${JSON.stringify(polygons)}`).toEqual([]);
}

const FULL: Polygon = [
  [0, 0],
  [1, 0],
  [1, 1],
  [0, 1],
];
const SHAPES: Record<string, Polygon> = {
  'all of the picture': FULL,
  'all of it, the other way round': FULL.toReversed(),
  'the left half': [
    [0, 0],
    [0.5, 0],
    [0.5, 1],
    [0, 1],
  ],
  'a triangle that touches all edges': [
    [0, 0.3],
    [1, 0],
    [0.4, 1],
  ],
  'a comb': [
    [0.1, 0.1],
    [0.9, 0.1],
    [0.9, 0.9],
    [0.7, 0.9],
    [0.7, 0.2],
    [0.6, 0.2],
    [0.6, 0.9],
    [0.4, 0.9],
    [0.4, 0.2],
    [0.3, 0.2],
    [0.3, 0.9],
    [0.1, 0.9],
  ],
  'a bow tie': [
    [0.1, 0.1],
    [0.9, 0.9],
    [0.9, 0.1],
    [0.1, 0.9],
  ],
  'a pentagram': [0, 2, 4, 1, 3].map((n) => [0.5 + 0.45 * Math.sin((n * 2 * Math.PI) / 5), 0.5 - 0.45 * Math.cos((n * 2 * Math.PI) / 5)]),
  'a loop within a loop': [
    [0.1, 0.1],
    [0.9, 0.1],
    [0.9, 0.9],
    [0.1, 0.9],
    [0.1, 0.1],
    [0.3, 0.3],
    [0.7, 0.3],
    [0.7, 0.7],
    [0.3, 0.7],
    [0.3, 0.3],
  ],
  'a hair across': [
    [0.013, 0.02],
    [0.97, 0.81],
    [0.971, 0.811],
  ],
  'a hair along a row': [
    [0.1, 0.51],
    [0.9, 0.51],
    [0.5, 0.5101],
  ],
  'less than a pixel': [
    [0.501, 0.501],
    [0.502, 0.501],
    [0.501, 0.502],
  ],
  'the last corner': [
    [1, 1],
    [0.999, 1],
    [1, 0.999],
  ],
};

describe('every pixel that a polygon touches is covered, and those beside it as far as the margin goes, and no other', () => {
  it.each(Object.entries(SHAPES))('%s', (_, polygon) => {
    for (const [width, height] of [
      [40, 30],
      [31, 17],
      [7, 50],
      [1, 1],
    ] as const)
      for (const margin of [0, 1, 2]) compare([polygon], width, height, margin);
  });

  it('any polygons: points anywhere, on the grid of pixels, at the edges of the picture, one or several', () => {
    const rand = random(17);
    for (let round = 0; round < counts(150, 3000); round++) {
      const width = 1 + Math.floor(rand() * 40);
      const height = 1 + Math.floor(rand() * 40);
      const share = (side: number) => {
        const kind = rand();
        if (kind < 0.15) return Math.round(rand());
        return kind < 0.5 ? Math.round(rand() * side) / side : rand();
      };
      const polygons = Array.from({ length: 1 + Math.floor(rand() * 3) }, () =>
        Array.from({ length: 3 + Math.floor(rand() * 8) }, () => [share(width), share(height)]),
      );
      compare(polygons, width, height, Math.floor(rand() * 3));
    }
  });

  it('none without polygons, and one run where all is covered', () => {
    expect([...cover([], 20, 10, 2)]).toEqual([]);
    expect([...cover([FULL], 20, 10, 0)]).toEqual([0, 200]);
  });
});
