/** A request for a chat completion, as far as it is answered; what would change the answer and is not known is refused by name. */
import { z } from 'zod';

/** Say nothing about the answer; clients send them, and nobody looks at them. */
const ignored = {
  metadata: z.unknown().optional(),
  parallel_tool_calls: z.unknown().optional(),
  prompt_cache_key: z.unknown().optional(),
  safety_identifier: z.unknown().optional(),
  service_tier: z.unknown().optional(),
  store: z.unknown().optional(),
  user: z.unknown().optional(),
};
export const IGNORED = Object.keys(ignored);

/** Taken only with the value that changes nothing. */
const neutral = {
  n: z.literal(1).nullish(),
  frequency_penalty: z.literal(0).nullish(),
  presence_penalty: z.literal(0).nullish(),
  top_logprobs: z.literal(0).nullish(),
  logit_bias: z.strictObject({}).nullish(),
  modalities: z.tuple([z.literal('text')]).nullish(),
  tools: z.tuple([]).nullish(),
  tool_choice: z.enum(['none', 'auto']).nullish(),
};

const text = z.strictObject({ type: z.literal('text'), text: z.string() });
const picture = z.strictObject({
  type: z.literal('image_url'),
  image_url: z.strictObject({ url: z.string(), detail: z.enum(['auto', 'low', 'high']).optional() }), // the model sees all pictures at one size
});
/** Some send a bare text as a part. */
const bare = z.string().transform((words) => ({ type: 'text' as const, text: words }));
const words = z.union([
  z.string(),
  z
    .array(z.union([bare, text]))
    .min(1)
    .max(64),
]);
const name = z.string().max(64).optional();
/** What clients repeat of an answer that they got. */
const repeated = {
  refusal: z.null().optional(),
  annotations: z.tuple([]).optional(),
  audio: z.null().optional(),
  function_call: z.null().optional(),
  tool_calls: z.tuple([]).nullish(),
};

const message = z.discriminatedUnion('role', [
  z.strictObject({ role: z.enum(['system', 'developer']), content: words, name }),
  z.strictObject({
    role: z.literal('user'),
    content: z.union([
      z.string(),
      z
        .array(z.union([bare, z.discriminatedUnion('type', [text, picture])]))
        .min(1)
        .max(64),
    ]),
    name,
  }),
  z.strictObject({ role: z.literal('assistant'), content: words, name, ...repeated }),
]);
export type ChatMessage = z.infer<typeof message>;

const responseFormat = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('text') }),
  z.strictObject({
    type: z.literal('json_schema'),
    json_schema: z.strictObject({
      name: z.string().min(1).max(64),
      description: z.string().optional(),
      schema: z.record(z.string(), z.unknown()),
      strict: z.boolean().nullish(), // it is always obeyed
    }),
  }),
]);

/** Ours; a client in Python sends it as extra_body. */
const mipha = z.strictObject({
  priority: z.int().min(0).max(9).optional(),
  deadline_ms: z.int().min(1).max(600_000).optional(),
  max_age_ms: z.int().min(1).max(3_600_000).optional(),
});

export const chatSchema = z.strictObject({
  model: z.string().min(1).max(200),
  messages: z.array(message).min(1).max(64),
  stream: z.boolean().nullish(),
  stream_options: z.strictObject({ include_usage: z.boolean().optional(), include_obfuscation: z.boolean().optional() }).nullish(),
  max_tokens: z.int().min(1).max(1_000_000).nullish(),
  max_completion_tokens: z.int().min(1).max(1_000_000).nullish(),
  temperature: z.number().min(0).max(2).nullish(),
  top_p: z.number().gt(0).max(1).nullish(),
  seed: z.int().min(0).nullish(),
  stop: z.union([z.string().min(1).max(256), z.array(z.string().min(1).max(256)).max(4)]).nullish(),
  response_format: responseFormat.nullish(),
  logprobs: z.boolean().nullish(),
  mipha: mipha.optional(),
  ...neutral,
  ...ignored,
});
export type ChatRequest = z.infer<typeof chatSchema>;
