/**
 * The schemas of what is asked: answer types, crops and watches. The configuration file, `watch/put` and `query` share them, so the keys are
 * snake_case like all JSON and YAML of mipha-edge, and units stand in the names.
 */
import { z } from 'zod';
import { isSpread, LEAST_POINTS, MOST_POINTS, MOST_POLYGONS, POLYGON_WORDS } from '../camera/polygon.js';
import { decimal, highest, lowest } from '../decimal.js';
import { isWellFormed, likeness } from '../spelling.js';
import { leavesAnything, type Part } from './part.js';

/** Names that become parts of MQTT topics. */
export const idSchema = z.string().regex(/^[a-z0-9-]{1,64}$/, 'an id of lower-case letters, digits and hyphens, at most 64');

/** Numbers of so many digits are told apart by a double, whatever their decimals. */
const MOST_UNITS = 10n ** 15n - 1n;

/** Of settings that must fit others. What is not written down has such a value too, and nobody would look for it. */
const DEFAULTS: Readonly<Record<string, number>> = {
  interval_ms: 1000,
  reask_ms: 10_000,
  'duty.interval_ms': 10_000,
  ttl_ms: 30_000,
  cooldown_ms: 0,
  min_confidence: 0,
  decimals: 0,
  n: 1,
  of: 1,
  x: 0,
  y: 0,
  width: 1,
  height: 1,
};
const byDefault = (key: keyof typeof DEFAULTS) => DEFAULTS[key] as number;

/** What to say, at `path`, when settings do not fit together: the rule, and the value of each. */
function together(path: string, rule: string, keys: readonly string[]) {
  const valueAt = (input: unknown, key: string) => key.split('.').reduce((value, name) => (value as Record<string, unknown>)[name], input);
  const stated = (input: unknown, key: string) => {
    const value = valueAt(input, key);
    return `${key} is ${value}${value === DEFAULTS[key] ? ' (the default)' : ''}`;
  };
  return {
    path: path.split('.'),
    error: ({ input }: { input?: unknown }) => `${rule}; ${keys.map((key) => stated(input, key)).join(', ')}`,
  };
}

function holdsNumber(min: number, max: number, decimals: number): boolean {
  const [low, high] = [decimal(min), decimal(max)];
  if (low === undefined || high === undefined) return false;
  const least = lowest([{ value: low, inclusive: true }], decimals);
  const most = highest([{ value: high, inclusive: true }], decimals);
  return least <= most && least >= -MOST_UNITS && most <= MOST_UNITS;
}

/** Every choice can be written, and no two are written alike. */
const choicesSchema = z
  .array(z.string().min(1).max(80))
  .min(2)
  .max(64)
  .superRefine((choices, context) => {
    const known = new Map<string, string>();
    for (const [index, choice] of choices.entries()) {
      const key = likeness(choice);
      const alike = known.get(key);
      const refuse = (message: string) => context.addIssue({ code: 'custom', message, path: [index] });
      if (!isWellFormed(choice)) refuse('whole characters, no half of a surrogate pair');
      else if (key === '') refuse('a choice in words');
      else if (choice !== choice.trim()) refuse('choices without blanks at their ends');
      else if (alike !== undefined) refuse(`choices that are all written differently, not ${JSON.stringify(alike)} and ${JSON.stringify(choice)}`);
      known.set(key, choice);
    }
  })
  .describe('at most 80 characters each, none a blank at its ends; no two may differ only in how Unicode composes them');

export const answerSpecSchema = z
  .discriminatedUnion('type', [
    z.strictObject({ type: z.literal('boolean') }),
    z.strictObject({
      type: z.literal('choice'),
      choices: choicesSchema,
    }),
    z
      .strictObject({
        type: z.literal('number'),
        min: z.number(),
        max: z.number(),
        decimals: z.int().min(0).max(6).default(byDefault('decimals')).describe('digits after the point; 0 asks for a whole number'),
      })
      .refine(({ min, max }) => min <= max, together('max', 'min at most max', ['min', 'max']))
      .refine(
        ({ min, max, decimals }) => min > max || holdsNumber(min, max, decimals),
        together('max', 'a number between min and max with that many decimals, and at most 15 digits', ['min', 'max', 'decimals']),
      ),
    z.strictObject({
      type: z.literal('text'),
      max_chars: z.int().min(1).max(1000).default(255).describe('characters (code points); what is longer is cut there'),
    }),
  ])
  .describe('what kind of answer is wanted; decoding is constrained to it');
