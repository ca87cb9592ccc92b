import { describe, expect, it } from 'vitest';
import { firstNotFinite, toFloat16, toFloat32 } from '../../src/package/floats.js';

const allHalves = Uint16Array.from({ length: 65536 }, (_, i) => i);
const widened = toFloat32(new Uint8Array(allHalves.slice().buffer), 'F16');

/** The value of a half by its definition. */
function half(bits: number): number {
  const [sign, exponent, mantissa] = [bits & 0x8000 ? -1 : 1, (bits >> 10) & 31, bits & 0x3ff];
  if (exponent === 31) return mantissa === 0 ? sign * Infinity : NaN;
  return exponent === 0 ? sign * mantissa * 2 ** -24 : sign * (1 + mantissa / 1024) * 2 ** (exponent - 15);
}

describe('halves', () => {
  it('widen every one of the 65536 to its value', () => {
    expect([...allHalves].filter((bits) => !Object.is(widened[bits], half(bits)))).toEqual([]);
  });

  it('narrow back to themselves', () => {
    const back = toFloat16(widened);
    expect([...allHalves].filter((bits) => !Number.isNaN(widened[bits]) && back[bits] !== bits)).toEqual([]);
  });

  it('round to the nearest, ties to even, at and beside every midpoint', () => {
    const places = [...allHalves.subarray(0, 0x7c00 - 1)].flatMap((bits) => {
      const [low, high] = [half(bits), half(bits + 1)];
      const middle = (low + high) / 2;
      const step = (high - low) / 4;
      const even = bits % 2 === 0 ? bits : bits + 1;
      return [
        { value: middle - step, bits },
        { value: middle, bits: even },
        { value: middle + step, bits: bits + 1 },
        { value: -middle, bits: 0x8000 | even },
      ];
    });
    const rounded = toFloat16(Float32Array.from(places, ({ value }) => value));
    expect(places.filter(({ bits }, i) => rounded[i] !== bits)).toEqual([]);
  });

  it('overflow to infinity from 65520 on', () => {
    expect([...toFloat16(Float32Array.of(65504, 65519, 65520, 1e30, -1e30, NaN))]).toEqual([0x7bff, 0x7bff, 0x7c00, 0x7c00, 0xfc00, 0x7e00]);
  });
});

describe('bfloat16', () => {
  it('is the upper half of a float', () => {
    expect([...toFloat32(new Uint8Array(Uint16Array.of(0x3f80, 0xc049, 0x0000, 0x7f80).buffer), 'BF16')]).toEqual([1, -3.140625, 0, Infinity]);
  });
});

it('finds the first value that is not finite', () => {
  expect(firstNotFinite(Float32Array.of(1, 2, 3))).toBe(-1);
  expect(firstNotFinite(Float32Array.of(1, -Infinity, NaN))).toBe(1);
});
