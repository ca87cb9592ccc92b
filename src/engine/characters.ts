/**
 * The characters of a text answer, as a tree of their UTF-8 bytes. Left out: control characters but for the line feed; line and paragraph
 * separators; embeddings, overrides and isolates of text direction; the byte order mark; surrogates and noncharacters. Spaces are what trim() takes.
 */

export type Kind = 'word' | 'space';

export interface ByteRange {
  low: number;
  high: number;
  to: Node | Kind;
}

/** Ranges of the next byte, rising. Nodes that are alike are the same object. */
export type Node = readonly ByteRange[];

type Range = readonly [number, number];

const SPACES: readonly Range[] = [
  [0x0a, 0x0a],
  [0x20, 0x20],
  [0xa0, 0xa0],
  [0x1680, 0x1680],
  [0x2000, 0x200a],
  [0x202f, 0x202f],
  [0x205f, 0x205f],
  [0x3000, 0x3000],
];

const EXCLUDED: readonly Range[] = [
  [0x00, 0x09],
  [0x0b, 0x1f],
  [0x7f, 0x9f],
  [0x2028, 0x202e],
  [0x2066, 0x2069],
  [0xd800, 0xdfff],
  [0xfdd0, 0xfdef],
  [0xfeff, 0xfeff],
  ...Array.from({ length: 17 }, (_, plane) => [plane * 0x10000 + 0xfffe, plane * 0x10000 + 0xffff] as const),
];

const nodes = new Map<string, Node>();
const names = new Map<Node, number>();

/** The first byte of a character. */
export const CHARACTERS: Node = node([
  ...Array.from({ length: 0x80 }, (_, byte) => [byte, block(byte, byte, 0, 0)] as const),
  ...leads(0xc2, 0xdf, 1, 0x80),
  ...leads(0xe0, 0xef, 2, 0x800),
  ...leads(0xf0, 0xf4, 3, 0x10000),
]);

/** The leading bytes of characters with `more` bytes behind; shorter ones have the characters below `least`. */
function leads(low: number, high: number, more: number, least: number): (readonly [number, Node | Kind | undefined])[] {
  const mask = (1 << (6 - more)) - 1;
  return Array.from({ length: high - low + 1 }, (_, index) => {
    const base = ((low + index) & mask) << (6 * more);
    return [low + index, block(base, base + (1 << (6 * more)) - 1, more, least)] as const;
  });
}

/** What may follow when the characters low..high are left, and `more` bytes to tell them apart. */
function block(low: number, high: number, more: number, least: number): Node | Kind | undefined {
  if (high < least || low > 0x10ffff || within(EXCLUDED, low, high)) return undefined;
  if (more === 0) return within(SPACES, low, high) ? 'space' : 'word';
  if (low >= least && high <= 0x10ffff && !meets(SPACES, low, high) && !meets(EXCLUDED, low, high)) return words(more);
  const size = 1 << (6 * (more - 1));
  return node(Array.from({ length: 64 }, (_, i) => [0x80 + i, block(low + i * size, low + (i + 1) * size - 1, more - 1, least)]));
}

/** Any `more` bytes. */
function words(more: number): Node | Kind {
  return more === 0 ? 'word' : node([[0x80, words(more - 1)]], 0xbf);
}

function within(ranges: readonly Range[], low: number, high: number): boolean {
  return ranges.some(([from, to]) => from <= low && high <= to);
}

function meets(ranges: readonly Range[], low: number, high: number): boolean {
  return ranges.some(([from, to]) => from <= high && to >= low);
}

/** `until`: the last byte of the last entry. */
function node(entries: readonly (readonly [number, Node | Kind | undefined])[], until?: number): Node {
  const ranges: ByteRange[] = [];
  for (const [byte, to] of entries) {
    const last = ranges.at(-1);
    if (to === undefined) continue;
    if (last !== undefined && last.high === byte - 1 && last.to === to) last.high = byte;
    else ranges.push({ low: byte, high: byte, to });
  }
  const end = ranges.at(-1);
  if (end !== undefined && until !== undefined) end.high = until;
  const key = ranges.map(({ low, high, to }) => `${low}-${high}:${typeof to === 'string' ? to : names.get(to)}`).join();
  const known = nodes.get(key) ?? ranges;
  nodes.set(key, known);
  if (!names.has(known)) names.set(known, names.size);
  return known;
}
