/** Exact decimal arithmetic for the bounds of numbers: a bound of 0.1 is one tenth, not the double next to it. */

/** digits / 10^decimals. */
export interface Decimal {
  digits: bigint;
  decimals: number;
}

export interface Bound {
  value: Decimal;
  inclusive: boolean;
}

/** The shortest decimal that names this number; undefined for NaN and infinities. */
export function decimal(value: number): Decimal | undefined {
  const match = /^(-?)(\d+)(?:\.(\d+))?(?:e([+-]\d+))?$/.exec(String(value));
  if (match === null) return undefined;
  const [, sign, whole = '', fraction = '', exponent = '0'] = match;
  const decimals = fraction.length - Number(exponent);
  const digits = BigInt(`${whole}${fraction}`) * (decimals < 0 ? 10n ** BigInt(-decimals) : 1n);
  return { digits: sign === '-' ? -digits : digits, decimals: Math.max(0, decimals) };
}

/** The smallest integer n for which n / 10^j keeps all lower bounds. */
export function lowest(bounds: readonly Bound[], j: number): bigint {
  return extreme(bounds.map(({ value, inclusive }) => atLeast(value, j, inclusive)));
}

/** The largest integer n for which n / 10^j keeps all upper bounds. */
export function highest(bounds: readonly Bound[], j: number): bigint {
  return -extreme(bounds.map(({ value, inclusive }) => atLeast({ ...value, digits: -value.digits }, j, inclusive)));
}

function extreme(values: bigint[]): bigint {
  return values.sort((a, b) => Number(b > a) - Number(a > b))[0] as bigint;
}

/** The smallest n with n / 10^j >= value (> value when not inclusive). */
function atLeast({ digits, decimals }: Decimal, j: number, inclusive: boolean): bigint {
  const numerator = digits * 10n ** BigInt(j);
  const denominator = 10n ** BigInt(decimals);
  const floor = numerator / denominator - (numerator % denominator < 0n ? 1n : 0n);
  const exact = floor * denominator === numerator;
  return exact && inclusive ? floor : floor + 1n;
}
