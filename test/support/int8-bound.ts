/** What INT8 may change: the bound that the engines' layers are held against. */
import { expect } from 'vitest';

/** Σ (x − y)² / Σ y². */
export function normalizedSquaredError(x: Float32Array, y: Float32Array): number {
  expect(x.length).toBe(y.length);
  let difference = 0;
  let energy = 0;
  for (const [i, value] of y.entries()) {
    difference += ((x[i] as number) - value) ** 2;
    energy += value ** 2;
  }
  return difference / energy;
}

/**
 * A symmetric INT8 value is off by at most max / 254, uniformly: relative to the rms of its row that is a variance of (peak / 127)² / 12 with
 * peak = max / rms, about 4 for activations and weights alike. Each product adds one such term for each of its two factors.
 */
export const boundAfter = (products: number) => (2 * products * (4 / 127) ** 2) / 12;
