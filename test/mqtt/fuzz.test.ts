import { describe, expect, it } from 'vitest';
import { JSON_DEPTH, parseJson } from '../../src/mqtt/json.js';
import { type Response, responseSchema } from '../../src/mqtt/messages.js';
import { VERBS } from '../../src/mqtt/request-schemas.js';
import { type Handlers, Requests } from '../../src/mqtt/requests.js';
import type { Incoming } from '../../src/mqtt/wire.js';
import { counts } from '../support/counts.js';
import { handle, topics } from './nodes.js';

function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

describe('whatever is sent to a request topic', () => {
  it('gets one well-formed final response and never an exception', async () => {
    const next = random(17);
    const integer = (below: number) => Math.floor(next() * below);
    const pick = <T>(list: readonly T[]) => list[integer(list.length)] as T;
    const finals: Response[] = [];
    const sentTo: string[] = [];
    const handlers = Object.fromEntries(VERBS.map((verb) => [verb, async () => ({ verb })])) as unknown as Handlers;
    const requests = new Requests({
      topics,
      base: 'mipha',
      node: 'node-1',
      handlers,
      respond: (topic, payload) => {
        sentTo.push(topic);
        finals.push(responseSchema.parse(JSON.parse(payload.toString())));
        return 'sent';
      },
      requestBytes: 65_536,
      deadlineMs: 30_000,
      dedupeMs: 300_000,
      replyTopics: [],
    });
    const corpus = [
      '',
      'null',
      '{}',
      '[]',
      '"x"',
      '1e999',
      '{"question":"Is the door open?"}',
      '{"__proto__":{"a":1},"question":"x"}',
      '{"constructor":{"prototype":{"x":1}}}',
      '{"transaction":{"toString":"x"}}',
      '{"transaction":"\\ud800","question":"x"}',
      '{"reply_to":"mipha/v1/a/reply/\\u0000","question":"x"}',
      '{"deadline_ms":1e308,"question":"x"}',
      '{"question":"x","answer":{"type":"choice","choices":[]}}',
      '{"question":"x","crop":{"x":2}}',
      '{"watch":"lamp","spec":{"camera":"front","question":"x"}}',
      '{"options":{"a":{"b":{"c":[1,2,3]}}}}',
      '{"target":"x"}',
      `{"question":"${'x'.repeat(60_000)}"}`,
      'x'.repeat(1_000_000),
      `{"a":${'['.repeat(30_000)}${']'.repeat(30_000)}}`,
      '{"a":"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[["}',
    ].map((text) => Buffer.from(text));
    const mutate = (payload: Buffer) => {
      const copy = Buffer.from(payload);
      for (let i = integer(4); i > 0 && copy.length > 0; i--) copy[integer(copy.length)] = integer(256);
      return next() < 0.2 ? copy.subarray(0, integer(copy.length + 1)) : copy;
    };
    const verbs = [...VERBS, 'qeury', '', '/', 'watch', 'a/b/c/d', '__proto__', 'x'.repeat(1000), 'ü', '%00'];
    const replies = [
      undefined,
      undefined,
      'mipha/v1/a/reply/1',
      'mipha/v1/a/reply',
      '#',
      '+',
      '$SYS/a',
      '',
      'x'.repeat(70_000),
      '\ud800',
      'a\u0000b',
    ];
    let expected = 0;
    for (let i = 0; i < counts(4000, 20_000); i++) {
      const message: Incoming = {
        topic: next() < 0.9 ? topics.request(pick(verbs)) : `mipha/v1/_all/request/${pick(verbs)}`,
        payload: mutate(pick(corpus)),
        retained: next() < 0.05,
        duplicate: next() < 0.1,
      };
      const responseTopic = pick(replies);
      if (responseTopic !== undefined) message.responseTopic = responseTopic;
      if (next() < 0.5) message.correlation = Buffer.from(String(i)); // unique, so nothing is a repetition
      if (next() < 0.1) message.expiryS = pick([0, 1, 4_294_967_295]);
      const byId = requests.stats();
      handle(requests, message);
      if (message.retained && message.payload.length === 0) continue;
      expected++;
      // Without correlation data two mutated payloads may name the same transaction: then the repetition answers or is ignored.
      if (requests.stats().duplicates > byId.duplicates) expected--;
      if (i % 500 === 0) await new Promise((done) => setImmediate(done));
    }
    await new Promise((done) => setTimeout(done, 50));
    expect(finals).toHaveLength(expected);
    expect(finals.every(({ status }) => status === 'ok' || status === 'error')).toBe(true);
    expect(requests.stats()).toMatchObject({ active: 0 });
    expect(requests.stats().errors.ENGINE_FAULT).toBeUndefined();
    for (const topic of new Set(sentTo)) expect(topic).toMatch(/^mipha\/v1\/(node-1\/response\/|a\/reply)/);
    for (const code of ['BAD_JSON', 'SCHEMA', 'TOO_LARGE', 'FORBIDDEN', 'RETAINED_COMMAND', 'UNKNOWN_VERB', 'EXPIRED']) {
      expect(requests.stats().errors[code], code).toBeGreaterThan(0);
    }
    expect(({} as { a?: unknown }).a).toBeUndefined();
  });
});

describe('JSON', () => {
  it('is parsed to the depth that is permitted, brackets in strings left out', () => {
    const nested = (depth: number) => Buffer.from(`${'['.repeat(depth)}${']'.repeat(depth)}`);
    expect(() => parseJson(nested(JSON_DEPTH))).not.toThrow();
    expect(() => parseJson(nested(JSON_DEPTH + 1))).toThrow('nested deeper');
    expect(parseJson(Buffer.from(JSON.stringify({ a: `${'['.repeat(100)}\\"${'{'.repeat(100)}` })))).toBeDefined();
    expect(() => parseJson(Buffer.from([0xc3, 0x28]))).toThrow('not UTF-8');
    expect(parseJson(Buffer.alloc(0))).toEqual({});
  });
});
