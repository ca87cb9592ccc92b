/** A question with its options → a native job, and the native outcome → an Answer. */
import type { z } from 'zod';
import type { AskOutcome, Finish } from '../addon/addon.js';
import { checkKeys, MiphaError, optionError } from '../errors.js';
import { isWellFormed } from '../spelling.js';
import type { AnswerType } from './answer-type.js';
import { completion, kept } from './automaton.js';
import { CALL_KEYS, type CallOptions, checkNumber } from './call.js';
import { type Constraint, constraintOf } from './constraint.js';
import { isPlainObject, type JsonSchema, jsonSchemaShape } from './json-schema.js';
import { withSuffix } from './prompt.js';
import { isZod, SUPPORTED, shapeOf } from './schema.js';
import type { AnswerShape } from './shape.js';
import { answerText } from './text.js';
import type { Tokenizer } from './tokenizer.js';

export interface AnswerOptions<T = string> {
  /**
   * What the answer must be: z.boolean(), z.enum(), z.literal() or a union of those two, z.int() or z.number() with both bounds (two decimals unless
   * multipleOf says otherwise), z.string().max(n), z.array() of these and of objects with .max(n), or z.object() of all these, whose fields may be optional or
   * nullable. The value is guaranteed by constrained decoding. Scalars are asked for in a word, objects and lists in JSON.
   * Texts hold any characters but control characters (the line feed is allowed), line and paragraph separators, byte order marks, noncharacters and
   * those that embed, override or isolate the direction of text; lengths count code points.
   */
  as?: AnswerType<T> | undefined;
  /** Longest answer; default 128, or what the context leaves. Not with `as`, which bounds the answer itself. */
  maxTokens?: number | undefined;
  /** 0 (default): the likeliest token each time. */
  temperature?: number | undefined;
  /** Sample from the likeliest tokens that together have this probability. Default 1. */
  topP?: number | undefined;
  /** The same seed gives the same answer. Default: a random one. */
  seed?: number | undefined;
}

export interface AskOptions<T = string> extends AnswerOptions<T>, CallOptions {}

/** With a JSON Schema the value is guaranteed too, but TypeScript does not know its type. */
export interface SchemaOptions extends Omit<AnswerOptions, 'as'> {
  as: JsonSchema;
}

export interface Answer<T = string> {
  /** What the model said, without white space at the ends; for typed answers the spelling of the value. */
  text: string;
  /** Of the type asked for; the text itself when none was. */
  value: T;
  /**
   * Typed answers: the product, over the tokens generated, of the probability (among the tokens allowed there) of every token that leaves
   * the same values possible; so spellings of one value count together. For text and for numbers with more than 1024 values: the
   * probability of the spelling. 0 to 1. Null without a type.
   */
  confidence: number | null;
  /**
   * `eos`: the model ended. `stop`: the value was decided. `length`: cut off, by `maxTokens` or because a text (or one inside of an object or list)
   * reached its longest though the model had more to say. `cancelled`: a stream was left early.
   */
  finish: Finish;
  /** `prompt`: positions before the answer, picture included; `reused`: those that were in the cache already. */
  tokens: { prompt: number; reused: number; answer: number };
  /** `preprocessMs` and `visionMs` were spent once for the view; `totalMs` is this call alone. */
  timings: { queueMs: number; preprocessMs: number; visionMs: number; prefillMs: number; decodeMs: number; totalMs: number };
  /** What look() was given as `frame`. */
  frame?: string | number;
}

/** An answer's parts that follow from its ids. */
export type Reading<T> = Pick<Answer<T>, 'text' | 'value' | 'confidence' | 'finish'>;

const ANSWER_KEYS = ['as', 'maxTokens', 'temperature', 'topP', 'seed'] as const;
const DEFAULT_MAX_TOKENS = 128;

/** The constraints lately used, by the shape they are for. Native code holds each automaton once more (engine.ts). */
const KEPT = 64;
const KEPT_BYTES = 64 << 20; // of automata, beside the one just asked for
const constraints = new Map<string, Constraint>();
/** Of zod schemas, which never change: reading one takes longer than all else about a question. */
const keys = new WeakMap<object, string>();

/** A question whose options have been checked. */
export class Question<T> {
  /** As it is put to the model. */
  readonly text: string;
  readonly constraint: Constraint | undefined;

