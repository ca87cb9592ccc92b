/** The `--as` option: what kind of answer is wanted, in one word of a shell. */
import { z } from 'zod';
import { optionError } from '../errors.js';

export const AS_HELP = 'boolean | int:0..9 | number:0..1 | choice:red,green,blue | text:80';

const RANGE = /^(-?\d+(?:\.\d+)?)\.\.(-?\d+(?:\.\d+)?)$/;

/** `boolean`, `int:MIN..MAX`, `number:MIN..MAX`, `choice:A,B,C` or `text:LENGTH` → a schema for ask(). Throws ERR_OPTION. */
export function parseAs(spec: string): z.ZodType<boolean | number | string> {
  const [kind, rest = ''] = spec.split(/:(.*)/s, 2);
  if (kind === 'boolean' && rest === '') return z.boolean();
  if (kind === 'int' || kind === 'number') {
    const [min, max] = (RANGE.exec(rest) ?? []).slice(1).map(Number);
    const whole = kind === 'number' || (Number.isInteger(min) && Number.isInteger(max));
    if (min !== undefined && max !== undefined && min <= max && whole) return (kind === 'int' ? z.int() : z.number()).min(min).max(max);
  }
  if (kind === 'choice') {
    const choices = rest.split(',').map((choice) => choice.trim());
    const [first, ...others] = choices;
    if (first !== undefined && choices.every((choice) => choice !== '') && new Set(choices).size === choices.length)
      return z.enum([first, ...others]);
  }
  if (kind === 'text' && /^[1-9]\d*$/.test(rest)) return z.string().max(Number(rest));
  throw optionError('--as', AS_HELP, spec);
}
