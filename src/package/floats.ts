/** The three float types of checkpoints, and their way to f32 and f16. Little-endian machines only, like everything this project runs on. */

export type FloatType = 'BF16' | 'F16' | 'F32';
export type DType = FloatType | 'I8';

export const BYTES_OF: Record<DType, number> = { BF16: 2, F16: 2, F32: 4, I8: 1 };

/** A fresh buffer of its own, aligned for any typed array. */
export function allocate(bytes: number): Uint8Array<ArrayBuffer> {
  return new Uint8Array(bytes);
}

/** Values of `dtype` → f32. `bytes` must be aligned to the type; an F32 result shares memory with its source. */
export function toFloat32(bytes: Uint8Array<ArrayBuffer>, dtype: FloatType): Float32Array<ArrayBuffer> {
  const count = bytes.byteLength / BYTES_OF[dtype];
  if (dtype === 'F32') return new Float32Array(bytes.buffer, bytes.byteOffset, count);
  const halves = new Uint16Array(bytes.buffer, bytes.byteOffset, count);
  const bits = new Uint32Array(count);
  if (dtype === 'BF16') for (let i = 0; i < count; i++) bits[i] = (halves[i] as number) << 16;
  else for (let i = 0; i < count; i++) bits[i] = bitsOfHalf(halves[i] as number);
  return new Float32Array(bits.buffer);
}

/** IEEE half → the bits of the equal float. */
function bitsOfHalf(half: number): number {
  const sign = (half & 0x8000) << 16;
  const exponent = (half >> 10) & 31;
  const mantissa = half & 0x3ff;
  if (exponent === 31) return sign | 0x7f800000 | (mantissa << 13);
  if (exponent !== 0) return sign | ((exponent + 112) << 23) | (mantissa << 13);
  if (mantissa === 0) return sign;
  const shift = Math.clz32(mantissa) - 21; // subnormal: mantissa · 2^-24, normalised to 1.x
  return sign | ((113 - shift) << 23) | (((mantissa << shift) & 0x3ff) << 13);
}

/** f32 → IEEE half, to nearest even; beyond ±65504 becomes infinity. */
export function toFloat16(values: Float32Array): Uint16Array<ArrayBuffer> {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const halves = new Uint16Array(values.length);
  for (let i = 0; i < halves.length; i++) halves[i] = halfOf(values[i] as number, bits[i] as number);
  return halves;
}

function halfOf(value: number, bits: number): number {
  const sign = (bits >>> 16) & 0x8000;
  const magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) return sign | 0x7e00;
  if (magnitude >= 0x47800000) return sign | 0x7c00; // 65536 and above
  if (magnitude < 0x38800000) return sign | roundHalfEven(Math.abs(value) * 2 ** 24); // subnormal: a multiple of 2^-24
  const rounded = magnitude + 0xfff + ((magnitude >>> 13) & 1);
  return sign | ((rounded - 0x38000000) >>> 13);
}

function roundHalfEven(value: number): number {
  const floor = Math.floor(value);
  const rest = value - floor;
  return rest > 0.5 || (rest === 0.5 && floor % 2 === 1) ? floor + 1 : floor;
}

/** Index of the first NaN or infinity, or -1. */
export function firstNotFinite(values: Float32Array): number {
  for (let i = 0; i < values.length; i++) if (!Number.isFinite(values[i])) return i;
  return -1;
}
