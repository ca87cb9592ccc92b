/** What several commands share: where the shipped model lies, the version, and how numbers and assignments are read. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { InvalidArgumentError, Option } from 'commander';
import { packageRoot } from '../addon/load.js';
import type { PassedOver } from '../engine/backend-choice.js';
import { BACKENDS } from '../engine/backends.js';
import { learnSecrets } from '../service/config/secrets.js';

export { shippedModel as SHIPPED_MODEL } from '../shipped.js';

/** For commander: which backend runs the model. */
export function backendOption(): Option {
  return new Option('--backend <name>', 'what runs the model').choices(BACKENDS).default('auto');
}

/** On stderr: what `auto` would have preferred, and why it is not in use. */
export function warnPassedOver(passedOver: PassedOver[]): void {
  for (const { backend, reason } of passedOver) process.stderr.write(`mipha: ${backend} is not in use: ${reason}\n`);
}

/** A parser for commander: a whole number from `min` to `max`. */
export function wholeNumber(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (text.trim() !== '' && Number.isInteger(value) && value >= min && value <= max) return value;
    throw new InvalidArgumentError(`Expected a whole number from ${min} to ${max}.`);
  };
}

const UNITS = { d: 86_400_000, h: 3_600_000, m: 60_000, s: 1000 };

/** A parser for commander: a time, or how long ago. */
export function moment(text: string): Date {
  const [, count, unit] = /^(\d+(?:\.\d+)?)([dhms])$/.exec(text) ?? [];
  const at = unit === undefined ? new Date(text) : new Date(Date.now() - Number(count) * UNITS[unit as keyof typeof UNITS]);
  if (Number.isNaN(at.getTime())) throw new InvalidArgumentError('Expected an age such as 7d, 12h or 30m, or a time such as 2026-11-28T07:00.');
  return at;
}

/** For commander: collects `--set a.b=value`. */
export function assignment(text: string, earlier: [path: string, value: string][]): [path: string, value: string][] {
  const split = text.indexOf('=');
  if (split <= 0) throw new InvalidArgumentError('Expected path=value, e.g. mqtt.url=mqtt://127.0.0.1:1883.');
  return [...earlier, [text.slice(0, split), text.slice(split + 1)]];
}

/** An argument, or what is assigned in it, that holds an address: to be hidden wherever it is quoted. */
export function learnArgument(argument: string): void {
  const [name = '', value] = argument.replace(/^--set=/, '').split(/=(.*)/s, 2);
  learnSecrets(value ?? name, value === undefined ? [] : name.split('.'));
}

/** Of this package. */
export function version(): string {
  return packageJson().version;
}

/** " at URL", where this package names an address for reports. */
export function reportAddress(): string {
  const { bugs } = packageJson();
  const url = typeof bugs === 'string' ? bugs : bugs?.url;
  return url === undefined ? '' : ` at ${url}`;
}

function packageJson(): { version: string; bugs?: string | { url?: string } } {
  return JSON.parse(readFileSync(join(packageRoot(), 'package.json'), 'utf8'));
}
