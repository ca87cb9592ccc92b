/**
 * The lines of a record: JSON objects, one a line, snake_case, each with a `kind`. `at` is for people, as the wall clock may jump; times of one session
 * are compared by `mono_ms`, milliseconds of that process's monotonic clock.
 */
import { isUtf8 } from 'node:buffer';
import { z } from 'zod';

/** Of a line with its line feed. What is longer was not written here. */
export const MOST_LINE_BYTES = 1 << 18;

/**
 * Why something was not recorded. full: no room on the disk; read_only: the disk cannot be written; slow: it did not keep up; budget: larger than the
 * limits allow; torn: it was cut off when power or process ended; locked: another process records there; error: anything else.
 */
export const LOSS_REASONS = ['full', 'read_only', 'slow', 'budget', 'torn', 'locked', 'error'] as const;
export type LossReason = (typeof LOSS_REASONS)[number];

const count = z.int().nonnegative();
const text = z.string();
const when = { at: z.iso.datetime(), mono_ms: z.number() };

const startSchema = z.object({
  kind: z.literal('start'),
  v: z.literal(1),
  ...when,
  /** Of the process. */
  session: text,
  watch: text,
  camera: text,
  /** The watch as configured. */
  spec: z.record(text, z.unknown()),
  /** Of its quiet hours, an IANA name. */
  timezone: text,
  model: z.object({ name: text, hash: text }).loose().nullable(),
  /** Said once more because a segment begins with it: nothing began. */
  again: z.literal(true).optional(),
});

const frameSchema = z.object({
  kind: z.literal('frame'),
  ...when, // of the capture
  id: text,
  /** When it was decided whether to ask. */
  decided_ms: z.number(),
  width: count, // pixels
  height: count,
  content: count,
  /** What differs from frame `against`, 0 to 1; null: not compared. */
  share: z.number().nullable(),
  against: text.nullable(),
  asked: z.boolean(),
  skipped: text.nullable(),
  /** It was looked at for the second question alone. */
  confirms: z.boolean(),
  /** The JPEG in this segment; null: there is none, or it was dropped. */
  file: text.nullable(),
  bytes: count, // of the file
});

const answerSchema = z.object({
  kind: z.literal('answer'),
  ...when,
  /** `<session>-<number>`: what labels refer to. */
  id: text,
  frame: text.nullable(),
  observed: z.json(),
  confidence: z.number().nullable(),
  text,
  value: z.json(),
  status: z.enum(['ok', 'error', 'stale']),
  error: z.json(),
});

/** To the second question, asked before an event goes out. */
const opinionSchema = z.object({
  kind: z.literal('opinion'),
  ...when,
  frame: text,
  question: text,
  /** The answer that would agree. */
  expect: z.boolean(),
  observed: z.boolean().nullable(),
  confidence: z.number().nullable(),
  text,
  /** The event might go out. */
  agrees: z.boolean(),
  error: z.json(),
});

const told = { ...when, event_type: text, value: z.json(), previous: z.json(), frame: text.nullable(), answer: text.nullable() };
const eventSchema = z.object({ kind: z.literal('event'), ...told });
const suppressedSchema = z.object({ kind: z.literal('suppressed'), ...told, reason: text });

/** Another watch, which this one compares with (`compare.event`), told a new value. */
const markSchema = z.object({
  kind: z.literal('mark'),
  ...when,
  /** That told it. */
  watch: text,
  /** Its answer, and the frame of that. */
  answer: text,
  frame: text,
  frame_ms: z.number(), // capture, as mono_ms
});

const lostSchema = z.object({
  kind: z.literal('lost'),
  ...when,
  /** Of the first of them. */
  since_ms: z.number(),
  /** Pictures that were handed over and are not there. */
  frames: count,
  /** Lines that are not there. */
  lines: count,
  reason: z.enum(LOSS_REASONS),
});

export const lineSchema = z.discriminatedUnion('kind', [
  startSchema.loose(),
  frameSchema.loose(),
  answerSchema.loose(),
  opinionSchema.loose(),
  eventSchema.loose(),
  suppressedSchema.loose(),
  markSchema.loose(),
  lostSchema.loose(),
]);

/** As read. Further keys are kept. */
export type RecordLine = StartLine | FrameLine | AnswerLine | OpinionLine | EventLine | SuppressedLine | MarkLine | LostLine;
export type StartLine = z.infer<typeof startSchema>;
export type FrameLine = z.infer<typeof frameSchema>;
export type AnswerLine = z.infer<typeof answerSchema>;
export type OpinionLine = z.infer<typeof opinionSchema>;
export type EventLine = z.infer<typeof eventSchema>;
export type SuppressedLine = z.infer<typeof suppressedSchema>;
export type MarkLine = z.infer<typeof markSchema>;
export type LostLine = z.infer<typeof lostSchema>;

/** What is true of everything recorded until the next one. The store adds `kind`, `v`, `session`, `watch` and the times. */
export type Start = Pick<StartLine, 'camera' | 'spec' | 'timezone' | 'model'>;

/** A line out of its bytes, without the line feed; or what is wrong with it, in words. */
export function parseLine(bytes: Buffer): RecordLine | string {
  if (!isUtf8(bytes)) return 'no UTF-8';
  let value: unknown;
  try {
    value = JSON.parse(bytes.toString());
  } catch {
    return 'no JSON';
  }
  const parsed = lineSchema.safeParse(value);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  return issue?.path.length ? `${issue.path.join('.')}: ${issue.message}` : 'no line of a record';
}
