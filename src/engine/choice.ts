/** One of several spellings, each naming a value by index. */
import type { Builder, Edge, State } from './builder.js';

export interface Alternative {
  spelling: string;
  value: number;
  next: State;
}

interface Entry extends Alternative {
  bytes: Uint8Array;
}

/**
 * The state before the spellings, which all differ. `id` is Builder.choice(); `lead` is the group while all values are open. Where a spelling ends,
 * nothing that follows it may begin as a longer spelling goes on. All spellings of a value have the same `next`.
 */
export function choice(builder: Builder, id: number, alternatives: readonly Alternative[], lead = 0): State {
  const encoder = new TextEncoder();
  const entries: Entry[] = alternatives.map((alternative) => ({ ...alternative, bytes: encoder.encode(alternative.spelling) }));
  entries.sort((a, b) => (a.spelling < b.spelling ? -1 : 1)); // the same first bytes, the same run
  const values = new Set(entries.map(({ value }) => value)).size;

  /** Entries from..to, not included, begin with the same `depth` bytes. Returns the state after those. */
  const place = (from: number, to: number, depth: number): State => {
    const [first, last] = [entries[from] as Entry, entries[to - 1] as Entry];
    const reach = reachOf(entries, from, to);
    const group = reach.length === values ? lead : builder.group(id, reach);
    let common = depth;
    while (common < first.bytes.length && first.bytes[common] === last.bytes[common]) common++;

    const edges: Edge[] = [];
    let begin = from;
    const ends = first.bytes.length === common;
    if (ends) begin++;
    while (begin < to) {
      const byte = entries[begin]?.bytes[common] as number;
      let end = begin;
      while (end < to && entries[end]?.bytes[common] === byte) end++;
      edges.push({ low: byte, high: byte, to: place(begin, end, common + 1) });
      begin = end;
    }
    const decided = reach.length === 1 && builder.marksOf(first.next).decided;
    let state: State;
    if (ends) {
      const { accepting } = builder.marksOf(first.next);
      const value = values === 1 ? lead : builder.group(id, [first.value]);
      state = builder.state({ group, decided, accepting, ends: value }, [...edges, ...builder.edges(first.next)]);
    } else state = builder.state({ group, decided }, edges);
    for (let at = common - 1; at >= depth; at--) {
      const byte = first.bytes[at] as number;
      state = builder.state({ group, decided }, [{ low: byte, high: byte, to: state }]);
    }
    return state;
  };
  return place(0, entries.length, 0);
}

/** The values of entries from..to, not included, rising. */
function reachOf(entries: readonly Entry[], from: number, to: number): number[] {
  const values = new Set<number>();
  for (let at = from; at < to; at++) values.add(entries[at]?.value as number);
  return values.size === 1 ? [...values] : [...values].sort((a, b) => a - b);
}
