/** Reads the entropy-coded data of one scan of a JPEG, code by code, only to know that it is whole: all of its blocks, and nothing else. */
import { BitReader, type HuffmanTable } from './huffman.js';

export interface Component {
  id: number;
  h: number; // sampling factors
  v: number;
  // Blocks of 8 × 8 samples: those that the picture needs, and those in a row where components are interleaved.
  blocksX: number;
  blocksY: number;
  codedX: number;
  /** Progressive: a bit per coefficient, 1 where one other than 0 is known; 8 bytes per block, codedX blocks per row. */
  known: Uint8Array | undefined;
}

export interface ScanPart {
  component: Component;
  dc: HuffmanTable | undefined;
  ac: HuffmanTable | undefined;
  steps: Uint16Array; // of the quantization, [64]
  /** DC coefficient of the block before, from which the next one is counted. */
  mean: number;
}

export interface Scan {
  parts: ScanPart[];
  progressive: boolean;
  // Progressive: first and last coefficient; bits left out before this scan (0: it is the first one) and after it.
  first: number;
  last: number;
  high: number;
  low: number;
  mcusX: number; // where components are interleaved
  mcusY: number;
  restart: number; // MCUs between restart markers; 0: there are none
}

/** What is wrong with a file. */
export class Damage extends Error {}

const MAX_DC_BITS = 11; // of a difference, at 8 bits per sample
const MAX_AC_BITS = 10;
/** Coefficients of 8 bit samples are at most 1024; those of encoders that overshoot on purpose to have less ringing somewhat more. */
const MAX_COEFFICIENT = 1536;
const ZEROS = Buffer.alloc(64);
/** Bytes between data and marker that some cameras write. */
const SPARE_BYTES = 2;

/** Yields after each row; returns where the data ends, which is at a marker. `at` is its first byte. Throws Damage. */
export function* readScan(bytes: Uint8Array, at: number, scan: Scan): Generator<void, number> {
  const reader = new ScanReader(bytes, at, scan);
  const [{ component }, second] = scan.parts as [ScanPart, ScanPart | undefined];
  const across = second === undefined ? component.blocksX : scan.mcusX;
  const down = second === undefined ? component.blocksY : scan.mcusY;
  let left = scan.restart; // MCUs
  for (let row = 0; row < down; row++) {
    for (let column = 0; column < across; column++) {
      if (scan.restart > 0 && left-- === 0) {
        reader.restart();
        left = scan.restart - 1;
      }
      if (second === undefined) reader.block(scan.parts[0] as ScanPart, row * component.codedX + column);
      else reader.mcu(row, column);
    }
    yield;
  }
  const end = reader.end();
  if (isZeroed(bytes.subarray(at, end), scan)) throw new Damage('a part of it is zeros');
  return end;
}

/**
 * Zeros are the commonest code over and over, and the codes behind them may fall into step again. Where that code is the end of a block, they are a
 * flat part of the picture; where it is a coefficient, they are blocks full of −1, which no picture has.
 */
function isZeroed(data: Uint8Array, { parts, progressive, first }: Scan): boolean {
  if (progressive && first === 0) return false;
  const zerosAreCoefficients = parts.some(({ ac }) => (((ac as HuffmanTable)[0] as number) & 15) > 0);
  return zerosAreCoefficients && Buffer.from(data.buffer, data.byteOffset, data.length).includes(ZEROS);
}

class ScanReader {
  private bits: BitReader;
  private restarts = 0;
  private empty = 0; // progressive: this block and the next ones that get no new coefficients
  private readonly readBlock: (part: ScanPart, block: number) => void;

  constructor(
    private readonly bytes: Uint8Array,
    at: number,
    private readonly scan: Scan,
  ) {
    this.bits = new BitReader(bytes, at);
    const { progressive, first, high } = scan;
    const progressiveBlock = first === 0 ? (high === 0 ? this.firstDc : this.refinedDc) : high === 0 ? this.firstAc : this.refinedAc;
    this.readBlock = progressive ? progressiveBlock : this.sequential;
  }

  mcu(row: number, column: number): void {
    for (const part of this.scan.parts) {
      const { h, v, codedX } = part.component;
      for (let y = 0; y < v; y++) {
        for (let x = 0; x < h; x++) this.block(part, (row * v + y) * codedX + column * h + x);
      }
    }
  }

  block(part: ScanPart, block: number): void {
    this.readBlock(part, block);
    if (this.bits.overrun) throw new Damage('it ends too early');
  }

