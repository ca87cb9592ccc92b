/** Writes JPEGs that sharp does not: with restart markers, with a scan per component, with the standard tables left out. */
import sharp from 'sharp';

export interface WriterOptions {
  width: number;
  height: number;
  /** Sampling factors of Y; Cb and Cr have 1, 1. Undefined: gray. */
  sampling?: [h: number, v: number];
  /** MCUs between restart markers; 0: none. */
  restart?: number;
  /** One scan for each component. */
  separate?: boolean;
  /** Without its Huffman tables, as Motion JPEG may be. */
  bare?: boolean;
  /** Bytes that some cameras write before each marker behind data. */
  spare?: Buffer;
}

interface Code {
  code: number;
  length: number;
}

/** The standard tables as libjpeg writes them: kind and slot in one byte → the segment's part. */
async function standardTables(): Promise<Map<number, Uint8Array>> {
  const file = await sharp({ create: { width: 16, height: 16, channels: 3, background: 'red' } })
    .jpeg({ optimiseCoding: false })
    .toBuffer();
  const tables = new Map<number, Uint8Array>();
  for (let at = 2; file[at + 1] !== 0xda; at += 2 + file.readUInt16BE(at + 2)) {
    if (file[at + 1] !== 0xc4) continue;
    let part = file.subarray(at + 4, at + 2 + file.readUInt16BE(at + 2));
    while (part.length > 0) {
      const symbols = part.subarray(1, 17).reduce((sum, count) => sum + count, 0);
      tables.set(part[0] as number, part.subarray(0, 17 + symbols));
      part = part.subarray(17 + symbols);
    }
  }
  return tables;
}

function codes(table: Uint8Array): Map<number, Code> {
  const found = new Map<number, Code>();
  let [code, index] = [0, 17];
  for (let length = 1; length <= 16; length++, code <<= 1) {
    for (let i = 0; i < (table[length] as number); i++) found.set(table[index++] as number, { code: code++, length });
  }
  return found;
}

class BitWriter {
  readonly bytes: number[] = [];
  private buffer = 0;
  private count = 0;

  put(value: number, length: number): void {
    for (let bit = length - 1; bit >= 0; bit--) {
      this.buffer = (this.buffer << 1) | ((value >> bit) & 1);
      if (++this.count < 8) continue;
      this.bytes.push(this.buffer, ...(this.buffer === 0xff ? [0] : []));
      this.buffer = this.count = 0;
    }
  }

  value(value: number, size: number): void {
    this.put(value < 0 ? value + (1 << size) - 1 : value, size);
  }

  flush(): void {
    while (this.count > 0) this.put(1, 1);
  }
}

const sizeOf = (value: number) => 32 - Math.clz32(Math.abs(value));
const segment = (marker: number, body: ArrayLike<number>) => {
  const bytes = Uint8Array.from(body);
  return Buffer.concat([Buffer.from([0xff, marker, (bytes.length + 2) >> 8, (bytes.length + 2) & 255]), bytes]);
};

/** A picture of random coefficients. `next` gives numbers from 0 to 1. */
export async function writeJpeg(options: WriterOptions, next: () => number): Promise<Buffer> {
  const { width, height, sampling, restart = 0, separate = false, bare = false, spare = Buffer.alloc(0) } = options;
  const [h, v] = sampling ?? [1, 1];
  const components = sampling === undefined ? [{ id: 1, h: 1, v: 1 }] : [1, 2, 3].map((id) => (id === 1 ? { id, h, v } : { id, h: 1, v: 1 }));
  const tables = await standardTables();
  const [mcusX, mcusY] = [Math.ceil(width / (8 * h)), Math.ceil(height / (8 * v))];
  const frame = [8, height >> 8, height & 255, width >> 8, width & 255, components.length];
  const parts: Uint8Array[] = [
    Buffer.from([0xff, 0xd8]),
    segment(0xdb, [0, ...new Array<number>(64).fill(8)]),
    segment(0xc0, [...frame, ...components.flatMap(({ id, ...factors }) => [id, (factors.h << 4) | factors.v, 0])]),
    ...(bare ? [] : [...tables.values()].map((table) => segment(0xc4, table))),
    ...(restart > 0 ? [segment(0xdd, [restart >> 8, restart & 255])] : []),
  ];
  for (const scanned of separate ? components.map((component) => [component]) : [components]) {
    const slots = scanned.flatMap(({ id }) => [id, id === 1 ? 0 : 0x11]);
    parts.push(segment(0xda, [scanned.length, ...slots, 0, 63, 0]));
    const [first] = scanned as [(typeof components)[number]];
    const alone = scanned.length === 1;
    const across = alone ? Math.ceil(Math.ceil((width * first.h) / h) / 8) : mcusX;
    const total = across * (alone ? Math.ceil(Math.ceil((height * first.v) / v) / 8) : mcusY);
    let bits = new BitWriter();
    let means = new Map<number, number>();
    for (let mcu = 0; mcu < total; mcu++) {
      if (restart > 0 && mcu > 0 && mcu % restart === 0) {
        bits.flush();
        parts.push(Buffer.from(bits.bytes), spare, Buffer.from([0xff, 0xd0 + ((mcu / restart - 1) % 8)]));
        bits = new BitWriter();
        means = new Map();
      }
      for (const component of scanned) {
        for (let block = 0; block < (alone ? 1 : component.h * component.v); block++) writeBlock(bits, component.id, means, tables, next);
      }
    }
    bits.flush();
    parts.push(Buffer.from(bits.bytes), spare);
  }
  return Buffer.concat([...parts, Buffer.from([0xff, 0xd9])]);
}

function writeBlock(bits: BitWriter, id: number, means: Map<number, number>, tables: Map<number, Uint8Array>, next: () => number): void {
  const slot = id === 1 ? 0 : 1;
  const dc = codes(tables.get(slot) as Uint8Array);
  const ac = codes(tables.get(0x10 | slot) as Uint8Array);
  const put = ({ code, length }: Code) => bits.put(code, length);
  const mean = Math.round((next() - 0.5) * 200);
  const difference = mean - (means.get(id) ?? 0);
  means.set(id, mean);
  put(dc.get(sizeOf(difference)) as Code);
  bits.value(difference, sizeOf(difference));
  let run = 0;
  for (let k = 1; k < 64; k++) {
    const value = next() < 4 / k ? Math.round((next() - 0.5) * 40) : 0;
    if (value === 0) {
      run++;
      continue;
    }
    for (; run > 15; run -= 16) put(ac.get(0xf0) as Code);
    put(ac.get((run << 4) | sizeOf(value)) as Code);
    bits.value(value, sizeOf(value));
    run = 0;
  }
  if (run > 0) put(ac.get(0) as Code);
}
