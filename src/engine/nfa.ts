/**
 * Building blocks of a nondeterministic byte automaton: literals, finite choices, bounded numbers, bounded text.
 * Every language built here is finite, so the automata have no cycles. Each state carries a mark that says what is still open in it.
 */

export type Mark =
  /** Fixed text. `settled`: nothing after it is open. */
  | { kind: 'literal'; settled: boolean }
  /** Inside a choice: the values (by index) that can still be reached, of `values` in all. `last`: nothing after the choice is open. */
  | { kind: 'choice'; choice: number; reach: readonly number[]; values: number; last: boolean }
  /** Inside something whose values are too many to tell apart. */
  | { kind: 'free' };

export interface Edge {
  low: number; // bytes low..high, both included
  high: number;
  to: number;
}

export class Nfa {
  readonly marks: Mark[] = [];
  readonly edges: Edge[][] = [];
  readonly empty: number[][] = [];

  state(mark: Mark): number {
    this.edges.push([]);
    this.empty.push([]);
    return this.marks.push(mark) - 1;
  }

  edge(from: number, low: number, high: number, to: number): void {
    this.edges[from]?.push({ low, high, to });
  }

  skip(from: number, to: number): void {
    this.empty[from]?.push(to);
  }
}

const FREE: Mark = { kind: 'free' };

/** `text` and nothing else. Returns the state after it. */
export function literal(nfa: Nfa, from: number, text: string, settled: boolean): number {
  let at = from;
  for (const byte of new TextEncoder().encode(text)) {
    const to = nfa.state({ kind: 'literal', settled });
    nfa.edge(at, byte, byte, to);
    at = to;
  }
  return at;
}

/** One of the spellings, each naming a value by index. `choice` is unique in the automaton. */
export function choice(nfa: Nfa, from: number, to: number, spellings: ReadonlyMap<string, number>, id: number, last: boolean): void {
  interface Node {
    reach: Set<number>;
    next: Map<number, Node>;
    ends: boolean;
  }
  const root: Node = { reach: new Set(), next: new Map(), ends: false };
  for (const [spelling, value] of spellings) {
    let node = root;
    node.reach.add(value);
    for (const byte of new TextEncoder().encode(spelling)) {
      let next = node.next.get(byte);
      if (next === undefined) {
        next = { reach: new Set(), next: new Map(), ends: false };
        node.next.set(byte, next);
      }
      node = next;
      node.reach.add(value);
    }
    node.ends = true;
  }
  const place = (node: Node): number => {
    const state = nfa.state({ kind: 'choice', choice: id, reach: [...node.reach].sort((a, b) => a - b), values: root.reach.size, last });
    if (node.ends) nfa.skip(state, to);
    for (const [byte, next] of node.next) nfa.edge(state, byte, byte, place(next));
    return state;
  };
  nfa.skip(from, place(root));
}

/**
 * Decimal numbers: for each j, exactly j digits after the point and low[j] <= digits read as an integer <= high[j].
 * No leading zeros, no plus, no "-0".
 */
export function numbers(nfa: Nfa, from: number, to: number, low: readonly bigint[], high: readonly bigint[]): void {
  const start = nfa.state(FREE);
  nfa.skip(from, start);
  const minus = nfa.state(FREE);
  nfa.edge(start, 0x2d, 0x2d, minus);
  for (const [decimals, least] of low.entries()) {
    const most = high[decimals] as bigint;
    if (most >= 0n) digits(nfa, start, to, least > 0n ? least : 0n, most, decimals);
    if (least < 0n) digits(nfa, minus, to, most < 0n ? -most : 1n, -least, decimals);
  }
}

/** Integers low..high (not negative), written with a point before the last `decimals` digits and at least one digit before it. */
function digits(nfa: Nfa, from: number, to: number, low: bigint, high: bigint, decimals: number): void {
  for (let width = decimals + 1; width <= Math.max(decimals + 1, high.toString().length); width++) {
    const shortest = width === decimals + 1 ? 0n : 10n ** BigInt(width - 1);
    const longest = 10n ** BigInt(width) - 1n;
    const least = low > shortest ? low : shortest;
    const most = high < longest ? high : longest;
    if (least <= most) fixedWidth(nfa, from, to, least.toString().padStart(width, '0'), most.toString().padStart(width, '0'), width - decimals);
  }
}

