/**
 * A square table of vectors at another size, as torch.nn.functional.interpolate does it with mode "bicubic" and align_corners false: Keys' kernel with
 * a = −0.75, or, antialiased, with a = −0.5 and stretched by the reduction. Beyond the edge its values are repeated, or, antialiased, left out.
 */

/** `table` [from², columns] → [to², columns]. */
export function resampled(table: Float32Array, from: number, to: number, columns: number, antialias: boolean): Float32Array<ArrayBuffer> {
  const weights = Array.from({ length: to }, (_, position) => (antialias ? stretched : plain)(position, from, to));
  const rows = along(table, from, from * columns, weights); // [to, from, columns]
  const out = new Float32Array(to * to * columns);
  for (let row = 0; row < to; row++) {
    out.set(along(rows.subarray(row * from * columns, (row + 1) * from * columns), from, columns, weights), row * to * columns);
  }
  return out;
}

type Weights = readonly { at: number; weight: number }[];

/** Weighted sums of `size` values. */
function along(values: Float32Array, from: number, size: number, weights: readonly Weights[]): Float32Array {
  const out = new Float32Array(weights.length * size);
  for (const [position, taken] of weights.entries()) {
    for (let i = 0; i < size; i++) {
      let sum = 0;
      for (const { at, weight } of taken) sum += weight * (values[Math.max(0, Math.min(from - 1, at)) * size + i] as number);
      out[position * size + i] = sum;
    }
  }
  return out;
}

function plain(position: number, from: number, to: number): Weights {
  const centre = ((position + 0.5) * from) / to - 0.5;
  const first = Math.floor(centre) - 1;
  return [0, 1, 2, 3].map((tap) => ({ at: first + tap, weight: cubic(first + tap - centre, -0.75) }));
}

function stretched(position: number, from: number, to: number): Weights {
  const scale = Math.max(1, from / to);
  const centre = ((position + 0.5) * from) / to;
  const first = Math.max(0, Math.trunc(centre - 2 * scale + 0.5));
  const end = Math.min(from, Math.trunc(centre + 2 * scale + 0.5));
  const taken = Array.from({ length: end - first }, (_, tap) => ({ at: first + tap, weight: cubic((first + tap - centre + 0.5) / scale, -0.5) }));
  const total = taken.reduce((sum, { weight }) => sum + weight, 0);
  return taken.map(({ at, weight }) => ({ at, weight: weight / total }));
}

/** Keys' cubic convolution kernel (IEEE Trans. ASSP 29, 1981). */
function cubic(x: number, a: number): number {
  const z = Math.abs(x);
  if (z <= 1) return (a + 2) * z ** 3 - (a + 3) * z ** 2 + 1;
  return z < 2 ? a * z ** 3 - 5 * a * z ** 2 + 8 * a * z - 4 * a : 0;
}
