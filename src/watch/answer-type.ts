/** An answer as configured → the zod type that the engine decodes it by. */
import { z } from 'zod';
import type { AnswerType } from '../engine/answer-type.js';
import type { AnswerSpec, Value } from './spec.js';

/** The engine builds a constraint once per zod object, so the objects lately used are kept. */
const KEPT = 64;
const kept = new Map<string, AnswerType<Value>>();

/** The same object for the same spec, as long as it is among the last ones used. */
export function answerType(spec: AnswerSpec): AnswerType<Value> {
  const key = JSON.stringify(spec);
  const type = kept.get(key) ?? build(spec);
  kept.delete(key);
  kept.set(key, type);
  for (const oldest of kept.keys()) {
    if (kept.size <= KEPT) break;
    kept.delete(oldest);
  }
  return type;
}

function build(spec: AnswerSpec): AnswerType<Value> {
  switch (spec.type) {
    case 'boolean':
      return z.boolean();
    case 'choice':
      return z.enum(spec.choices as [string, ...string[]]);
    case 'number': {
      const { min, max, decimals } = spec;
      const number = decimals === 0 ? z.int() : z.number().multipleOf(Number(`1e-${decimals}`));
      return number.min(min).max(max);
    }
    case 'text':
      return z.string().min(1).max(spec.max_chars); // an empty one would be no answer
  }
}
