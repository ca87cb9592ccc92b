/**
 * Model-based tests: random sequences of operations are run against the real thing and a simple model of it. One that fails is cut down to the
 * operations that matter and printed with its seed; MIPHA_SEED=<seed> runs that one alone.
 */

/** Uniform in [0, 1), the same for the same seed. */
export function random(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

export interface Dice {
  /** 0 to n - 1. */
  below(n: number): number;
  oneOf<T>(values: readonly T[]): T;
  /** A key, as often as its weight says. */
  weighted<K extends string>(weights: Record<K, number>): K;
}

export function dice(seed: number): Dice {
  const next = random(seed);
  const below = (n: number) => Math.floor(next() * n);
  return {
    below,
    oneOf: (values) => values[below(values.length)] as never,
    weighted(weights) {
      const entries = Object.entries(weights) as [never, number][];
      let left = next() * entries.reduce((sum, [, weight]) => sum + weight, 0);
      for (const [key, weight] of entries) {
        left -= weight;
        if (left < 0) return key;
      }
      return entries[0]?.[0] as never;
    },
  };
}

export interface Trial<Op> {
  /** Operations must make sense, if only as nothing, wherever they stand: others may be left out before them. */
  make(dice: Dice): Op[];
  /** Throws when an invariant does not hold. */
  run(operations: readonly Op[], seed: number): void | Promise<void>;
}

/** Throws for the first sequence that fails, with what it takes to understand it. */
export async function runSequences<Op>(count: number, { make, run }: Trial<Op>): Promise<void> {
  const { MIPHA_SEED } = process.env;
  const seeds = MIPHA_SEED === undefined ? Array.from({ length: count }, (_, i) => i + 1) : [Number(MIPHA_SEED)];
  const failureOf = async (operations: readonly Op[], seed: number): Promise<unknown> => {
    try {
      await run(operations, seed);
      return undefined;
    } catch (error) {
      return error ?? new Error('thrown without a reason');
    }
  };
  for (const seed of seeds) {
    let operations = make(dice(seed));
    let failure = await failureOf(operations, seed);
    if (failure === undefined) continue;
    const { message } = failure as Error;
    const again = (await failureOf(operations, seed)) === undefined ? ' (once, and not when run again)' : '';
    for (let size = Math.ceil(operations.length / 2); size >= 1; size = Math.floor(size / 2)) {
      for (let at = 0; at + size <= operations.length; ) {
        const fewer = [...operations.slice(0, at), ...operations.slice(at + size)];
        const still = await failureOf(fewer, seed);
        if (still === undefined) at += size;
        else [operations, failure] = [fewer, still];
      }
    }
    const steps = operations.map((operation, i) => `${i + 1}. ${JSON.stringify(operation)}`).join('\n');
    throw new Error(`${message}${again}; seed ${seed}, ${operations.length} operations:\n${steps}\n${(failure as Error)?.stack ?? failure}`);
  }
}
