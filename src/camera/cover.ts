/** Which pixels of a picture polygons cover. */
import type { Polygon } from './polygon.js';

/**
 * Runs of pixels, numbered row by row from the top left: begin and end (not included) of each, ascending and apart. A run may go on over the ends of
 * rows.
 */
export type Runs = Uint32Array;

const SLACK = 1e-6; // pixels: what products of shares and sides are rounded by is less

/**
 * Every pixel whose area a polygon touches, were it but at a corner, and all pixels up to `marginPx` beside those, diagonally too.
 *
 * A pixel is covered when its square, grown by the margin, meets a polygon. Row by row: of a point of the polygon in the band of a row, go straight
 * up or down to the middle of the band; either an edge is met within the band, or the point there belongs to the polygon as well. So the part of the
 * row that is covered is what the edges within the band span, and what lies inside on the line through its middle.
 */
export function cover(polygons: readonly Polygon[], width: number, height: number, marginPx: number): Runs {
  const outlines = polygons.map((polygon) => edgesOf(polygon, width, height));
  const runs: number[] = [];
  for (let row = 0; row < height; row++) {
    const spans = outlines.flatMap((edges) => [...outlined(edges, row - marginPx, row + 1 + marginPx), ...inside(edges, row + 0.5)]);
    for (const [from, to] of spans.sort(([a], [b]) => a - b)) {
      const first = Math.max(0, Math.ceil(from - SLACK - 1 - marginPx));
      const end = Math.min(width - 1, Math.floor(to + SLACK + marginPx)) + 1;
      if (end > first) add(runs, row * width + first, row * width + end);
    }
  }
  return Uint32Array.from(runs);
}

/** Writes `level` into every channel of these pixels, in place. */
export function fillRuns(data: Uint8Array, runs: Runs, channels: number, level: number): Uint8Array {
  const bytes = new Uint8Array(data.buffer, data.byteOffset, data.length); // Buffer.fill() checks far more at each call
  for (let index = 0; index < runs.length; index += 2) {
    bytes.fill(level, (runs[index] as number) * channels, (runs[index + 1] as number) * channels);
  }
  return data;
}

function add(runs: number[], begin: number, end: number): void {
  const last = runs.at(-1) ?? -1;
  if (begin > last) runs.push(begin, end);
  else runs[runs.length - 1] = Math.max(last, end);
}

/** A side of a polygon in pixels. */
interface Edge {
  x: number;
  y: number;
  toX: number;
  toY: number;
}

type Span = [from: number, to: number]; // along a row, in pixels

function edgesOf(polygon: Polygon, width: number, height: number): Edge[] {
  return polygon.map(([x = 0, y = 0], index) => {
    const [toX = 0, toY = 0] = polygon[(index + 1) % polygon.length] ?? [];
    return { x: x * width, y: y * height, toX: toX * width, toY: toY * height };
  });
}

/** What of each edge lies between two heights, its ends included. */
function outlined(edges: readonly Edge[], top: number, bottom: number): Span[] {
  const spans: Span[] = [];
  for (const edge of edges) {
    const low = Math.max(Math.min(edge.y, edge.toY), top - SLACK);
    const high = Math.min(Math.max(edge.y, edge.toY), bottom + SLACK);
    if (low > high) continue;
    const ends = edge.y === edge.toY ? [edge.x, edge.toX] : [xAt(edge, low), xAt(edge, high)];
    spans.push([Math.min(...ends), Math.max(...ends)]);
  }
  return spans;
}

/** What of a line lies inside, by the non-zero winding rule. */
function inside(edges: readonly Edge[], y: number): Span[] {
  const crossings = edges
    .filter((edge) => edge.y <= y !== edge.toY <= y)
    .map((edge) => ({ x: xAt(edge, y), turn: edge.toY > edge.y ? 1 : -1 }))
    .sort((a, b) => a.x - b.x);
  const spans: Span[] = [];
  let winding = 0;
  for (const [index, { x, turn }] of crossings.entries()) {
    winding += turn;
    if (winding !== 0) spans.push([x, crossings[index + 1]?.x ?? x]);
  }
  return spans;
}

function xAt({ x, y, toX, toY }: Edge, at: number): number {
  return x + ((at - y) / (toY - y)) * (toX - x);
}
