/** Settings that are tried: paths and values → what is asked now, made from what was asked then. */
import type { ZodError } from 'zod';
import { optionError } from '../errors.js';
import { type WatchSpec, watchSpecSchema } from '../watch/spec.js';

/** By path, e.g. `events.gap_ms`; null or undefined takes the setting away. */
export type Assignment = readonly [path: string, value: unknown];

/** Throws ERR_OPTION for settings that do not fit those on record. */
export function changed(before: WatchSpec, assignments: readonly Assignment[]): WatchSpec {
  const wanted = assignments.reduce<object>(assigned, before);
  const parsed = watchSpecSchema.safeParse(wanted);
  if (parsed.success) return parsed.data;
  throw refusal(parsed.error, wanted);
}

function assigned(spec: object, [path, value]: Assignment): object {
  const [key = '', ...rest] = path.split('.');
  const inner = (spec as Record<string, unknown>)[key];
  const next = rest.length === 0 ? value : assigned(typeof inner === 'object' && inner !== null ? inner : {}, [rest.join('.'), value]);
  return { ...spec, [key]: next ?? undefined };
}

function refusal(error: ZodError, wanted: object): Error {
  const [issue] = error.issues;
  const path = issue?.path.map(String) ?? [];
  const received = path.reduce<unknown>((value, key) => (value as Record<string, unknown> | undefined)?.[key], wanted);
  return optionError(`watch.${path.join('.')}`, issue?.message ?? 'settings of a watch', received);
}
