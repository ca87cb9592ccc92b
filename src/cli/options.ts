/** What several commands share: where the shipped model lies and how numbers are read. */
import { join } from 'node:path';
import { InvalidArgumentError } from 'commander';
import { packageRoot } from '../addon/load.js';

export const SHIPPED_MODEL = join(packageRoot(), 'models', 'mipha-nano');

/** A parser for commander: a whole number from `min` to `max`. */
export function wholeNumber(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (text.trim() !== '' && Number.isInteger(value) && value >= min && value <= max) return value;
    throw new InvalidArgumentError(`Expected a whole number from ${min} to ${max}.`);
  };
}
