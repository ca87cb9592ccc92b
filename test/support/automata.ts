/** Everything an automaton accepts without cutting it, for languages small enough to write down. */
import { type Automaton, after, walk } from '../../src/engine/automaton.js';

export function accepted(automaton: Automaton, limit = 100_000): string[] {
  const found: string[] = [];
  const visit = (state: number, bytes: number[]): void => {
    if (automaton.accepting[state] === 1) found.push(Buffer.from(bytes).toString());
    if (found.length > limit) throw new Error(`more than ${limit} texts`);
    for (let byte = 0; byte < 256; byte++) {
      const next = after(automaton, state, byte);
      if (next >= 0 && automaton.cut[next] !== 1) visit(next, [...bytes, byte]);
    }
  };
  visit(0, []);
  return found.sort();
}

/** The state after `text` from the start, or -1. */
export function stateAfter(automaton: Automaton, text: string): number {
  return walk(automaton, 0, Buffer.from(text));
}

export function accepts(automaton: Automaton, text: string | Uint8Array): boolean {
  const state = walk(automaton, 0, typeof text === 'string' ? Buffer.from(text) : text);
  return state >= 0 && automaton.accepting[state] === 1 && automaton.cut[state] !== 1;
}