export type AnswerSpec = z.infer<typeof answerSpecSchema>;
export type AnswerType = AnswerSpec['type'];
/** A typed answer: boolean, number, or the string of a choice or text. */
export const valueSchema = z.union([z.boolean(), z.number(), z.string()]);
export type Value = z.infer<typeof valueSchema>;

const fraction = z.number().min(0).max(1);
export const cropSchema = z
  .strictObject({
    x: fraction.default(byDefault('x')),
    y: fraction.default(byDefault('y')),
    width: fraction.default(byDefault('width')),
    height: fraction.default(byDefault('height')),
  })
  .refine(({ x, width }) => width > 0 && x + width <= 1 + 1e-9, together('width', 'a width above 0 with x + width at most 1', ['x', 'width']))
  .refine(({ y, height }) => height > 0 && y + height <= 1 + 1e-9, together('height', 'a height above 0 with y + height at most 1', ['y', 'height']))
  .describe('part of the picture as fractions of its sides, origin top left');

export const polygonsSchema = z
  .array(
    z
      .array(z.array(fraction).length(2))
      .min(LEAST_POINTS)
      .max(MOST_POINTS)
      .refine((points) => points.length < LEAST_POINTS || isSpread(points), POLYGON_WORDS),
  )
  .max(MOST_POLYGONS);

/** Zones are looked at in a picture of this size: what is thinner than a pixel of it is nothing. */
const ZONE_SIZE = { width: 512, height: 512 };

export const pictureSpecSchema = z
  .strictObject({
    part: z.enum(['crop', 'whole']).default('crop').describe('the crop of the watch, or all that the camera sees'),
    max_side_px: z.int().min(16).max(4096).default(1280).describe('scaled down to this longest side'),
    quality: z.int().min(1).max(100).default(80).describe('of the JPEG'),
    max_bytes: z.int().min(2000).max(1_000_000).default(250_000).describe('a larger file is made smaller once; still too large, it is not published'),
  })
  .describe('the picture that goes out before each event, if `images` of the camera is on');
export type PictureSpec = z.infer<typeof pictureSpecSchema>;

export const QUESTION_CHARS = 1000;
export const questionSchema = z
  .string()
  .max(QUESTION_CHARS)
  .refine((text) => text.trim() !== '', 'a question in words')
  .refine(isWellFormed, 'whole characters, no half of a surrogate pair');

const agreementSchema = z
  .strictObject({ n: z.int().min(1).max(32).default(byDefault('n')), of: z.int().min(1).max(32).default(byDefault('of')) })
  .refine(({ n, of }) => n <= of, together('n', 'n at most of', ['n', 'of']));

/** Of a boolean, where false is harder or easier to believe than true. */
const offSchema = z
  .strictObject({
    agreement: agreementSchema.optional().describe('default: that of true'),
    min_confidence: fraction.optional().describe('default: that of true'),
    keep_confidence: fraction.optional().describe('default: min_confidence here, or where that is missing too, what holds for true'),
  })
  .describe('of a boolean: what the value false needs instead');

export const WEEKDAYS = ['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun'] as const;
const MOST_PERIODS = 16;
const TIME = '([01][0-9]|2[0-3]):[0-5][0-9]';

const quietPeriodSchema = z
  .strictObject({
    from: z.string().regex(new RegExp(`^${TIME}$`), 'a time from 00:00 to 23:59'),
    to: z.string().regex(new RegExp(`^(${TIME}|24:00)$`), 'a time from 00:00 to 24:00'),
    days: z
      .array(z.enum(WEEKDAYS))
      .min(1)
      .max(WEEKDAYS.length)
      .refine((days) => new Set(days).size === days.length, 'each day once')
      .optional(),
  })
  .refine(({ from, to }) => from !== to, together('to', 'to other than from; a whole day is 00:00 to 24:00', ['from', 'to']));
export type QuietPeriod = z.infer<typeof quietPeriodSchema>;

