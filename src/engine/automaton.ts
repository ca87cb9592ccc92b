/** The deterministic byte automaton that an answer follows, and what its bytes say. */
import type { NativeAutomaton } from '../addon/addon.js';

export interface Automaton extends NativeAutomaton {
  /** The most tokens that an answer can have: bytes of the longest text, and one token for each place where it can be cut. */
  longest: number;
  /** [states] 1: beyond the limit of a text. The bytes that lead here are no part of the answer; they show that the model had more to say. */
  cut: Uint8Array;
}

export function after(automaton: NativeAutomaton, state: number, byte: number): number {
  const columns = automaton.next.length / automaton.states;
  return automaton.next[state * columns + (automaton.column[byte] as number)] as number;
}

/** The state after `bytes` from `state`, or -1. */
export function walk(automaton: NativeAutomaton, state: number, bytes: Uint8Array): number {
  for (const byte of bytes) {
    if (state < 0) return -1;
    state = after(automaton, state, byte);
  }
  return state;
}

/** What is left of `bytes`, from the start, without those beyond a limit; `cut`: there were some. */
export function kept(automaton: Automaton, bytes: Uint8Array): { bytes: Uint8Array; cut: boolean } {
  let state = 0;
  const inside = bytes.filter((byte) => {
    state = after(automaton, state, byte);
    return automaton.cut[state] !== 1;
  });
  return { bytes: inside, cut: inside.length < bytes.length };
}

/** The shortest bytes that lead from `state` to an accepting one. */
export function completion(automaton: NativeAutomaton, state: number): Uint8Array {
  const seen = new Set([state]);
  let frontier: { state: number; bytes: number[] }[] = [{ state, bytes: [] }];
  while (frontier.length > 0) {
    const next: typeof frontier = [];
    for (const at of frontier) {
      if (automaton.accepting[at.state] === 1) return Uint8Array.from(at.bytes);
      for (let byte = 0; byte < 256; byte++) {
        const target = after(automaton, at.state, byte);
        if (target < 0 || seen.has(target)) continue;
        seen.add(target);
        next.push({ state: target, bytes: [...at.bytes, byte] });
      }
    }
    frontier = next;
  }
  return new Uint8Array(0);
}
