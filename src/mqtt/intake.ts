/** From a message on a request topic to a request that may be run, or to the error that refuses it. No handler is involved. */
import { createHash } from 'node:crypto';
import { nearestKey } from '../errors.js';
import { isPlain, isPublishable, matches } from './filters.js';
import { parseJson } from './json.js';
import { RequestError, schemaError } from './request-error.js';
import { BROADCAST_VERBS, payloadSchema, type RequestOf, TRANSACTION_CHARS, VERBS, type Verb, verbSchemas } from './request-schemas.js';
import { cutText } from './text.js';
import { poolTopics, type RequestTarget, type Topics } from './topics.js';
import type { Incoming } from './wire.js';

export interface IntakeOptions {
  base: string;
  topics: Topics;
  /** Longest payload that is looked at. */
  requestBytes: number;
  /** Filters of topics that responses may go to. */
  replyFilters: readonly string[];
  /** They are to be plain: MQTT 3.1.1. */
  plainReplies: boolean;
  /** For requests that name no deadline. */
  deadlineMs: number;
}

/** Where responses go, known as early as possible so that refusals find their way too. */
export interface Address {
  verb: string;
  topic: string;
  transaction: string | null;
  correlation: Buffer | undefined;
}

export type Admitted = { [V in Verb]: { verb: V; request: RequestOf<V> } }[Verb] & {
  address: Address;
  broadcast: boolean;
  /** When it came, and after when the answer is of no use; milliseconds of performance.now(). */
  arrivedMs: number;
  endsMs: number;
  /** Equal for repetitions of the same request; null when it carries no id. */
  key: string | null;
};

export type Intake = { kind: 'admitted'; admitted: Admitted } | { kind: 'refused'; address: Address; error: RequestError };

const LONGEST_DEADLINE_MS = 600_000;
/** It is kept with the response, and repeated in each. */
const CORRELATION_BYTES = 1024;
/** What a verb may look like in a response topic; others are answered on `unknown`. */
const VERB_NAME = /^[a-z0-9-]{1,32}(\/[a-z0-9-]{1,32})?$/;

const NOT_PLAIN = 'With MQTT 3.1.1 a response topic has no blank, dot, * or >: there are brokers that end the connection for one';

/** Undefined for what is no request at all. */
export function takeIn(message: Incoming, target: RequestTarget, options: IntakeOptions): Intake | undefined {
  if (message.retained && message.payload.length === 0) return undefined; // somebody clears a retained command
  const verb = VERB_NAME.test(target.verb) ? target.verb : 'unknown';
  const topic = target.pool === undefined ? options.topics.response(verb) : poolTopics(options.base, target.pool).response;
  const address: Address = { verb, topic, transaction: null, correlation: message.correlation };
  try {
    const body = addressed(message, address, options);
    return { kind: 'admitted', admitted: admit(message, target, body, address, options) };
  } catch (error) {
    if (error instanceof RequestError) return { kind: 'refused', address, error };
    throw error;
  }
}

/** The body; fills in the address as far as it can be known, before anything is refused. */
function addressed(message: Incoming, address: Address, options: IntakeOptions): object {
  const read = bodyOf(message.payload, options.requestBytes);
  const { transaction, reply_to } = read instanceof RequestError ? {} : (read as { transaction?: unknown; reply_to?: unknown });
  address.transaction = asTransaction(transaction);
  const replyTo = message.responseTopic ?? (typeof reply_to === 'string' ? reply_to : undefined);
  if (replyTo !== undefined) {
    if (!mayReply(replyTo, options)) throw forbidden(replyTo, 'Responses to this topic are not permitted');
    if (options.plainReplies && !isPlain(replyTo)) throw forbidden(replyTo, NOT_PLAIN);
    address.topic = replyTo;
  }
  if (message.retained) throw new RequestError('RETAINED_COMMAND', 'Requests must not be retained');
  if (message.correlation !== undefined && message.correlation.length > CORRELATION_BYTES) {
    throw new RequestError('TOO_LARGE', `Correlation data has at most ${CORRELATION_BYTES} bytes, received ${message.correlation.length}`);
  }
  if (read instanceof RequestError) throw read;
  return read;
}