/** Digit strings between two of equal length, a point before position `point` unless that is the end. */
function fixedWidth(nfa: Nfa, from: number, to: number, low: string, high: string, point: number): void {
  const known = new Map<string, number>();
  const place = (at: number, tightLow: boolean, tightHigh: boolean): number => {
    if (at === low.length) return to;
    const key = `${at} ${tightLow} ${tightHigh}`;
    const seen = known.get(key);
    if (seen !== undefined) return seen;
    const entry = nfa.state(FREE);
    known.set(key, entry);
    let state = entry;
    if (at === point) {
      state = nfa.state(FREE);
      nfa.edge(entry, 0x2e, 0x2e, state);
    }
    const least = tightLow ? Number(low[at]) : 0;
    const most = tightHigh ? Number(high[at]) : 9;
    for (let digit = least; digit <= most; digit++) {
      nfa.edge(state, 0x30 + digit, 0x30 + digit, place(at + 1, tightLow && digit === least, tightHigh && digit === most));
    }
    return entry;
  };
  nfa.skip(from, place(0, true, true));
}

/**
 * Valid UTF-8 of min..max UTF-16 units (what JavaScript's `length` counts), no control characters.
 * `json`: the inside of a JSON string, one escape counting as one unit. Otherwise plain text with line breaks that neither begins nor ends
 * with white space.
 */
export function text(nfa: Nfa, from: number, to: number, min: number, max: number, json: boolean): void {
  const free = () => nfa.state(FREE);
  const word = Array.from({ length: max + 1 }, free); // after a character that may be the last
  const gap = json ? [] : Array.from({ length: max }, free); // after white space
  for (let count = 0; count <= max; count++) {
    const here = word[count] as number;
    if (count >= min) nfa.skip(here, to);
    const next = word[count + 1];
    if (next === undefined) continue;
    const states = count > 0 && !json ? [here, gap[count] as number] : [here];
    for (const state of states) {
      for (const [low, high] of json ? JSON_ASCII : PLAIN_ASCII) nfa.edge(state, low, high, next);
      if (!json && count > 0 && count + 1 < max) for (const space of [0x20, 0x0a]) nfa.edge(state, space, space, gap[count + 1] as number);
    }
    if (json) {
      const escaped = free();
      nfa.edge(here, 0x5c, 0x5c, escaped);
      for (const byte of Buffer.from('"\\/bfnrt')) nfa.edge(escaped, byte, byte, next);
    }
    multibyte(nfa, states, next, word[count + 2]);
  }
  nfa.skip(from, word[0] as number);
}

const PLAIN_ASCII = [[0x21, 0x7e]] as const;
const JSON_ASCII = [
  [0x20, 0x21],
  [0x23, 0x5b],
  [0x5d, 0x7e],
] as const;

/** Well-formed UTF-8 (Unicode table 3-7): two and three bytes lead to `one`, four bytes (two UTF-16 units) to `two`. */
function multibyte(nfa: Nfa, from: readonly number[], one: number, two: number | undefined): void {
  const before = (target: number, low: number, high: number) => {
    const state = nfa.state(FREE);
    nfa.edge(state, low, high, target);
    return state;
  };
  const lead = (low: number, high: number, target: number) => {
    for (const state of from) nfa.edge(state, low, high, target);
  };
  const last = before(one, 0x80, 0xbf);
  const middle = before(last, 0x80, 0xbf);
  lead(0xc2, 0xdf, last);
  lead(0xe0, 0xe0, before(last, 0xa0, 0xbf));
  lead(0xe1, 0xec, middle);
  lead(0xed, 0xed, before(last, 0x80, 0x9f));
  lead(0xee, 0xef, middle);
  if (two === undefined) return;
  const third = before(before(two, 0x80, 0xbf), 0x80, 0xbf);
  lead(0xf0, 0xf0, before(third, 0x90, 0xbf));
  lead(0xf1, 0xf3, before(third, 0x80, 0xbf));
  lead(0xf4, 0xf4, before(third, 0x80, 0x8f));
}
