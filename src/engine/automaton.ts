/** NFA → the smallest deterministic byte automaton that keeps groups apart, in the form that the native side takes. */
import type { NativeConstraint } from '../addon/addon.js';
import type { Mark, Nfa } from './nfa.js';

export interface Automaton extends NativeConstraint {
  /** Bytes of the longest accepted text. */
  longest: number;
}

/** Large enough for a text of a thousand characters; a table row is a kilobyte. */
export const MAX_STATES = 16_384;

/** Subsets before merging, by class of bytes that no edge tells apart. */
interface Subsets {
  sets: number[][]; // NFA states, sorted
  next: number[][]; // [state][class] target or -1
  classOf: Uint8Array; // [256]
}

/** Undefined when nothing is accepted, or when there are more than MAX_STATES states. State 0 is the start. */
export function compile(nfa: Nfa, start: number, end: number): Automaton | undefined {
  const subsets = determinize(nfa, start);
  if (subsets === undefined) return undefined;
  const { sets, next, classOf } = subsets;
  const groups = new Map<string, number>();

  // No cycles: children first, and states that look alike and lead to the same places are one. Dead ends become -1.
  const merged: number[] = Array(sets.length).fill(-1);
  const known = new Map<string, number>();
  const kept: { accepting: boolean; group: number; decided: boolean; next: number[]; longest: number }[] = [];
  for (const state of childrenFirst(next)) {
    const targets = (next[state] as number[]).map((target) => (target < 0 ? -1 : (merged[target] as number)));
    const set = sets[state] as number[];
    const accepting = set.includes(end);
    const leads = targets.some((target) => target >= 0);
    if (!accepting && !leads) continue;
    const marks = set.map((member) => nfa.marks[member] as Mark);
    const group = groupOf(marks, groups);
    const decided = isDecided(marks) || !leads;
    const key = `${accepting} ${group} ${decided} ${targets.join(',')}`;
    let id = known.get(key);
    if (id === undefined) {
      const longest = Math.max(0, ...targets.map((target) => (target < 0 ? 0 : 1 + (kept[target]?.longest ?? 0))));
      id = kept.push({ accepting, group, decided, next: targets, longest }) - 1;
      known.set(key, id);
    }
    merged[state] = id;
  }
  const first = merged[0] as number;
  if (first < 0) return undefined;

  // The start was placed last; state numbers are counted from it.
  const states = kept.length;
  const number = (id: number) => (id < 0 ? -1 : id === first ? 0 : id === 0 ? first : id);
  const table = new Int32Array(states * 256);
  const accepting = new Uint8Array(states);
  const group = new Int32Array(states);
  const decided = new Uint8Array(states);
  for (const [id, state] of kept.entries()) {
    const row = number(id);
    for (let byte = 0; byte < 256; byte++) table[row * 256 + byte] = number(state.next[classOf[byte] as number] as number);
    accepting[row] = Number(state.accepting);
    group[row] = state.group;
    decided[row] = Number(state.decided);
  }
  return { states, next: table, accepting, group, decided, longest: kept[first]?.longest ?? 0 };
}

/** The state after `bytes` from `state`, or -1. */
export function walk(automaton: NativeConstraint, state: number, bytes: Uint8Array): number {
  for (const byte of bytes) {
    if (state < 0) return -1;
    state = automaton.next[state * 256 + byte] as number;
  }
  return state;
}

/** The shortest bytes that lead from `state` to an accepting one. */
export function completion(automaton: NativeConstraint, state: number): Uint8Array {
  const seen = new Set([state]);
  let frontier: { state: number; bytes: number[] }[] = [{ state, bytes: [] }];
  while (frontier.length > 0) {
    const next: typeof frontier = [];
    for (const at of frontier) {
      if (automaton.accepting[at.state] === 1) return Uint8Array.from(at.bytes);
      for (let byte = 0; byte < 256; byte++) {
        const target = automaton.next[at.state * 256 + byte] as number;
        if (target < 0 || seen.has(target)) continue;
        seen.add(target);
        next.push({ state: target, bytes: [...at.bytes, byte] });
      }
    }
    frontier = next;
  }
  return new Uint8Array(0);
}

function determinize(nfa: Nfa, start: number): Subsets | undefined {
  const cuts = new Set([0]);
  for (const edges of nfa.edges) for (const { low, high } of edges) cuts.add(low).add(high + 1);
  const starts = [...cuts].filter((byte) => byte < 256).sort((a, b) => a - b);
  const classOf = new Uint8Array(256);
  for (const [index, from] of starts.entries()) classOf.fill(index, from);

  const sets: number[][] = [];
  const ids = new Map<string, number>();
  const place = (members: Iterable<number>): number => {
    const set = closure(nfa, members);
    const key = set.join(',');
    let id = ids.get(key);
    if (id === undefined) {
      id = sets.push(set) - 1;
      ids.set(key, id);
    }
    return id;
  };
  const next: number[][] = [];
  place([start]);
  for (let state = 0; state < sets.length; state++) {
    if (sets.length > MAX_STATES) return undefined;
    const targets: Set<number>[] = starts.map(() => new Set());
    for (const member of sets[state] as number[]) {
      for (const { low, high, to } of nfa.edges[member] ?? []) {
        for (let cls = classOf[low] as number; cls <= (classOf[high] as number); cls++) targets[cls]?.add(to);
      }
    }
    next.push(targets.map((target) => (target.size === 0 ? -1 : place(target))));
  }
  return { sets, next, classOf };
}

function closure(nfa: Nfa, members: Iterable<number>): number[] {
  const set = new Set(members);
  for (const member of set) for (const to of nfa.empty[member] ?? []) set.add(to);
  return [...set].sort((a, b) => a - b);
}

/** Every state after all states that it leads to. */
function childrenFirst(next: readonly (readonly number[])[]): number[] {
  const order: number[] = [];
  const seen = new Set([0]);
  const stack = [{ state: 0, at: 0 }];
  for (let top = stack.at(-1); top !== undefined; top = stack.at(-1)) {
    const target = next[top.state]?.[top.at++];
    if (target === undefined) {
      order.push(top.state);
      stack.pop();
    } else if (target >= 0 && !seen.has(target)) {
      seen.add(target);
      stack.push({ state: target, at: 0 });
    }
  }
  return order;
}

function reachOf(marks: readonly Mark[]): Set<number> {
  return new Set(marks.flatMap((mark) => (mark.kind === 'choice' ? mark.reach : [])));
}

/** -1: free; 0: no choice was narrowed (fixed text, or every value still open); else the id of the choice and its open values. */
function groupOf(marks: readonly Mark[], groups: Map<string, number>): number {
  if (marks.some((mark) => mark.kind === 'free')) return -1;
  const inside = marks.find((mark) => mark.kind === 'choice');
  if (inside === undefined) return 0;
  const reach = reachOf(marks);
  if (reach.size === inside.values) return 0;
  const key = `${inside.choice}: ${[...reach].sort((a, b) => a - b).join(',')}`;
  const id = groups.get(key) ?? groups.size + 1;
  groups.set(key, id);
  return id;
}

/** One value is left: a last choice is narrowed to one, or only fixed text follows. */
function isDecided(marks: readonly Mark[]): boolean {
  const closed = marks.every((mark) => (mark.kind === 'literal' ? mark.settled : mark.kind === 'choice' && mark.last));
  return closed && reachOf(marks).size <= 1;
}
