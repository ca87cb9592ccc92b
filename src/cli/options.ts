/** What several commands share: where the shipped model lies, the version, and how numbers and assignments are read. */
import { readFileSync } from 'node:fs';
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

/** For commander: collects `--set a.b=value`. */
export function assignment(text: string, earlier: [path: string, value: string][]): [path: string, value: string][] {
  const split = text.indexOf('=');
  if (split <= 0) throw new InvalidArgumentError('Expected path=value, e.g. mqtt.url=mqtt://127.0.0.1:1883.');
  return [...earlier, [text.slice(0, split), text.slice(split + 1)]];
}

/** Of this package. */
export function version(): string {
  return (JSON.parse(readFileSync(join(packageRoot(), 'package.json'), 'utf8')) as { version: string }).version;
}
