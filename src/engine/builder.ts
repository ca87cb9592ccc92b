/**
 * Automata built from their ends: a part is given the state that follows it and returns the state before it, so what is deterministic stays so,
 * and tails that are alike are one from the start. There are no cycles but from a state to itself.
 */
import { MiphaError } from '../errors.js';
import type { Automaton } from './automaton.js';

/** Room for the longest text, and for 64 choices of 80 letters of four bytes. */
export const MAX_STATES = 32_768;

export type State = number;

export interface Edge {
  low: number; // bytes low..high, both included
  high: number;
  to: State;
}

/** What the native side must know of a state. */
export interface Marks {
  /** -1: the values are too many to tell apart. 0: nothing was narrowed. Else an id of what can still be reached, see Builder.group(). */
  group: number;
  /** One value is left: only fixed text follows. */
  decided: boolean;
  accepting?: boolean;
  cut?: boolean;
  /** The group of the one value that is chosen when a choice ends here; 0: none ends here. */
  ends?: number;
}

export class Builder {
  /** The end of the answer. */
  readonly end: State;
  private readonly marks: Required<Marks>[] = [];
  private readonly first: number[] = [0]; // [states + 1] into the edges
  private readonly lows: number[] = [];
  private readonly highs: number[] = [];
  private readonly targets: State[] = [];
  private readonly longest: number[] = [];
  private readonly cuts = new Uint8Array(257); // bytes where an edge begins, or behind which one ends
  /** States with one edge of one byte, by target and byte: the insides of words. */
  private readonly steps = new Map<number, State>();
  private readonly alike = new Map<string, State>();
  private readonly groups = new Map<string, number>();
  private choices = 0;

  constructor() {
    this.end = this.fresh({ group: 0, decided: true, accepting: true }, []);
  }

  /** Begins a state: edge() gives it its edges, until the next begins. Throws ERR_OPTION when there are too many. */
  begin({ group, decided, accepting = false, cut = false, ends = 0 }: Marks): State {
    const state = this.marks.push({ group, decided, accepting, cut, ends }) - 1;
    if (state >= MAX_STATES) throw tooLarge();
    this.first.push(this.lows.length);
    this.longest.push(0);
    return state;
  }

  /** `to` is an earlier state, or the one that was begun. */
  edge(low: number, high: number, to: State): void {
    const state = this.marks.length - 1;
    this.lows.push(low);
    this.highs.push(high);
    this.targets.push(to);
    this.first[state + 1] = this.lows.length;
    this.cuts[low] = 1;
    this.cuts[high + 1] = 1;
    if (to !== state) this.longest[state] = Math.max(this.longest[state] as number, 1 + (this.longest[to] as number));
  }

  /** How many there are: the next to begin. */
  get size(): number {
    return this.marks.length;
  }

  /**
   * The states since `from` once more, on top of themselves: what led to the one before `from` leads to the last of them, and what led further back still
   * does. Returns the last. Throws ERR_OPTION when there are too many.
   */
  repeat(from: State): State {
    const { marks, first, lows, highs, targets, longest } = this;
    const [end, shift] = [marks.length, marks.length - from];
    if (end + shift > MAX_STATES) throw tooLarge();
    const longer = (longest[end - 1] as number) - (longest[from - 1] as number);
    for (let state = from; state < end; state++) {
      marks.push(marks[state] as Required<Marks>);
      longest.push((longest[state] as number) + longer);
      for (let i = first[state] as number; i < (first[state + 1] as number); i++) {
        const to = targets[i] as State;
        lows.push(lows[i] as number);
        highs.push(highs[i] as number);
        targets.push(to >= from - 1 ? to + shift : to);
      }
      first.push(lows.length);
    }
    return marks.length - 1;
  }

  /** `loops`: bytes that lead back to the state. */
  fresh(marks: Marks, edges: readonly Edge[], loops: readonly (readonly [number, number])[] = []): State {
    const state = this.begin(marks);
    for (const { low, high, to } of edges) this.edge(low, high, to);
    for (const [low, high] of loops) this.edge(low, high, state);
    return state;
  }