function bodyOf(payload: Buffer, mostBytes: number): object | RequestError {
  if (payload.length > mostBytes) {
    const refs = [{ key: 'bytes', value: String(payload.length) }];
    return new RequestError('TOO_LARGE', `A request has at most ${mostBytes} bytes, received ${payload.length}`, { refs });
  }
  try {
    const body = parseJson(payload);
    const isObject = typeof body === 'object' && body !== null && !Array.isArray(body);
    return isObject ? body : new RequestError('SCHEMA', 'A request is a JSON object');
  } catch (error) {
    return new RequestError('BAD_JSON', (error as Error).message);
  }
}

function admit({ expiryS }: Incoming, { verb, broadcast, pool }: RequestTarget, body: object, address: Address, options: IntakeOptions): Admitted {
  if (!isVerb(verb)) throw unknownVerb(verb);
  if (broadcast && !BROADCAST_VERBS.includes(verb)) {
    throw new RequestError('FORBIDDEN', `All nodes at once may be asked only for ${BROADCAST_VERBS.join(', ')}`);
  }
  if (pool !== undefined && expiryS === undefined) {
    throw new RequestError('SCHEMA', 'A query to a pool needs a Message Expiry Interval (MQTT 5): the broker may hold it until a node is free', {
      refs: [{ key: 'message_expiry_interval', value: 'missing' }],
    });
  }
  const parsed = payloadSchema(verb).safeParse(body);
  if (!parsed.success) throw schemaError(parsed.error);
  const { transaction: _, reply_to: __, deadline_ms, ...request } = parsed.data;
  const named = [deadline_ms, expiryS === undefined ? undefined : expiryS * 1000].filter((ms) => ms !== undefined);
  const deadlineMs = Math.min(LONGEST_DEADLINE_MS, ...(named.length > 0 ? named : [options.deadlineMs]));
  if (deadlineMs <= 0) throw new RequestError('EXPIRED', 'The request arrived after its expiry');
  const arrivedMs = performance.now();
  return { verb, request, address, broadcast, arrivedMs, endsMs: arrivedMs + deadlineMs, key: keyOf(address, verb, request) } as Admitted;
}

/** Text even where the transaction itself is what is wrong, so that the refusal finds whoever asked: a number in its digits, a long text cut. */
function asTransaction(value: unknown): string | null {
  if (value === undefined || value === null) return null;
  return cutText(typeof value === 'string' ? value : JSON.stringify(value), TRANSACTION_CHARS);
}

function mayReply(topic: string, { replyFilters }: IntakeOptions): boolean {
  return isPublishable(topic) && replyFilters.some((filter) => matches(filter, topic));
}

function forbidden(topic: string, why: string): RequestError {
  return new RequestError('FORBIDDEN', why, { refs: [{ key: 'reply_to', value: topic.slice(0, 512) }] });
}

function unknownVerb(verb: string): RequestError {
  const nearest = nearestKey(verb.slice(0, 64), VERBS);
  const hint = nearest === undefined ? `known are ${VERBS.join(', ')}` : `did you mean ${nearest}?`;
  return new RequestError('UNKNOWN_VERB', `There is no such request; ${hint}`, { refs: [{ key: 'verb', value: verb.slice(0, 64) }] });
}

function isVerb(name: string): name is Verb {
  return Object.hasOwn(verbSchemas, name);
}

/**
 * Sender (as far as MQTT tells: the reply topic), verb, id and what is asked: a client that counts its ids from 1 again after a restart, or shares
 * the default reply topic with others, must not get the answer to another question. A repetition may well have less time left.
 */
function keyOf({ topic, transaction, correlation }: Address, verb: Verb, request: object): string | null {
  if (correlation === undefined && transaction === null) return null;
  const asked = JSON.stringify([transaction, request]);
  return `${topic}\n${verb}\n${correlation?.toString('base64') ?? ''}\n${createHash('sha256').update(asked).digest('base64')}`;
}
