/** Decimal numbers between two bounds, digit by digit. */
import type { Builder, Edge, State } from './builder.js';

/** Written numbers of one length between `low` and `high`, which have their points at the same place. */
interface Span {
  low: string;
  high: string;
}

/** A span after some digits; while those are the first digits of a bound, that bound still counts. */
interface Place {
  span: Span;
  at: number;
  atLow: boolean;
  atHigh: boolean;
}

/**
 * The state before a number: for each j, exactly j digits after the point and low[j] <= digits read as an integer <= high[j]. No leading zeros, no
 * plus, no "-0".
 */
export function numbers(builder: Builder, low: readonly bigint[], high: readonly bigint[], next: State): State {
  const positive: Span[] = [];
  const negative: Span[] = [];
  for (const [decimals, least] of low.entries()) {
    const most = high[decimals] as bigint;
    if (most >= 0n) positive.push(...spans(least > 0n ? least : 0n, most, decimals));
    if (least < 0n) negative.push(...spans(most < 0n ? -most : 1n, -least, decimals));
  }
  const begin = (list: Span[]): Place[] => list.map((span) => ({ span, at: 0, atLow: true, atHigh: true }));
  const ids = new Map([...positive, ...negative].map((span, index) => [span, index]));
  const known = new Map<string, State>();

  const place = (places: Place[], minus: Place[]): State => {
    const key = places.map(({ span, at, atLow, atHigh }) => `${ids.get(span)}/${at}/${atLow}/${atHigh}`).join();
    const seen = known.get(key);
    if (seen !== undefined && minus.length === 0) return seen;
    const edges: Edge[] = [];
    if (minus.length > 0) edges.push({ low: 0x2d, high: 0x2d, to: place(minus, []) });
    for (const char of '.0123456789') {
      const after = places.flatMap((at) => step(at, char));
      const byte = char.charCodeAt(0);
      if (after.length > 0) edges.push({ low: byte, high: byte, to: place(after, []) });
    }
    const mayEnd = places.some(({ span, at }) => at === span.low.length);
    if (edges.length === 0) return next;
    if (mayEnd) edges.push(...builder.edges(next));
    const state = builder.state({ group: -1, decided: false, accepting: mayEnd && builder.marksOf(next).accepting }, edges);
    if (minus.length === 0) known.set(key, state);
    return state;
  };
  return place(begin(positive), begin(negative));
}

/** Integers low..high (not negative), written with a point before the last `decimals` digits and at least one digit before it. */
function spans(low: bigint, high: bigint, decimals: number): Span[] {
  const result: Span[] = [];
  for (let width = decimals + 1; width <= Math.max(decimals + 1, high.toString().length); width++) {
    const shortest = width === decimals + 1 ? 0n : 10n ** BigInt(width - 1);
    const longest = 10n ** BigInt(width) - 1n;
    const least = low > shortest ? low : shortest;
    const most = high < longest ? high : longest;
    const written = (units: bigint) => {
      const digits = units.toString().padStart(width, '0');
      return decimals === 0 ? digits : `${digits.slice(0, width - decimals)}.${digits.slice(width - decimals)}`;
    };
    if (least <= most) result.push({ low: written(least), high: written(most) });
  }
  return result;
}

function step({ span, at, atLow, atHigh }: Place, char: string): Place[] {
  const [low, high] = [span.low[at], span.high[at]];
  if (low === undefined || high === undefined || (char === '.') !== (low === '.')) return [];
  if ((atLow && char < low) || (atHigh && char > high)) return [];
  return [{ span, at: at + 1, atLow: atLow && char === low, atHigh: atHigh && char === high }];
}
