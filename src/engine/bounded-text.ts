/**
 * Text of min..max characters (code points, as zod and JSON Schema count). At the limit the answer may end, or show that the model had more to say:
 * the bytes from there on lead to a state that is marked as cut and takes any.
 */
import type { Builder, Edge, Marks, State } from './builder.js';
import { CHARACTERS, type Kind, type Node } from './characters.js';

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
/** \" \\ \/ \n: the others stand for control characters. */
const ESCAPED = [...'"\\/n'].map((char) => char.charCodeAt(0));
/** Bytes of characters, also of those that end in the middle. */
const ANY = [
  [0x0a, 0x0a],
  [0x20, 0x7e],
  [0x80, 0xf4],
] as const;
const ANY_QUOTED = [
  [0x20, 0x21],
  [0x23, 0x7e],
  [0x80, 0xf4],
] as const;

const FREE: Marks = { group: -1, decided: false };
const MAY_END: Marks = { ...FREE, accepting: true };

/** The state before plain text. It begins with no white space; white space at its end is no part of it. */
export function plainText(builder: Builder, min: number, max: number): State {
  const cut = builder.fresh({ ...MAY_END, decided: true, cut: true }, [], ANY);
  const visible = CHARACTERS.filter(({ to }) => to !== 'space').map(({ low, high }) => ({ low, high, to: cut }));
  const white = CHARACTERS.filter(({ to }) => to === 'space').map(({ low, high }) => [low, high] as const);
  let word = builder.fresh(MAY_END, visible, white);
  let gap: State | undefined; // after white space with too little before it to be the end
  let [kind, from] = ['limit', 0]; // of the states of the last count, which the next may repeat
  for (let count = max - 1; count >= 0; count--) {
    const next = count === 0 ? 'first' : count > min ? 'enough' : count < min - 1 ? 'too few' : `${count}`;
    if (next === kind) {
      const size = builder.size;
      word = builder.repeat(from);
      from = size;
      if (count < min) gap = word;
      continue;
    }
    [kind, from] = [next, builder.size];
    const space = count === 0 ? undefined : count >= min ? word : gap;
    if (count === min) gap = oneMore(builder, FREE, PLAIN, word, undefined);
    word = oneMore(builder, count >= min ? MAY_END : FREE, PLAIN, word, space);
    if (count < min) gap = word;
  }
  return word;
}

/** The state before the inside of a JSON string and its closing quote, then `after`. An escape counts as the character it stands for. */
export function quotedText(builder: Builder, min: number, max: number, after: State): State {
  const close: Edge = { low: QUOTE, high: QUOTE, to: after };
  const cut = builder.fresh({ group: 0, decided: builder.marksOf(after).decided, cut: true }, [close], ANY_QUOTED);
  let word = builder.fresh(FREE, [...ANY_QUOTED.map(([low, high]) => ({ low, high, to: cut })), close]);
  let [kind, from] = ['limit', 0];
  for (let count = max - 1; count >= 0; count--) {
    const next = count >= min ? 'enough' : 'too few';
    if (next === kind) {
      const size = builder.size;
      word = builder.repeat(from);
      from = size;
      continue;
    }
    [kind, from] = [next, builder.size];
    const escaped = builder.begin(FREE);
    for (const byte of ESCAPED) builder.edge(byte, byte, word);
    word = oneMore(builder, FREE, QUOTED, word, word);
    builder.edge(BACKSLASH, BACKSLASH, escaped);
    if (count >= min) builder.edge(QUOTE, QUOTE, after);
  }
  return word;
}

/** A node of CHARACTERS in numbers: `to` counts the nodes of a plan from 2; 0 and 1 are what follows a visible character and white space. */
type Plan = readonly (readonly { low: number; high: number; to: number }[])[];

/** The nodes that are left of CHARACTERS when `first` is taken for its ranges, each behind those it leads to, itself last. */
function plan(first: Node): Plan {
  const order = new Map<Node | Kind, number>([
    ['word', 0],
    ['space', 1],
  ]);
  const planned: { low: number; high: number; to: number }[][] = [];
  const visit = (node: Node): number => {
    const ranges = node.map(({ low, high, to }) => ({ low, high, to: order.get(to) ?? visit(to as Node) }));
    planned.push(ranges);
    order.set(node, planned.length + 1);
    return planned.length + 1;
  };
  visit(first);
  return planned;
}

const PLAIN = plan(CHARACTERS);
/** Without what must be escaped. */
const QUOTED = plan(
  CHARACTERS.flatMap(({ low, high, to }) => without([0x0a, QUOTE, BACKSLASH], low, high).map(([from, until]) => ({ low: from, high: until, to }))),
);

/** The state before one character more, begun last. */
function oneMore(builder: Builder, marks: Marks, nodes: Plan, word: State, space: State | undefined): State {
  const states = [word, space ?? -1];
  let state = -1;
  for (const [index, ranges] of nodes.entries()) {
    if (!ranges.some(({ to }) => (states[to] as State) >= 0)) {
      states.push(-1); // only white space, and none may follow
      continue;
    }
    state = builder.begin(index === nodes.length - 1 ? marks : FREE);
    for (const { low, high, to } of ranges) if ((states[to] as State) >= 0) builder.edge(low, high, states[to] as State);
    states.push(state);
  }
  return state;
}

/** What is left of low..high; `bytes` rise. */
function without(bytes: readonly number[], low: number, high: number): [number, number][] {
  const cuts = [low - 1, ...bytes.filter((byte) => byte >= low && byte <= high), high + 1];
  return cuts.slice(1).flatMap((cut, i): [number, number][] => (cut - 1 > (cuts[i] as number) ? [[(cuts[i] as number) + 1, cut - 1]] : []));
}
