/** The tables of ITU-T T.81, annex K.3, which frames of Motion JPEG may leave out. */
import { type HuffmanTable, huffmanTable } from './huffman.js';

const DC_SYMBOLS = '000102030405060708090a0b';
/** DC 0, 1 and AC 0, 1: how many codes have 1 to 16 bits, and the symbols in the order of their codes. */
const TABLES: readonly (readonly [slot: number, counts: string, symbols: string])[] = [
  [0, '00010501010101010100000000000000', DC_SYMBOLS],
  [1, '00030101010101010101010000000000', DC_SYMBOLS],
  [
    4,
    '0002010303020403050504040000017d',
    '01020300041105122131410613516107227114328191a1082342b1c11552d1f02433627282090a161718191a25262728292a3435363738393a434445464748494a53545556575859' +
      '5a636465666768696a737475767778797a838485868788898a92939495969798999aa2a3a4a5a6a7a8a9aab2b3b4b5b6b7b8b9bac2c3c4c5c6c7c8c9cad2d3d4d5d6d7d8d9dae1' +
      'e2e3e4e5e6e7e8e9eaf1f2f3f4f5f6f7f8f9fa',
  ],
  [
    5,
    '00020102040403040705040400010277',
    '000102031104052131061241510761711322328108144291a1b1c109233352f0156272d10a162434e125f11718191a262728292a35363738393a434445464748494a535455565758' +
      '595a636465666768696a737475767778797a82838485868788898a92939495969798999aa2a3a4a5a6a7a8a9aab2b3b4b5b6b7b8b9bac2c3c4c5c6c7c8c9cad2d3d4d5d6d7d8d9' +
      'dae2e3e4e5e6e7e8e9eaf2f3f4f5f6f7f8f9fa',
  ],
];

let tables: (HuffmanTable | undefined)[] | undefined;

/** DC 0 to 3, then AC 0 to 3. */
export function standardTables(): readonly (HuffmanTable | undefined)[] {
  if (tables !== undefined) return tables;
  tables = new Array<HuffmanTable | undefined>(8).fill(undefined);
  for (const [slot, counts, symbols] of TABLES) tables[slot] = huffmanTable(Buffer.from(counts, 'hex'), Buffer.from(symbols, 'hex'));
  return tables;
}
