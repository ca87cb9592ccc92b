/** What callers give to a pool, checked. */
import { randomUUID } from 'node:crypto';
import type { z } from 'zod';
import { checkKeys, type MiphaErrorOf, optionError } from '../errors.js';
import { checkPlaintext, parseAddress } from '../mqtt/address.js';
import type { BrokerOptions } from '../mqtt/client.js';
import { verbSchemas } from '../mqtt/request-schemas.js';
import type { Wanted } from './node.js';

/** How to reach the broker. */
export interface BrokerAccess {
  /** mqtt://HOST:PORT or mqtts://HOST:PORT; without user and password. */
  url: string;
  /** First part of the topics; default `mipha`. */
  base?: string | undefined;
  /** Default '5'. */
  protocol?: '5' | '3.1.1' | undefined;
  username?: string | undefined;
  /** Paths, read again at every connection. */
  passwordFile?: string | undefined;
  caFile?: string | undefined;
  certFile?: string | undefined;
  keyFile?: string | undefined;
  /** Permits mqtt:// to another machine than this one. */
  allowPlaintext?: boolean | undefined;
}

/** Which nodes may be asked; what is left out does not matter. */
export interface NodeChoice {
  /** Ids, in which `*` stands for any characters: `press-*`. */
  nodes?: string | string[] | undefined;
  /** Id of the package, or id@revision, as `info` has them. */
  model?: string | undefined;
  /** Those of the configuration of the node; all of these must be equal. */
  labels?: Readonly<Record<string, string>> | undefined;
}

export interface PoolOptions extends BrokerAccess, NodeChoice {
  /** Answers come below BASE/v1/NAME/reply/, which an access list may grant; default: a random name. */
  name?: string | undefined;
}

export interface PoolAskOptions extends NodeChoice {
  /** Milliseconds until the outcome, all nodes together; default 30000. */
  deadlineMs?: number | undefined;
  signal?: AbortSignal | undefined;
  /** Questions with the same word go to the node that answered the last of them, while it takes them: it keeps what they have in common. */
  sticky?: string | undefined;
}

/** A query as the contract has it (docs/mqtt.md), in one piece. */
export type PoolQuestion = Omit<z.input<(typeof verbSchemas)['query']['request']>, 'partial'>;

const ID = /^[a-z0-9-]{1,64}$/;
const PATTERN = /^[a-z0-9*-]{1,64}$/;
const ID_WORDS = 'an id of lower-case letters, digits and hyphens, at most 64';
const LONGEST_MS = 600_000;
/** Larger messages are not taken: an `info` with hundreds of watches is far below. */
const PACKET_BYTES = 4 * 2 ** 20;
const KEEPALIVE_S = 15;

const BROKER_KEYS = ['url', 'base', 'protocol', 'username', 'passwordFile', 'caFile', 'certFile', 'keyFile', 'allowPlaintext'] as const;
const CHOICE_KEYS = ['nodes', 'model', 'labels'] as const;

export function checkPoolOptions(options: PoolOptions): { broker: BrokerOptions; base: string; name: string; wanted: Wanted } {
  checkKeys('openPool', options, [...BROKER_KEYS, ...CHOICE_KEYS, 'name']);
  const { name = `pool-${randomUUID().slice(0, 8)}` } = options;
  if (typeof name !== 'string' || !ID.test(name)) throw optionError('name', ID_WORDS, name);
  return { ...checkAccess(options, `mipha-${name}`), name, wanted: wantedOf(options) };
}

/** `clientId`: the beginning of it; the rest is random, for two of one name must not throw each other out. */
export function checkAccess(access: BrokerAccess, clientId: string): { broker: BrokerOptions; base: string } {
  const { url, base = 'mipha', protocol = '5', allowPlaintext = false } = access;
  if (typeof url !== 'string') throw optionError('url', 'mqtt://HOST:PORT or mqtts://HOST:PORT', url);
  try {
    parseAddress(url);
    checkPlaintext(url, allowPlaintext);
  } catch (error) {
    const { details } = error as MiphaErrorOf<'ERR_CONFIG'>;
    throw optionError('url', String(details.expected).replaceAll('mqtt.allow_plaintext', 'allowPlaintext'), details.received);
  }
  if (typeof base !== 'string' || !ID.test(base)) throw optionError('base', ID_WORDS, base);
  if (protocol !== '5' && protocol !== '3.1.1') throw optionError('protocol', "'5' or '3.1.1'", protocol);
  const texts = Object.fromEntries(
    (['username', 'passwordFile', 'caFile', 'certFile', 'keyFile'] as const).flatMap((key) => {
      const value = access[key];
      if (value === undefined) return [];
      if (typeof value !== 'string' || value === '') throw optionError(key, 'text', value);
      return [[key, value]];
    }),
  );
  return {
    base,
    broker: { url, protocol, clientId: `${clientId}-${randomUUID().slice(0, 8)}`, keepaliveS: KEEPALIVE_S, maxPacketBytes: PACKET_BYTES, ...texts },
  };
}

