/** Reads a whole safetensors fixture at once. The product has a reader of its own, which streams and trusts nothing (src/package/safetensors.ts). */
import { readFileSync } from 'node:fs';

export interface Fixture {
  dtype: string;
  shape: number[];
  data: Float32Array | Uint8Array;
}

/** Every F32 and U8 tensor of `path` by name. Throws for any other type: the fixtures hold none. */
export function readFixtures(path: string): Map<string, Fixture> {
  const bytes = readFileSync(path);
  const headerBytes = Number(bytes.readBigUInt64LE(0));
  const header = JSON.parse(bytes.toString('utf8', 8, 8 + headerBytes)) as Record<
    string,
    { dtype: string; shape: number[]; data_offsets: [number, number] }
  >;
  const fixtures = new Map<string, Fixture>();
  for (const [name, { dtype, shape, data_offsets: offsets }] of Object.entries(header)) {
    if (name === '__metadata__') continue;
    const copy = new Uint8Array(bytes.subarray(8 + headerBytes + offsets[0], 8 + headerBytes + offsets[1])); // aligned, unlike the file
    fixtures.set(name, { dtype, shape, data: values(name, dtype, copy) });
  }
  return fixtures;
}

/** The F32 values of one tensor; throws when it is absent or of another type. */
export function floats(fixtures: Map<string, Fixture>, name: string): Float32Array {
  const data = fixtures.get(name)?.data;
  if (!(data instanceof Float32Array)) throw new Error(`no F32 fixture ${name}`);
  return data;
}

/** The U8 values of one tensor; throws when it is absent or of another type. */
export function bytesOf(fixtures: Map<string, Fixture>, name: string): Uint8Array {
  const data = fixtures.get(name)?.data;
  if (!(data instanceof Uint8Array)) throw new Error(`no U8 fixture ${name}`);
  return data;
}

function values(name: string, dtype: string, bytes: Uint8Array<ArrayBuffer>): Float32Array | Uint8Array {
  if (dtype === 'U8') return bytes;
  if (dtype === 'F32') return new Float32Array(bytes.buffer);
  throw new Error(`fixture ${name}: unexpected type ${dtype}`);
}