  restart(): void {
    const at = this.end();
    const expected = 0xd0 + (this.restarts++ % 8);
    const marker = this.bytes[at + 1];
    if (marker !== expected) throw new Damage(`restart marker ${expected - 0xd0} is missing`);
    this.bits = new BitReader(this.bytes, at + 2);
    for (const part of this.scan.parts) part.mean = 0;
  }

  /** Where the marker behind the data stands, at its last 0xFF. */
  end(): number {
    const { bytes } = this;
    if (this.empty > 0) throw new Damage('it ends too early');
    let at = this.bits.align();
    const latest = at + SPARE_BYTES;
    while (at < latest && at < bytes.length && (bytes[at] !== 0xff || bytes[at + 1] === 0)) at++;
    if (at >= bytes.length - 1) throw new Damage('its end is missing');
    if (bytes[at] !== 0xff || bytes[at + 1] === 0) throw new Damage('there is more data than picture');
    while (bytes[at + 1] === 0xff) at++;
    return at;
  }

  private sequential(part: ScanPart): void {
    const { bits } = this;
    this.firstDc(part);
    const ac = part.ac as HuffmanTable;
    for (let k = 1; k < 64; k++) {
      const code = bits.symbol(ac);
      const size = code & 15;
      if (size === 0) {
        if (code === 0) return; // the rest is zeros
        if (code !== 0xf0) throw impossible();
        k += 15;
      } else {
        k += code >> 4;
        if (k > 63 || size > MAX_AC_BITS) throw impossible();
        this.checkRange(bits.value(size), part, k);
      }
      if (k > 63) throw impossible();
    }
  }

  private firstDc(part: ScanPart): void {
    const size = this.bits.symbol(part.dc as HuffmanTable);
    if (size < 0 || size > MAX_DC_BITS) throw impossible();
    part.mean += this.bits.value(size);
    this.checkRange(part.mean, part, 0);
  }

  private checkRange(coefficient: number, { steps }: ScanPart, k: number): void {
    const step = (steps[k] as number) << this.scan.low;
    if (Math.abs(coefficient) * step > MAX_COEFFICIENT + step) throw impossible();
  }

  private refinedDc(): void {
    this.bits.bits(1);
  }

  private firstAc(part: ScanPart, block: number): void {
    if (this.empty > 0) {
      this.empty--;
      return;
    }
    const { bits } = this;
    const ac = part.ac as HuffmanTable;
    const { last } = this.scan;
    for (let k = this.scan.first; k <= last; k++) {
      const code = bits.symbol(ac);
      if (code < 0) throw impossible();
      const size = code & 15;
      const run = code >> 4;
      if (size === 0 && run < 15) {
        this.empty = (1 << run) + bits.bits(run) - 1;
        return;
      }
      k += run;
      if (k > last || size > MAX_AC_BITS) throw impossible();
      if (size === 0) continue;
      this.checkRange(bits.value(size), part, k);
      learn(part.component, block, k);
    }
  }

  /** One more bit for each coefficient that is known, and coefficients that become 1 or −1 among the others. */
  private refinedAc({ component, ac }: ScanPart, block: number): void {
    const { bits } = this;
    const { last } = this.scan;
    let k = this.scan.first;
    while (this.empty === 0 && k <= last) {
      const code = bits.symbol(ac as HuffmanTable);
      if (code < 0 || (code & 15) > 1) throw impossible();
      let run = code >> 4; // coefficients to leave out that stay 0
      const isNew = (code & 15) === 1;
      if (isNew) bits.bits(1);
      else if (run < 15) {
        this.empty = (1 << run) + bits.bits(run);
        break;
      }
      for (; k <= last; k++) {
        if (isKnown(component, block, k)) bits.bits(1);
        else if (run-- === 0) break;
      }
      if (k > last) throw impossible();
      if (isNew) learn(component, block, k);
      k++;
    }
    if (this.empty === 0) return;
    this.empty--;
    for (; k <= last; k++) if (isKnown(component, block, k)) bits.bits(1);
  }
}

function isKnown({ known }: Component, block: number, k: number): boolean {
  return (((known as Uint8Array)[block * 8 + (k >> 3)] as number) & (1 << (k & 7))) !== 0;
}

function learn({ known }: Component, block: number, k: number): void {
  const index = block * 8 + (k >> 3);
  (known as Uint8Array)[index] = ((known as Uint8Array)[index] as number) | (1 << (k & 7));
}

function impossible(): Damage {
  return new Damage('its data is not what an encoder writes');
}
