/** From a message on a request topic to a request that may be run, or to the error that refuses it. No handler is involved. */
import { createHash } from 'node:crypto';
import { nearestKey } from '../errors.js';
import { isPublishable, matches } from './filters.js';
import { parseJson } from './json.js';
import { RequestError, schemaError } from './request-error.js';
import { BROADCAST_VERBS, envelopeSchema, type RequestOf, VERBS, type Verb, verbSchemas } from './request-schemas.js';
import type { Topics } from './topics.js';
import type { Incoming } from './wire.js';

export interface IntakeOptions {
  topics: Topics;
  /** Longest payload that is looked at. */
  requestBytes: number;
  /** Filters of topics that responses may go to. */
  replyFilters: readonly string[];
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
  /** Milliseconds from now. */
  deadlineMs: number;
  /** Equal for repetitions of the same request; null when it carries no id. */
  key: string | null;
};

export type Intake = { kind: 'admitted'; admitted: Admitted } | { kind: 'refused'; address: Address; error: RequestError };

const LONGEST_DEADLINE_MS = 600_000;
/** It is kept with the response, and repeated in each. */
const CORRELATION_BYTES = 1024;
/** What a verb may look like in a response topic; others are answered on `unknown`. */
const VERB_NAME = /^[a-z0-9-]{1,32}(\/[a-z0-9-]{1,32})?$/;

/** Undefined for what is no request at all. */
export function takeIn(message: Incoming, options: IntakeOptions): Intake | undefined {
  const { topics } = options;
  const parsed = topics.parse(message.topic);
  if (parsed?.kind !== 'request') return undefined;
  if (message.retained && message.payload.length === 0) return undefined; // somebody clears a retained command
  const { broadcast } = parsed;
  const verb = VERB_NAME.test(parsed.verb) ? parsed.verb : 'unknown';
  const address: Address = { verb, topic: topics.response(verb), transaction: null, correlation: message.correlation };
  const refuse = (error: RequestError): Intake => ({ kind: 'refused', address, error });

  const replyTo = message.responseTopic;
  if (replyTo !== undefined) {
    if (!mayReply(replyTo, options)) return refuse(forbidden(replyTo));
    address.topic = replyTo;
  }
  if (message.retained) return refuse(new RequestError('RETAINED_COMMAND', 'Requests must not be retained'));
  if (message.correlation !== undefined && message.correlation.length > CORRELATION_BYTES) {
    return refuse(new RequestError('TOO_LARGE', `Correlation data has at most ${CORRELATION_BYTES} bytes, received ${message.correlation.length}`));
  }
  if (message.payload.length > options.requestBytes) {
    const refs = [{ key: 'bytes', value: String(message.payload.length) }];
    return refuse(new RequestError('TOO_LARGE', `A request has at most ${options.requestBytes} bytes, received ${message.payload.length}`, { refs }));
  }
  let body: unknown;
  try {
    body = parseJson(message.payload);
  } catch (error) {
    return refuse(new RequestError('BAD_JSON', (error as Error).message));
  }
  if (typeof body !== 'object' || body === null || Array.isArray(body)) return refuse(new RequestError('SCHEMA', 'A request is a JSON object'));

  const { transaction } = body as { transaction?: unknown };
  if (typeof transaction === 'string' && transaction.length <= 128) address.transaction = transaction;
  const envelope = envelopeSchema.safeParse(body);
  if (!envelope.success) return refuse(schemaError(envelope.error));
  if (replyTo === undefined && envelope.data.reply_to !== undefined) {
    if (!mayReply(envelope.data.reply_to, options)) return refuse(forbidden(envelope.data.reply_to));
    address.topic = envelope.data.reply_to;
  }
  if (!isVerb(parsed.verb)) return refuse(unknownVerb(parsed.verb));
  if (broadcast && !BROADCAST_VERBS.includes(parsed.verb)) {
    return refuse(new RequestError('FORBIDDEN', `All nodes at once may be asked only for ${BROADCAST_VERBS.join(', ')}`));
  }
  const request = verbSchemas[parsed.verb].request.safeParse(body);
  if (!request.success) return refuse(schemaError(request.error));
  const named = [envelope.data.deadline_ms, message.expiryS === undefined ? undefined : message.expiryS * 1000].filter((ms) => ms !== undefined);
  const deadlineMs = Math.min(LONGEST_DEADLINE_MS, ...(named.length > 0 ? named : [options.deadlineMs]));
  if (deadlineMs <= 0) return refuse(new RequestError('EXPIRED', 'The request arrived after its expiry'));
  const admitted = {
    verb: parsed.verb,
    request: request.data,
    address,
    broadcast,
    deadlineMs,
    key: keyOf(address, parsed.verb, request.data),
  } as Admitted;
  return { kind: 'admitted', admitted };
}

function mayReply(topic: string, { replyFilters }: IntakeOptions): boolean {
  return isPublishable(topic) && replyFilters.some((filter) => matches(filter, topic));
}

function forbidden(topic: string): RequestError {
  return new RequestError('FORBIDDEN', 'Responses to this topic are not permitted', { refs: [{ key: 'reply_to', value: topic.slice(0, 512) }] });
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
  const id = correlation === undefined ? `t${transaction}` : `c${correlation.toString('base64')}`;
  return `${topic}\n${verb}\n${id}\n${createHash('sha256').update(JSON.stringify(request)).digest('base64')}`;
}