  /** Throws ERR_OPTION. `owner` names the public call; `more` are further keys it takes. */
  constructor(
    owner: string,
    question: unknown,
    private readonly options: AnswerOptions<T> | SchemaOptions,
    more: readonly string[] = CALL_KEYS,
  ) {
    checkKeys(owner, options, [...ANSWER_KEYS, ...more]);
    if (typeof question !== 'string' || question.trim() === '') throw optionError(`${owner}.question`, 'a question', question);
    if (!isWellFormed(question)) throw optionError(`${owner}.question`, 'whole characters, no half of a surrogate pair', question);
    const { as, maxTokens, temperature, topP, seed } = options;
    checkNumber(`${owner}.maxTokens`, maxTokens, { whole: true, least: 1, most: 1_000_000 });
    checkNumber(`${owner}.temperature`, temperature, { least: 0, most: 100 });
    checkNumber(`${owner}.topP`, topP, { above: 0, most: 1 });
    checkNumber(`${owner}.seed`, seed, { whole: true, least: 0, most: Number.MAX_SAFE_INTEGER });
    if (as !== undefined && maxTokens !== undefined)
      throw optionError(`${owner}.maxTokens`, 'nothing beside `as`, which bounds the answer', maxTokens);
    this.constraint = as === undefined ? undefined : constraintFor(as);
    this.text = withSuffix(question, this.constraint?.suffix ?? '');
  }

  /** Tokens to allow when `room` are left. Throws ERR_CONTEXT_FULL. */
  maxTokens(room: number): number {
    const wanted = this.options.maxTokens ?? 1;
    if (room < wanted) {
      throw new MiphaError('ERR_CONTEXT_FULL', `Prompt and answer need ${wanted - room} tokens more than the context has`, {
        details: { neededTokens: wanted, availableTokens: Math.max(0, room) },
      });
    }
    return this.options.maxTokens ?? Math.min(room, this.constraint?.automaton.longest ?? DEFAULT_MAX_TOKENS);
  }

  sampling(): { temperature: number; topP: number; seed: number } {
    const { temperature = 0, topP = 1, seed = Math.floor(Math.random() * 2 ** 32) } = this.options;
    return { temperature, topP, seed };
  }

  /** Throws ERR_CONTEXT_FULL when a typed answer was cut off, ERR_OPTION when the schema refuses what its constraint allows. */
  read(tokenizer: Tokenizer, outcome: AskOutcome): Reading<T> {
    const { as } = this.options;
    if (as === undefined || this.constraint === undefined) {
      const text = answerText(tokenizer, outcome.ids);
      return { text, value: text as T, confidence: null, finish: outcome.finish };
    }
    if (outcome.finish === 'length') {
      const { longest } = this.constraint.automaton;
      throw new MiphaError('ERR_CONTEXT_FULL', `The context ended before the answer did, after ${outcome.ids.length} tokens`, {
        details: { neededTokens: longest, availableTokens: outcome.ids.length },
      });
    }
    const { bytes, cut } = kept(this.constraint.automaton, tokenizer.joined(outcome.ids));
    const spelled = Buffer.concat([bytes, completion(this.constraint.automaton, outcome.state)]).toString();
    const value = this.constraint.read(spelled);
    const reading = { text: spelled.trim(), confidence: Math.min(1, outcome.probability), finish: cut ? ('length' as const) : outcome.finish };
    if (!isZod(as)) return { ...reading, value: value as T };
    const parsed = (as as z.ZodType<T>).safeParse(value);
    if (parsed.success) return { ...reading, value: parsed.data };
    throw new MiphaError('ERR_OPTION', `Option as: the schema refuses ${spelled.trim()}, which its kind allows; such a rule cannot be guaranteed`, {
      details: { option: 'as', received: spelled.trim() },
      cause: parsed.error,
    });
  }
}

function constraintFor(as: unknown): Constraint {
  if (!isZod(as) && !isPlainObject(as)) throw optionError('as', `a zod 4 schema (${SUPPORTED}) or a JSON Schema`, as);
  const known = keys.get(as as object);
  const shape = known === undefined ? shapeFor(as) : null;
  const key = known ?? JSON.stringify(shape, (_, value: unknown) => (typeof value === 'bigint' ? `${value}n` : value));
  if (isZod(as)) keys.set(as as object, key);
  const constraint = constraints.get(key) ?? constraintOf(shape ?? shapeFor(as));
  constraints.delete(key);
  constraints.set(key, constraint);
  let bytes = [...constraints.values()].reduce((sum, { automaton }) => sum + automaton.next.byteLength, 0);
  for (const [oldest, { automaton }] of constraints) {
    if (oldest === key || (constraints.size <= KEPT && bytes <= KEPT_BYTES)) break;
    bytes -= automaton.next.byteLength;
    constraints.delete(oldest);
  }
  return constraint;
}

function shapeFor(as: unknown): AnswerShape {
  return isZod(as) ? shapeOf(as) : jsonSchemaShape(as as JsonSchema);
}
