/** Huffman tables and bits of a JPEG. */

/** For each 16 bits that may follow: length of the code they begin with << 8 | its symbol; 0 where no code does. */
export type HuffmanTable = Uint16Array;

/** `counts`: how many codes have 1 to 16 bits; `symbols` in the order of their codes. Undefined where they are no code. */
export function huffmanTable(counts: Uint8Array, symbols: Uint8Array): HuffmanTable | undefined {
  const table = new Uint16Array(0x1_0000);
  let next = 0; // the next code, followed by zeros up to 16 bits
  let index = 0;
  for (let length = 1; length <= 16; length++) {
    const width = 1 << (16 - length);
    for (let i = 0; i < (counts[length - 1] as number); i++) {
      if (next + width > 0x1_0000 || index >= symbols.length) return undefined;
      table.fill((length << 8) | (symbols[index++] as number), next, next + width);
      next += width;
    }
  }
  return table;
}

/** The bits of entropy-coded data from `at` on, up to the next marker. */
export class BitReader {
  private buffer = 0;
  private count = 0; // of bits in `buffer`, the lowest ones
  private invented = 0; // of these, the zeros behind the end

  constructor(
    private readonly bytes: Uint8Array,
    private at: number,
  ) {}

  /** The symbol of the next code; −1 where there is no such code. */
  symbol(table: HuffmanTable): number {
    if (this.count < 16) this.fill();
    const entry = table[(this.buffer >>> (this.count - 16)) & 0xffff] as number;
    this.count -= entry >>> 8;
    return entry === 0 ? -1 : entry & 0xff;
  }

  /** `count` ≤ 16 bits as a number. */
  bits(count: number): number {
    if (count === 0) return 0;
    if (this.count < count) this.fill();
    this.count -= count;
    return (this.buffer >>> this.count) & ((1 << count) - 1);
  }

  /** `size` ≤ 16 bits as a signed difference or coefficient. */
  value(size: number): number {
    const bits = this.bits(size);
    return size > 0 && bits < 1 << (size - 1) ? bits - (1 << size) + 1 : bits;
  }

  /** More bits were read than there were. */
  get overrun(): boolean {
    return this.count < this.invented;
  }

  /** Leaves out what is left of a byte; returns where the next whole byte stands. */
  align(): number {
    let unread = (this.count - this.invented) >> 3;
    let at = this.at;
    for (; unread > 0; unread--) at -= at >= 2 && this.bytes[at - 1] === 0 && this.bytes[at - 2] === 0xff ? 2 : 1;
    return at;
  }

  private fill(): void {
    while (this.count <= 24) {
      const byte = this.bytes[this.at];
      const stuffed = byte === 0xff && this.bytes[this.at + 1] === 0;
      if (byte === undefined || (byte === 0xff && !stuffed)) {
        this.buffer <<= 8;
        this.invented += 8;
      } else {
        this.buffer = (this.buffer << 8) | byte;
        this.at += stuffed ? 2 : 1;
      }
      this.count += 8;
    }
  }
}
