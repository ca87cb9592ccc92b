/** Payloads. JSON in UTF-8, snake_case; readers ignore fields they do not know. */
import { randomUUID } from 'node:crypto';
import { z } from 'zod';

/** Longest `state` payload, in characters: what common home automation accepts. */
const STATE_LIMIT = 255;

export const resultSchema = z.object({
  id: z.string(), // of this message, for dropping duplicates
  v: z.literal(1), // major version of this schema
  seq: z.int().min(0), // counts the messages of one topic; a gap is a loss
  session: z.string(), // new at every start of the node; `seq` begins at 0 with it
  ts: z.iso.datetime(), // of publishing, UTC
  node: z.string(),
  camera: z.string(),
  watch: z.string(),
  value: z.union([z.boolean(), z.number(), z.string()]),
  type: z.enum(['boolean', 'enum', 'number', 'text']),
  answer: z.string(), // what the model wrote
  confidence: z.number().min(0).max(1).nullable(), // null: the engine has no figure for this kind of answer
  frame: z.object({ id: z.string(), ts: z.iso.datetime(), age_ms: z.number(), width: z.int(), height: z.int() }),
  model: z.object({ id: z.string(), rev: z.string() }),
  timing: z.object({
    queue_ms: z.number(),
    prep_ms: z.number(),
    vision_ms: z.number(),
    prefill_ms: z.number(),
    decode_ms: z.number(),
    total_ms: z.number(),
  }),
  tokens: z.object({ in: z.int(), out: z.int() }),
});
export type Result = z.infer<typeof resultSchema>;

/** Fills in what every result carries: id, version, time of publishing and the age of its frame. */
export function resultOf(
  fields: Omit<Result, 'id' | 'v' | 'ts' | 'frame'> & { frame: Omit<Result['frame'], 'ts' | 'age_ms'> & { at: Date } },
): Result {
  const { at, ...frame } = fields.frame;
  const now = new Date();
  return {
    ...fields,
    id: randomUUID(),
    v: 1,
    ts: now.toISOString(),
    frame: { ...frame, ts: at.toISOString(), age_ms: now.getTime() - at.getTime() },
  };
}

/** The bare value for simple consumers. */
export function stateOf(value: Result['value']): string {
  if (typeof value === 'boolean') return value ? 'ON' : 'OFF';
  return String(value).slice(0, STATE_LIMIT);
}
