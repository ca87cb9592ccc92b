/**
 * The schemas of what is asked: answer types, crops and watches. The configuration file, `watch/put` and `query` share them, so the keys are
 * snake_case like all JSON and YAML of mipha-edge, and units stand in the names.
 */
import { z } from 'zod';

/** Names that become parts of MQTT topics. */
export const idSchema = z.string().regex(/^[a-z0-9-]{1,64}$/, 'an id of lower-case letters, digits and hyphens, at most 64');

function holdsNumber(min: number, max: number, decimals: number): boolean {
  const units = 10 ** decimals;
  const slack = 1e-9; // binary fractions: 0.1 * 10 ** 1 may miss 1
  return Math.ceil(min * units - slack) <= Math.floor(max * units + slack) && Math.max(-min, max) * units < 1e15;
}

export const answerSpecSchema = z
  .discriminatedUnion('type', [
    z.strictObject({ type: z.literal('boolean') }),
    z.strictObject({
      type: z.literal('choice'),
      choices: z
        .array(z.string().min(1).max(80))
        .min(2)
        .max(64)
        .refine((list) => new Set(list).size === list.length, 'choices that all differ')
        .refine((list) => list.every((choice) => choice === choice.trim()), 'choices without blanks at their ends'),
    }),
    z
      .strictObject({
        type: z.literal('number'),
        min: z.number(),
        max: z.number(),
        decimals: z.int().min(0).max(6).default(0).describe('digits after the point; 0 asks for a whole number'),
      })
      .refine(({ min, max }) => min <= max, { message: 'min at most max', path: ['max'] })
      .refine(({ min, max, decimals }) => min > max || holdsNumber(min, max, decimals), {
        message: 'a number between min and max with that many decimals, and at most 15 digits',
        path: ['max'],
      }),
    z.strictObject({ type: z.literal('text'), max_chars: z.int().min(1).max(1000).default(255) }),
  ])
  .describe('what kind of answer is wanted; decoding is constrained to it');
export type AnswerSpec = z.infer<typeof answerSpecSchema>;
export type AnswerType = AnswerSpec['type'];
/** A typed answer: boolean, number, or the string of a choice or text. */
export const valueSchema = z.union([z.boolean(), z.number(), z.string()]);
export type Value = z.infer<typeof valueSchema>;

const fraction = z.number().min(0).max(1);
export const cropSchema = z
  .strictObject({ x: fraction.default(0), y: fraction.default(0), width: fraction.default(1), height: fraction.default(1) })
  .refine(({ x, width }) => width > 0 && x + width <= 1 + 1e-9, { message: 'a width above 0 with x + width at most 1', path: ['width'] })
  .refine(({ y, height }) => height > 0 && y + height <= 1 + 1e-9, { message: 'a height above 0 with y + height at most 1', path: ['height'] })
  .describe('part of the picture as fractions of its sides, origin top left');

export const QUESTION_CHARS = 1000;
export const questionSchema = z
  .string()
  .max(QUESTION_CHARS)
  .refine((text) => text.trim() !== '', 'a question in words');

export const watchSpecSchema = z
  .strictObject({
    camera: idSchema,
    question: questionSchema,
    answer: answerSpecSchema.default({ type: 'boolean' }),
    crop: cropSchema.optional(),
    enabled: z.boolean().default(true),
    interval_ms: z.int().min(0).max(86_400_000).default(1000).describe('least time between two inferences'),
    reask_ms: z.int().min(100).max(86_400_000).default(10_000).describe('ask at least this often, though the picture seems unchanged'),
    ttl_ms: z.int().min(100).max(604_800_000).default(30_000).describe('how long after its capture an answer may be relied upon'),
    max_age_ms: z.int().min(1).max(3_600_000).default(2000).describe('older frames are not asked about'),
    change_percent: z
      .number()
      .min(0)
      .max(100)
      .default(0.5)
      .describe('share of the crop that must look different before the question is asked again; 0 asks about every new picture'),
    cooldown_ms: z.int().min(0).max(86_400_000).default(0).describe('after the value has changed, do not ask for this long'),
    priority: z.int().min(0).max(9).default(0).describe('higher goes first'),
    agreement: z
      .strictObject({ n: z.int().min(1).max(32).default(1), of: z.int().min(1).max(32).default(1) })
      .refine(({ n, of }) => n <= of, { message: 'n at most of', path: ['n'] })
      .default({ n: 1, of: 1 })
      .describe('the value changes when n of the last answers say so'),
    min_confidence: fraction.default(0).describe('a new value counts only with at least this confidence'),
    keep_confidence: fraction.optional().describe('the present value counts with at least this confidence; default: min_confidence'),
  })
  .refine(({ reask_ms, interval_ms }) => reask_ms >= interval_ms, { message: 'reask_ms at least interval_ms', path: ['reask_ms'] })
  .refine(({ ttl_ms, reask_ms }) => ttl_ms > reask_ms, {
    message: 'ttl_ms above reask_ms, or answers about an unchanged picture expire',
    path: ['ttl_ms'],
  })
  .refine(({ ttl_ms, cooldown_ms }) => ttl_ms > cooldown_ms, {
    message: 'ttl_ms above cooldown_ms, or answers expire while nothing is asked',
    path: ['ttl_ms'],
  })
  .refine(({ keep_confidence, min_confidence }) => keep_confidence === undefined || keep_confidence <= min_confidence, {
    message: 'keep_confidence at most min_confidence',
    path: ['keep_confidence'],
  })
  .describe('a standing question about a camera');
export type WatchSpec = z.infer<typeof watchSpecSchema>;