const eventsSchema = z
  .strictObject({
    for_ms: z.int().min(0).max(86_400_000).default(0).describe('a value is told when it has stood for so long'),
    gap_ms: z.int().min(0).max(86_400_000).default(0).describe('least time between two events about the value, and between two errors'),
    remind_ms: z
      .int()
      .min(1000)
      .max(604_800_000)
      .optional()
      .describe('so long after a value was told, and while it stays, one reminder; of a boolean only of true; default: none'),
    quiet: z
      .array(quietPeriodSchema)
      .max(MOST_PERIODS)
      .default([])
      .describe('no events from one local time to another: {from: "22:00", to: "06:30", days: [fri, sat]}; days are those on which it begins'),
    confirm: z
      .strictObject({
        question: questionSchema.describe('a second question, yes or no'),
        expect: z.boolean().default(true).describe('the answer that agrees'),
        min_confidence: fraction.default(0).describe('the answer counts only with at least this confidence'),
        after_ms: z.int().min(0).max(600_000).default(0).describe('about a frame taken so much later; 0: the same picture, which costs little'),
      })
      .optional()
      .describe('a new value, of a boolean only true, is told when a second question agrees'),
  })
  .describe('which changes of the value are told as events; the value itself is always published');
export type EventRules = z.infer<typeof eventsSchema>;

const compareSchema = z
  .strictObject({
    ago_ms: z
      .int()
      .min(1000)
      .max(604_800_000)
      .optional()
      .describe('what was believed so long ago; known to 1/254 of that, and not before so much time has passed'),
    event: idSchema.optional().describe('or what was seen when this watch, which may be the same, last told a new value'),
  })
  .refine((compare) => (compare.ago_ms === undefined) !== (compare.event === undefined), {
    error: ({ input }) => `ago_ms or event, ${Object.keys(input as object).length === 0 ? 'one of them' : 'not both'}`,
  })
  .describe('tell as events what differs from then, not from what was last told');

const dutySchema = z
  .strictObject({
    above_c: z.number().min(0).max(150).describe('degrees Celsius of the hottest zone; 3 below it the watch is asked as usual again'),
    interval_ms: z.int().min(0).max(86_400_000).default(byDefault('duty.interval_ms')).describe('least time between two inferences meanwhile'),
  })
  .describe('ask less often while the board is hot, before it slows itself down');

interface Confidences {
  min_confidence: number;
  keep_confidence?: number | undefined;
  off?: z.infer<typeof offSchema> | undefined;
}

/** What is needed for `value` to become the agreed value, and to stay it. */
export function confidencesOf(
  { min_confidence, keep_confidence, off }: Confidences,
  value: Value,
): { minConfidence: number; keepConfidence: number } {
  const keep = keep_confidence ?? min_confidence;
  if (value !== false || off === undefined) return { minConfidence: min_confidence, keepConfidence: keep };
  return { minConfidence: off.min_confidence ?? min_confidence, keepConfidence: off.keep_confidence ?? off.min_confidence ?? keep };
}

/** Of a watch with a zone the zone is to blame, of others what they ignore. */
function leavesSomething(blamed: 'zone' | 'ignore') {
  return (part: Part) => (part.zone === undefined) === (blamed === 'zone') || part.zone?.length === 0 || leavesAnything(part, ZONE_SIZE);
}

const nothingLeft = (path: string, error: string) => ({ path: [path], error });