  /** The same state for the same marks and edges. */
  state(marks: Marks, edges: readonly Edge[]): State {
    const { group, decided, accepting = false, cut = false, ends = 0 } = marks;
    const [only] = edges;
    const isStep = edges.length === 1 && only !== undefined && only.low === only.high && !accepting && !cut && ends === 0;
    const step = isStep ? only.to * 256 + only.low : -1;
    const known = isStep ? this.steps.get(step) : undefined;
    if (known !== undefined && this.marks[known]?.group === group && this.marks[known]?.decided === decided) return known;
    const key = isStep ? '' : `${group} ${decided} ${accepting} ${cut} ${ends} ${edges.map(({ low, high, to }) => `${low}-${high}:${to}`).join()}`;
    const same = isStep ? undefined : this.alike.get(key);
    if (same !== undefined) return same;
    const state = this.fresh(marks, edges);
    if (isStep) this.steps.set(step, state);
    else this.alike.set(key, state);
    return state;
  }

  marksOf(state: State): Required<Marks> {
    return this.marks[state] as Required<Marks>;
  }

  edges(state: State): Edge[] {
    const edges: Edge[] = [];
    for (let i = this.first[state] as number; i < (this.first[state + 1] as number); i++) {
      edges.push({ low: this.lows[i] as number, high: this.highs[i] as number, to: this.targets[i] as State });
    }
    return edges;
  }

  /** A new choice, for group(). */
  choice(): number {
    return this.choices++;
  }

  /** The id of the values, by index and rising, that can still be reached in a choice. */
  group(choice: number, reach: readonly number[]): number {
    const key = `${choice}: ${reach.join()}`;
    const id = this.groups.get(key) ?? this.groups.size + 1;
    this.groups.set(key, id);
    return id;
  }

  /** `text` and then `next`; `group` is that of the states before its last byte. */
  literal(text: string, next: State, group = 0): State {
    const bytes = new TextEncoder().encode(text);
    return bytes.reduceRight((to, byte) => this.state({ group, decided: this.marksOf(next).decided }, [{ low: byte, high: byte, to }]), next);
  }

  /** State 0 is `start`, and those that were begun before it follow. */
  finish(start: State): Automaton {
    const { first, lows, highs, targets, marks } = this;
    const states = start + 1;
    const column = new Uint8Array(256);
    for (let byte = 1; byte < 256; byte++) column[byte] = (column[byte - 1] as number) + (this.cuts[byte] as number);
    const columns = (column[255] as number) + 1;
    const next = new Int32Array(states * columns).fill(-1);
    const automaton: Automaton = {
      states,
      column,
      next,
      accepting: new Uint8Array(states),
      group: new Int32Array(states),
      ends: new Int32Array(states),
      decided: new Uint8Array(states),
      cut: new Uint8Array(states),
      longest: this.longest[start] as number,
    };
    for (let state = 0; state < states; state++) {
      const row = start - state;
      for (let i = first[state] as number; i < (first[state + 1] as number); i++) {
        const last = row * columns + (column[highs[i] as number] as number);
        const to = start - (targets[i] as State);
        for (let at = row * columns + (column[lows[i] as number] as number); at <= last; at++) next[at] = to;
      }
      const mark = marks[state] as Required<Marks>;
      automaton.accepting[row] = Number(mark.accepting);
      automaton.group[row] = mark.group;
      automaton.ends[row] = mark.ends;
      automaton.decided[row] = Number(mark.decided);
      automaton.cut[row] = Number(mark.cut);
    }
    return automaton;
  }
}

function tooLarge(): MiphaError {
  const expected = `a schema of at most ${MAX_STATES} automaton states`;
  return new MiphaError('ERR_OPTION', `Option as: expected ${expected}; shorten its strings, lists and choices`, {
    details: { option: 'as', expected },
  });
}
