// Writes GGUF files, version 3: metadata, where each tensor lies, then the tensors. What they hold is random or constant: only their sizes matter.
import { closeSync, openSync, renameSync, writeSync } from 'node:fs';

const ALIGNMENT = 32;
const TYPES = { u32: 4, i32: 5, f32: 6, bool: 7, string: 8, array: 9 };
export const Q8_BLOCK = 32; // values of Q8_0 that share one scale
/** How many bytes `values` values take: the number of the type, and the size of a block. */
const FORMATS = {
  f32: { id: 0, values: 1, bytes: 4 },
  f16: { id: 1, values: 1, bytes: 2 },
  q8_0: { id: 8, values: Q8_BLOCK, bytes: 2 + Q8_BLOCK },
};
const PATTERN_BLOCKS = 1 << 16; // random blocks that a tensor repeats

/**
 * `metadata`: key → [type, value], a list as ['array', [type, values]]. `tensors`: { name, dims, format, fill }, dims innermost first; fill is a constant
 * or { deviation }. The file is there whole or not at all.
 */
export function writeGguf(path, metadata, tensors) {
  const part = `${path}.part`;
  const file = openSync(part, 'w');
  try {
    const entries = Object.entries({ ...metadata, 'general.alignment': ['u32', ALIGNMENT] });
    const header = [Buffer.from('GGUF'), u32(3), u64(tensors.length), u64(entries.length)];
    for (const [key, [type, value]] of entries) header.push(string(key), u32(TYPES[type]), encoded(type, value));
    let offset = 0;
    for (const tensor of tensors) {
      const { name, dims, format } = tensor;
      header.push(string(name), u32(dims.length), ...dims.map(u64), u32(FORMATS[format].id), u64(offset));
      offset += aligned(bytesOf(tensor));
    }
    const bytes = Buffer.concat(header);
    write(file, Buffer.concat([bytes, Buffer.alloc(aligned(bytes.length) - bytes.length)]));
    for (const tensor of tensors) writeTensor(file, tensor);
  } finally {
    closeSync(file);
  }
  renameSync(part, path);
}

function bytesOf({ dims, format }) {
  const { values, bytes } = FORMATS[format];
  return (dims.reduce((product, dim) => product * dim, 1) / values) * bytes;
}

function writeTensor(file, tensor) {
  const pattern = patternOf(tensor);
  const total = bytesOf(tensor);
  for (let left = total; left > 0; left -= pattern.length) write(file, left < pattern.length ? pattern.subarray(0, left) : pattern);
  write(file, Buffer.alloc(aligned(total) - total));
}

const patterns = new Map();

function patternOf({ format, fill }) {
  const key = `${format} ${JSON.stringify(fill)}`;
  const found = patterns.get(key) ?? makePattern(format, fill);
  patterns.set(key, found);
  return found;
}

function makePattern(format, fill) {
  const { values, bytes } = FORMATS[format];
  const pattern = Buffer.alloc(PATTERN_BLOCKS * bytes);
  const deviation = typeof fill === 'number' ? 0 : fill.deviation * Math.sqrt(3); // of even values from −1 to 1
  const next = typeof fill === 'number' ? () => fill : () => (2 * random() - 1) * deviation;
  for (let block = 0; block < PATTERN_BLOCKS; block++) {
    const at = block * bytes;
    if (format === 'f32') pattern.writeFloatLE(next(), at);
    else if (format === 'f16') pattern.writeUInt16LE(half(next()), at);
    else {
      pattern.writeUInt16LE(half(deviation / 127), at);
      for (let i = 0; i < values; i++) pattern.writeInt8(Math.round((2 * random() - 1) * 127), at + 2 + i);
    }
  }
  return pattern;
}

let state = 1;

/** Marsaglia's xorshift: the same file every time. */
function random() {
  state ^= state << 13;
  state ^= state >>> 17;
  state ^= state << 5;
  return (state >>> 0) / 2 ** 32;
}

const single = new Float32Array(1);
const bits = new Uint32Array(single.buffer);

/** FP16, cut off; what is too small for a normal number is 0. */
function half(value) {
  single[0] = value;
  const exponent = ((bits[0] >>> 23) & 255) - 112;
  return exponent <= 0 ? 0 : ((bits[0] >>> 16) & 0x8000) | (exponent << 10) | ((bits[0] >>> 13) & 1023);
}

function encoded(type, value) {
  if (type === 'u32' || type === 'i32') return u32(value);
  if (type === 'bool') return Buffer.from([value ? 1 : 0]);
  if (type === 'string') return string(value);
  if (type === 'f32') return Buffer.from(Float32Array.of(value).buffer);
  const [itemType, items] = value;
  return Buffer.concat([u32(TYPES[itemType]), u64(items.length), ...items.map((item) => encoded(itemType, item))]);
}

function string(text) {
  const bytes = Buffer.from(text);
  return Buffer.concat([u64(bytes.length), bytes]);
}

function u32(value) {
  return Buffer.from(Uint32Array.of(value).buffer);
}

function u64(value) {
  return Buffer.from(BigUint64Array.of(BigInt(value)).buffer);
}

function aligned(bytes) {
  return Math.ceil(bytes / ALIGNMENT) * ALIGNMENT;
}

function write(file, bytes) {
  for (let done = 0; done < bytes.length; ) done += writeSync(file, bytes, done);
}
