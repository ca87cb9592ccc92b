/** What may be asked of a node: one schema per verb. Unknown fields are ignored on the way in too, so that newer clients can talk to older nodes. */
import { z } from 'zod';
import { answerSpecSchema, cropSchema, idSchema, questionSchema, valueSchema, watchSpecSchema } from '../watch/spec.js';
import { healthSchema, infoSchema, resultSchema } from './messages.js';

export const TRANSACTION_CHARS = 128;
/** Fields of every request. With MQTT 5 the properties Response Topic, Correlation Data and Message Expiry do the same and win. */
export const envelopeSchema = z.object({
  transaction: z
    .string()
    .min(1)
    .max(TRANSACTION_CHARS)
    .optional()
    .describe('repeated in every response; the same request again gets the same response, while that is still true'),
  reply_to: z.string().min(1).max(512).optional().describe('topic for the responses; must match the allow-list. Default: response/<verb>'),
  deadline_ms: z.int().min(1).max(600_000).optional().describe('milliseconds from its arrival after which the answer is of no use'),
});
export type Envelope = z.infer<typeof envelopeSchema>;

const maxAge = z.int().min(1).max(3_600_000).optional().describe('an older frame is refused with STALE_FRAME; default: that of the watch, or 2000');

const query = z.object({
  watch: idSchema.optional().describe('ask the question of this watch now'),
  camera: idSchema.optional().describe('may be left out where there is only one'),
  question: questionSchema.optional().describe('needed unless `watch` is given'),
  answer: answerSpecSchema.optional().describe('default: free text'),
  crop: cropSchema.optional(),
  max_age_ms: maxAge,
  ttl_ms: z
    .int()
    .min(1)
    .max(604_800_000)
    .optional()
    .describe('how long after its capture the answer may be relied upon; default: that of the watch, or 30000'),
  max_tokens: z.int().min(1).max(4096).optional().describe('longest free text'),
  priority: z.int().min(0).max(9).optional(),
  partial: z.boolean().optional().describe('send free text in pieces as it is written, status `partial`'),
});

/** Per verb what comes in and what `data` of an `ok` response holds. */
export const verbSchemas = {
  query: { request: query, response: resultSchema },
  cancel: {
    request: z.object({ target: z.string().min(1).max(TRANSACTION_CHARS).describe('the transaction of the query, or its correlation data as text') }),
    response: z.object({ cancelled: z.boolean().describe('false: it is not known, or has ended') }),
  },
  snapshot: {
    request: z.object({
      camera: idSchema.optional(),
      max_age_ms: maxAge,
      max_side_px: z.int().min(16).max(4096).optional(),
      quality: z.int().min(1).max(100).optional(),
    }),
    response: z.object({
      camera: idSchema,
      frame: z.object({ id: z.string(), ts: z.iso.datetime({ precision: 3 }), width: z.int(), height: z.int() }),
      topic: z.string().describe('where the picture itself was published, just before this response'),
      content_type: z.literal('image/jpeg'),
      bytes: z.int(),
      sha256: z.string(),
    }),
  },
  health: { request: z.object({}), response: healthSchema },
  announce: { request: z.object({}), response: infoSchema },
  'watch/put': {
    request: z.object({ watch: idSchema, spec: watchSpecSchema }),
    response: z.object({ watch: idSchema, created: z.boolean(), persisted: z.boolean().describe('survives a restart') }),
  },
  'watch/delete': {
    request: z.object({ watch: idSchema }),
    response: z.object({ watch: idSchema, persisted: z.boolean() }),
  },
  options: {
    request: z.object({ options: z.record(z.string(), z.unknown()).describe('a part of the configuration, merged over the present one') }),
    response: z.object({ restart_required: z.array(z.string()).describe('settings that take effect after a restart'), persisted: z.boolean() }),
  },
  'overrides/drop': {
    request: z.object({
      paths: z
        .array(z.string().min(1).max(256))
        .min(1)
        .max(1024)
        .optional()
        .describe('settings whose overrides go, e.g. watches.door or log.level; default: all'),
    }),
    response: z.object({
      dropped: z.array(z.string()).describe('settings that follow the file again'),
      restart_required: z.array(z.string()).describe('settings that take effect after a restart'),
      persisted: z.boolean(),
    }),
  },
  label: {
    request: z.object({
      watch: idSchema,
      answer: z.string().min(1).max(200).describe('`id` of a result of this watch, or `result` of an event'),
      verdict: z.enum(['right', 'wrong']),
      value: valueSchema.optional().describe('with `wrong`: what would have been right'),
    }),
    response: z.object({ watch: idSchema, answer: z.string() }),
  },
  'model/install': {
    request: z.object({
      source: z
        .string()
        .min(1)
        .max(512)
        .optional()
        .describe('a folder below model.updates.folder by its name, or an address of model.updates.origins; default: `latest` of the topic model'),
      sha256: z
        .string()
        .regex(/^[0-9a-f]{64}$/)
        .optional()
        .describe('of release.json, which stands for the whole; default: whatever a key vouches for'),
    }),
    response: z.object({ release: z.string(), model: z.string(), sha256: z.string(), bytes: z.int().describe('of all its files') }),
  },
  'model/rollback': { request: z.object({}), response: z.object({ from: z.string(), to: z.string() }) },
  'camera/restart': { request: z.object({ camera: idSchema }), response: z.object({ camera: idSchema }) },
  restart: { request: z.object({}), response: z.object({ session: z.string().describe('the one that ends') }) },
} as const;
export type Verb = keyof typeof verbSchemas;
export const VERBS = Object.keys(verbSchemas) as Verb[];
/** What changes the node. Their responses are repeated for the whole dedupe window; the others' only while they are no old news. */
export const CHANGING_VERBS: readonly Verb[] = [
  'watch/put',
  'watch/delete',
  'options',
  'overrides/drop',
  'label',
  'model/install',
  'model/rollback',
  'camera/restart',
  'restart',
];
/** What may be asked of all nodes at once. */
export const BROADCAST_VERBS: readonly Verb[] = ['health', 'announce', 'snapshot'];
export type RequestOf<V extends Verb> = z.infer<(typeof verbSchemas)[V]['request']>;
export type ResponseOf<V extends Verb> = z.infer<(typeof verbSchemas)[V]['response']>;

/** The whole payload of a request, its envelope included. */
export function payloadSchema(verb: Verb): z.ZodType<Envelope & RequestOf<Verb>> {
  return whole[verb];
}
const whole = Object.fromEntries(VERBS.map((verb) => [verb, envelopeSchema.extend(verbSchemas[verb].request.shape)])) as unknown as Record<
  Verb,
  z.ZodType<Envelope & RequestOf<Verb>>
>;