export const watchSpecSchema = z
  .strictObject({
    camera: idSchema,
    question: questionSchema,
    answer: answerSpecSchema.default({ type: 'boolean' }),
    crop: cropSchema.optional(),
    zone: polygonsSchema
      .min(1)
      .optional()
      .describe('look only here: polygons of points [x, y], fractions of the whole picture whatever the crop; all else is gray to the model'),
    ignore: polygonsSchema.optional().describe('do not look here: polygons likewise'),
    picture: pictureSpecSchema.prefault({}),
    record: z.boolean().default(false).describe('keep what it sees, answers and tells, see `recorder`; needs `images` of the camera'),
    enabled: z.boolean().default(true),
    interval_ms: z.int().min(0).max(86_400_000).default(byDefault('interval_ms')).describe('least time between two inferences'),
    reask_ms: z.int().min(100).max(86_400_000).default(byDefault('reask_ms')).describe('ask at least this often, though the picture seems unchanged'),
    ttl_ms: z.int().min(100).max(604_800_000).default(byDefault('ttl_ms')).describe('how long after its capture an answer may be relied upon'),
    max_age_ms: z.int().min(1).max(3_600_000).default(2000).describe('older frames are not asked about'),
    change_percent: z
      .number()
      .min(0)
      .max(100)
      .default(0.5)
      .describe('share of the crop that must look different before the question is asked again; 0 asks about every new picture'),
    duty: dutySchema.optional(),
    cooldown_ms: z.int().min(0).max(86_400_000).default(byDefault('cooldown_ms')).describe('after the value has changed, do not ask for this long'),
    priority: z.int().min(0).max(9).default(0).describe('higher goes first'),
    agreement: agreementSchema.default({ n: 1, of: 1 }).describe('the value changes when n of the last answers, since it last changed, say so'),
    min_confidence: fraction.default(byDefault('min_confidence')).describe('a new value counts only with at least this confidence'),
    keep_confidence: fraction.optional().describe('the present value counts with at least this confidence; default: min_confidence'),
    off: offSchema.optional(),
    events: eventsSchema.prefault({}),
    compare: compareSchema.optional(),
  })
  .refine(({ reask_ms, interval_ms }) => reask_ms >= interval_ms, together('reask_ms', 'reask_ms at least interval_ms', ['reask_ms', 'interval_ms']))
  .refine(
    ({ ttl_ms, reask_ms }) => ttl_ms > reask_ms,
    together('ttl_ms', 'ttl_ms above reask_ms, or answers about an unchanged picture expire', ['ttl_ms', 'reask_ms']),
  )
  .refine(
    ({ ttl_ms, duty }) => duty === undefined || ttl_ms > duty.interval_ms,
    together('ttl_ms', 'ttl_ms above duty.interval_ms, or answers expire while the board is hot', ['ttl_ms', 'duty.interval_ms']),
  )
  .refine(
    ({ interval_ms, duty }) => duty === undefined || duty.interval_ms >= interval_ms,
    together('duty.interval_ms', 'duty.interval_ms at least interval_ms', ['duty.interval_ms', 'interval_ms']),
  )
  .refine(
    ({ ttl_ms, cooldown_ms }) => ttl_ms > cooldown_ms,
    together('ttl_ms', 'ttl_ms above cooldown_ms, or answers expire while nothing is asked', ['ttl_ms', 'cooldown_ms']),
  )
  .refine(
    ({ keep_confidence, min_confidence }) => keep_confidence === undefined || keep_confidence <= min_confidence,
    together('keep_confidence', 'keep_confidence at most min_confidence', ['keep_confidence', 'min_confidence']),
  )
  .refine(({ off, answer }) => off === undefined || answer.type === 'boolean', {
    path: ['off'],
    error: ({ input }) => `off for a boolean only; answer.type is ${(input as { answer: AnswerSpec }).answer.type}`,
  })
  .refine(
    (spec) => {
      const { minConfidence, keepConfidence } = confidencesOf(spec, false);
      return spec.off === undefined || keepConfidence <= minConfidence;
    },
    {
      path: ['off', 'keep_confidence'],
      error: ({ input }) => {
        const { minConfidence, keepConfidence } = confidencesOf(input as Confidences, false);
        return `keep_confidence at most min_confidence; for false they come to ${keepConfidence} and ${minConfidence}`;
      },
    },
  )
  .refine(leavesSomething('zone'), nothingLeft('zone', 'a zone of which something is left within the crop and outside ignore'))
  .refine(leavesSomething('ignore'), nothingLeft('ignore', 'polygons that leave something of the crop'))
  .describe('a standing question about a camera');
export type WatchSpec = z.infer<typeof watchSpecSchema>;

/**
 * A boolean triggers and clears, other values change; a reminder says that what was told is still so; an error is told once, until something is
 * answered again.
 */
export const EVENT_TYPES = ['triggered', 'cleared', 'changed', 'reminder', 'error'] as const;
export type EventType = (typeof EVENT_TYPES)[number];