export function wantedOf({ nodes, model, labels }: NodeChoice): Wanted {
  const patterns = nodes === undefined ? undefined : typeof nodes === 'string' ? [nodes] : nodes;
  if (patterns !== undefined && (!Array.isArray(patterns) || patterns.length === 0))
    throw optionError('nodes', 'a pattern, or a list of them', nodes);
  if (model !== undefined && (typeof model !== 'string' || model === '')) throw optionError('model', 'the id of a package', model);
  if (labels !== undefined) {
    if (typeof labels !== 'object' || labels === null || Array.isArray(labels)) throw optionError('labels', 'an object of texts by name', labels);
    for (const [name, value] of Object.entries(labels)) if (typeof value !== 'string') throw optionError(`labels.${name}`, 'text', value);
  }
  return {
    ...(patterns === undefined ? {} : { nodes: patterns.map(patternOf) }),
    ...(model === undefined ? {} : { model }),
    ...(labels === undefined ? {} : { labels: Object.entries(labels) }),
  };
}

export function checkQuestion(question: PoolQuestion): PoolQuestion {
  if (typeof question !== 'object' || question === null)
    throw optionError('question', 'a query of the contract: { question, camera?, answer?, … }', question);
  checkKeys(
    'ask',
    question,
    Object.keys(verbSchemas.query.request.shape).filter((key) => key !== 'partial'),
  );
  const parsed = verbSchemas.query.request.safeParse(question);
  if (!parsed.success) {
    const { path, message } = parsed.error.issues[0] ?? { path: [], message: 'a query' };
    throw optionError(path.map(String).join('.') || 'question', message, valueAt(question, path));
  }
  if (question.question === undefined && question.watch === undefined)
    throw optionError('question', 'a question, or a watch that has one', undefined);
  return question;
}

export function checkAskOptions(options: PoolAskOptions): { deadlineMs: number; sticky: string | undefined; wanted: Wanted } {
  checkKeys('ask', options, [...CHOICE_KEYS, 'deadlineMs', 'signal', 'sticky']);
  const { deadlineMs = 30_000, sticky, signal } = options;
  if (!Number.isFinite(deadlineMs) || deadlineMs <= 0 || deadlineMs > LONGEST_MS)
    throw optionError('deadlineMs', `above 0, at most ${LONGEST_MS}`, deadlineMs);
  if (sticky !== undefined && (typeof sticky !== 'string' || sticky === '')) throw optionError('sticky', 'text', sticky);
  if (signal !== undefined && !(signal instanceof AbortSignal)) throw optionError('signal', 'an AbortSignal', signal);
  return { deadlineMs, sticky, wanted: wantedOf(options) };
}

/** Both must hold; the pool keeps no nodes of other names than its own. Throws ERR_OPTION where they contradict each other. */
export function both(pool: Wanted, ask: Wanted): Wanted {
  if (pool.model !== undefined && ask.model !== undefined && pool.model !== ask.model)
    throw optionError('model', `that of the pool, ${pool.model}`, ask.model);
  const { labels = [] } = pool;
  for (const [name, value] of ask.labels ?? []) {
    const own = labels.find(([known]) => known === name)?.[1] ?? value;
    if (own !== value) throw optionError(`labels.${name}`, `that of the pool, ${own}`, value);
  }
  return { ...pool, ...ask, labels: [...labels, ...(ask.labels ?? [])] };
}

function patternOf(text: unknown): RegExp {
  if (typeof text !== 'string' || !PATTERN.test(text)) throw optionError('nodes', 'ids of nodes, with * for any characters', text);
  return new RegExp(`^${text.replaceAll('*', '[a-z0-9-]*')}$`);
}

function valueAt(value: unknown, path: readonly PropertyKey[]): unknown {
  return path.reduce<unknown>((owner, key) => (owner as Record<PropertyKey, unknown> | undefined)?.[key], value);
}
