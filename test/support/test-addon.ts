/** What the addon has besides what the product uses: for tests only. */
import type { Addon, NativeImage } from '../../src/addon/addon.js';
import { loadAddon } from '../../src/addon/load.js';

/** The FP32 forward pass in plain loops; synchronous and slow. Tensors are added under package names, then it runs. */
export interface NativeReference {
  /** `data` is f32, row-major, copied. */
  setTensor(name: string, shape: number[], data: Float32Array): void;
  /** pixels [size, size, 3] → features [tokens, hidden]. `probe` sees every intermediate, see native/model/reference.h. */
  encode(pixels: Uint8Array, probe?: Probe): Float32Array;
  /** Appends rows: ids, or features [n, hidden] → logits [rows, vocab]. */
  append(pieces: (Int32Array | Float32Array)[], probe?: Probe): Float32Array;
  reset(): void;
}
export type Probe = (name: string, data: Float32Array, rows: number, columns: number) => void;

export interface TestAddon extends Addon {
  /** `manifest` is the text of a manifest.json; only `architecture` and `preprocessing` are read. */
  reference(manifest: string): NativeReference;
  /** Runs a whole package's backend once with every intermediate shown, synchronously. Returns logits of all appended pieces' last row. */
  trace(folder: string, isa: string, image: NativeImage, prefix: Int32Array, ids: Int32Array, probe: Probe): Float32Array;
  /** The CPU backend's integer product, x [rows, in] · weight [out, in]ᵀ → [rows, out], of one instruction set; values from −127. */
  matmulInt8(x: Int8Array, weight: Int8Array, rows: number, columns: number, out: number, isa: string): Int32Array;
  /** Live native objects. */
  handles(): { engines: number; views: number; conversations: number; jobs: number; references: number };
}

export function testAddon(): TestAddon {
  return loadAddon() as TestAddon;
}
