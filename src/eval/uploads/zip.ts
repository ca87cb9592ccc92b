/** A ZIP archive in memory: what a workbook is. No 64-bit sizes: files of up to 4 GB. */
import { deflateRawSync } from 'node:zlib';

const CRC_TABLE = Int32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1;
  return crc;
});

/** That of node:zlib is not there before Node 20.15. */
export function crc32(bytes: Uint8Array): number {
  let crc = -1;
  for (const byte of bytes) crc = (crc >>> 8) ^ (CRC_TABLE[(crc ^ byte) & 255] as number);
  return ~crc >>> 0;
}

const [LOCAL, CENTRAL, END] = [0x04034b50, 0x02014b50, 0x06054b50];
const VERSION = 20;
const DEFLATED = 8;
const NEW_YEAR_1980 = 0x21; // the earliest date there is: equal content, equal bytes

/** Names in ASCII. */
export function zip(files: readonly { name: string; text: string }[]): Buffer {
  const parts: Buffer[] = [];
  const directory: Buffer[] = [];
  let offset = 0;
  for (const { name, text } of files) {
    const bytes = Buffer.from(text);
    const packed = deflateRawSync(bytes);
    const facts = [VERSION, 0, DEFLATED, 0, NEW_YEAR_1980]; // needed, flags, method, time, date
    const sizes = [crc32(bytes), packed.length, bytes.length];
    const local = fields([[LOCAL], 4], [facts, 2], [sizes, 4], [[name.length, 0], 2]);
    directory.push(fields([[CENTRAL], 4], [[VERSION, ...facts], 2], [sizes, 4], [[name.length, 0, 0, 0, 0], 2], [[0, offset], 4]), Buffer.from(name));
    parts.push(local, Buffer.from(name), packed);
    offset += local.length + name.length + packed.length;
  }
  const entries = Buffer.concat(directory);
  const end = fields([[END], 4], [[0, 0, files.length, files.length], 2], [[entries.length, offset], 4], [[0], 2]);
  return Buffer.concat([...parts, entries, end]);
}

function fields(...groups: [values: readonly number[], bytes: 2 | 4][]): Buffer {
  return Buffer.concat(
    groups.flatMap(([values, bytes]) =>
      values.map((value) => {
        const field = Buffer.alloc(bytes);
        field.writeUIntLE(value, 0, bytes);
        return field;
      }),
    ),
  );
}
