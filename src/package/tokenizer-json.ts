/**
 * tokenizer.json as Hugging Face's tokenizers write it: byte-pair encoding with what the language models of these families put before it. Whatever
 * else may stand there is refused by name, because leaving it out would give other ids. What it adds around a text (`post_processor`) is not used:
 * prompts say themselves how they begin and end.
 */
import { z } from 'zod';

/** What sentencepiece writes for a space. */
export const SPACE = '▁';

const id = z.int().min(0).max(4_000_000);
export const idsSchema = z.record(z.string(), id);

const pattern = z.union([z.strictObject({ Regex: z.string().min(1) }), z.strictObject({ String: z.string().min(1) })]);

const normalizer = z.discriminatedUnion('type', [
  z.object({ type: z.enum(['NFC', 'NFD', 'NFKC', 'NFKD']) }),
  z.object({ type: z.literal('Prepend'), prepend: z.string() }),
  z.object({ type: z.literal('Replace'), pattern, content: z.string() }),
]);

const preTokenizer = z.discriminatedUnion('type', [
  z.object({ type: z.literal('ByteLevel'), add_prefix_space: z.literal(false), use_regex: z.boolean().default(true) }),
  z
    .object({
      type: z.literal('Split'),
      pattern,
      behavior: z.enum(['Isolated', 'Removed', 'MergedWithPrevious', 'MergedWithNext']),
      invert: z.boolean(),
    })
    .refine(({ behavior, invert }) => behavior === 'Isolated' || invert === (behavior === 'Removed'), 'expected to keep all of the text'),
  z.object({ type: z.literal('Digits'), individual_digits: z.boolean() }),
  z.object({
    type: z.literal('Metaspace'),
    replacement: z.literal(SPACE),
    add_prefix_space: z.literal(true).optional(), // of older files, which say no more
    prepend_scheme: z.enum(['always', 'first', 'never']).default('always'),
    split: z.boolean().default(true),
  }),
]);

export type PreTokenizer = z.infer<typeof preTokenizer>;

/** One of them, or several in a row. */
const normalizers = z.discriminatedUnion('type', [normalizer, z.object({ type: z.literal('Sequence'), normalizers: z.array(normalizer) })]);
const preTokenizers = z.discriminatedUnion('type', [preTokenizer, z.object({ type: z.literal('Sequence'), pretokenizers: z.array(preTokenizer) })]);

const none = z.union([z.null(), z.literal('')]).optional();

export const tokenizerSchema = z.object({
  normalizer: normalizers.nullable(),
  pre_tokenizer: preTokenizers.nullable(),
  model: z.object({
    type: z.literal('BPE'),
    vocab: idsSchema,
    merges: z.array(z.union([z.string().regex(/^[^ ]+ [^ ]+$/, 'expected two symbols'), z.tuple([z.string(), z.string()])], 'expected two symbols')),
    byte_fallback: z.boolean().default(false),
    ignore_merges: z.boolean().default(false), // a word of the vocabulary is taken whole
    dropout: z.null().optional(),
    continuing_subword_prefix: none,
    end_of_word_suffix: none,
  }),
  added_tokens: z.array(
    z.object({
      id,
      content: z.string().min(1),
      special: z.boolean(),
      normalized: z.boolean().optional(), // default: unless it is special
      single_word: z.literal(false).default(false),
      lstrip: z.boolean().default(false),
      rstrip: z.boolean().default(false),
    }),
  ),
});

export type TokenizerJson = z.infer<typeof tokenizerSchema>;

/** In their order. */
export function preTokenizersOf({ pre_tokenizer: node }: TokenizerJson): PreTokenizer[] {
  if (node === null) return [];
  return node.type === 'Sequence' ? node.pretokenizers : [node];
}
