import { randomUUID } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Link } from '../../src/mqtt/link.js';
import { type Response, responseSchema } from '../../src/mqtt/messages.js';
import { RequestError } from '../../src/mqtt/request-error.js';
import { type Handlers, type RequestContext, Requests } from '../../src/mqtt/requests.js';
import type { Incoming } from '../../src/mqtt/wire.js';
import { counts } from '../support/counts.js';
import { type Mosquitto, sleep, startMosquitto, until } from '../support/mosquitto.js';
import { describeWith } from '../support/programs.js';
import { startTcpProxy, type TcpProxy } from '../support/tcp-proxy.js';
import { handle, linkTo, observe, topics } from './nodes.js';

/** Uniform in [0, 1), the same every time. */
function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

/** An engine that takes its time, has four places, fails now and then, and notes which ids it ran, and which of them it answered. */
function fakeEngine(next: () => number, worstMs: number) {
  const runs = new Map<string, number>();
  const answered = new Map<string, number>();
  let busy = 0;
  const query = async (_: unknown, { signal, transaction, accepted, partial, about }: RequestContext) => {
    if (busy >= 64) throw new RequestError('QUEUE_FULL', 'full', { retryAfterMs: 10 });
    busy++;
    try {
      accepted();
      const id = transaction as string;
      runs.set(id, (runs.get(id) ?? 0) + 1);
      await new Promise<void>((done, fail) => {
        const timer = setTimeout(done, next() * worstMs);
        signal.addEventListener('abort', () => {
          clearTimeout(timer);
          fail(signal.reason);
        });
      });
      if (next() < 0.05) throw new Error('the engine failed');
      partial('so');
      about({ capturedMs: performance.now(), maxAgeMs: 60_000, ttlMs: 60_000 });
      answered.set(id, (answered.get(id) ?? 0) + 1);
      return { id };
    } finally {
      busy--;
    }
  };
  return { query, runs, answered };
}

function requestsOf(respond: (topic: string, payload: Buffer) => 'sent' | 'offline' | 'too_large', query: unknown): Requests {
  const handlers = { query, health: async () => ({ session: 's1' }) } as unknown as Handlers;
  return new Requests({
    topics,
    base: 'mipha',
    node: 'node-1',
    handlers,
    respond,
    requestBytes: 65_536,
    deadlineMs: 30_000,
    dedupeMs: 300_000,
    replyTopics: [],
  });
}

const isFinal = ({ status }: Response) => status === 'ok' || status === 'error';

const REQUESTS = counts(2000, 10_000);

describe('thousands of requests with drops, duplicates, cancels and deadlines', () => {
  it('all end, and each is answered by one run at most', async () => {
    const next = random(4);
    const finals = new Map<string, Set<string>>();
    const { query, runs, answered } = fakeEngine(next, 8);
    let lost = 0;
    const requests = requestsOf((_, payload) => {
      const response = responseSchema.parse(JSON.parse(payload.toString()));
      if (next() < 0.05) {
        lost++;
        return 'offline'; // the requester asks again below
      }
      if (response.verb === 'query' && isFinal(response) && response.error?.code !== 'QUEUE_FULL') {
        const outcomes = finals.get(response.transaction as string) ?? new Set();
        outcomes.add(payload.toString());
        finals.set(response.transaction as string, outcomes);
      }
      return 'sent';
    }, query);
    const send = (verb: string, body: object) => {
      const message: Incoming = { topic: topics.request(verb), payload: Buffer.from(JSON.stringify(body)), retained: false, duplicate: false };
      handle(requests, message);
    };
    const ids = Array.from({ length: REQUESTS }, (_, i) => `request-${i}`);
    for (const [i, transaction] of ids.entries()) {
      const body = { question: 'Is the door open?', transaction, ...(next() < 0.3 ? { deadline_ms: 1 + Math.floor(next() * 10) } : {}) };
      if (next() < 0.9) send('query', body); // else lost on the way here
      if (next() < 0.2) send('query', body);
      if (next() < 0.1) send('cancel', { target: `request-${Math.max(0, i - Math.floor(next() * 20))}` });
      if (i % 20 === 0) await sleep(1);
    }
    // Requesters repeat what has not ended, with the same id, until it has.
    for (let round = 0; round < 100 && finals.size < ids.length; round++) {
      for (const [i, transaction] of ids.filter((id) => !finals.has(id)).entries()) {
        send('query', { question: 'Is the door open?', transaction });
        if (i % 40 === 0) await sleep(1);
      }
      await sleep(20);
    }
    await until('rest', () => requests.stats().active === 0);
    const stats = requests.stats();
    expect(finals.size).toBe(REQUESTS);
    // What was answered is answered the same again; whatever failed is tried again.
    const answers = (outcomes: Set<string>) => [...outcomes].filter((payload) => payload.includes('"status":"ok"'));
    expect([...finals].filter(([, outcomes]) => answers(outcomes).length > 1)).toEqual([]);
    expect([...answered].filter(([, count]) => count > 1)).toEqual([]);
    expect(runs.size).toBeLessThanOrEqual(REQUESTS);
    // Nothing of this was an empty exercise.
    expect(lost).toBeGreaterThan(REQUESTS / 20);
    for (const [name, count] of Object.entries({ ...stats.errors, duplicates: stats.duplicates, repeated: stats.repeated })) {
      if (['CANCELLED', 'TIMEOUT', 'ENGINE_FAULT', 'duplicates', 'repeated'].includes(name)) expect(count, name).toBeGreaterThan(REQUESTS / 200);
    }
  }, 120_000);
});

describeWith(['mosquitto'], 'requests over a broker', () => {
  let broker: Mosquitto;
  let proxy: TcpProxy;
  let node: Link;
  let requests: Requests;
  const serve = async (query: unknown, protocol: '5' | '3.1.1' = '5') => {
    node = linkTo(`mqtt://127.0.0.1:${proxy.port}`, { protocol });
    requests = requestsOf((topic, payload) => node.outbox.respond(topic, payload), query);
    node.on('message', (message) => handle(requests, message));
    await node.start();
  };
  beforeEach(async () => {
    broker = await startMosquitto();
    proxy = await startTcpProxy(broker.port);
  });
  afterEach(async () => {
    requests.stop();
    await node.stop(300);
    await proxy.close();
    await broker.close();
  });

  it('delivered twice by the broker are run once and answered once', async () => {
    let runs = 0;
    await serve(async (_: unknown, { about }: RequestContext) => {
      about({ capturedMs: performance.now(), maxAgeMs: 60_000, ttlMs: 60_000 });
      await sleep(50);
      return { runs: ++runs };
    });
    const seenDuplicate: boolean[] = [];
    node.on('message', ({ duplicate }) => seenDuplicate.push(duplicate));
    await using requester = await observe(broker.url, 'mipha/v1/me/reply/#');
    // The node's PUBACK (and all it says) is lost, so the broker delivers again on the next connection.
    proxy.hold('up');
    await requester.client.publishAsync(topics.request('query'), JSON.stringify({ question: 'x?' }), {
      qos: 1,
      properties: { responseTopic: 'mipha/v1/me/reply/1', correlationData: Buffer.from('c1') },
    });
    await until('the first delivery', () => requests.stats().run === 1);
    await until('its end', () => requests.stats().ok === 1);
    proxy.cut();
    proxy.release();
    await until('the response', () => requester.seen.length > 0);
    await sleep(300);
    expect(seenDuplicate).toEqual([false, true]);
    expect(runs).toBe(1);
    expect(requests.stats()).toMatchObject({ run: 1, repeated: 1 });
    expect(requester.seen.filter(({ payload }) => isFinal(JSON.parse(payload)))).toHaveLength(1);
  });

  it.each(['5', '3.1.1'] as const)('all end, once, while the link is cut again and again (MQTT %s)', async (protocol) => {
    const next = random(9);
    const { query, answered } = fakeEngine(next, 20);
    await serve(query, protocol);
    await using requester = await observe(broker.url, 'mipha/v1/me/reply/#');
    const finals = () =>
      requester.seen.map(({ payload }) => JSON.parse(payload) as Response).filter((response) => isFinal(response) && response.verb === 'query');
    const ids = Array.from({ length: counts(200, 500) }, () => randomUUID());
    const ask = (transaction: string) =>
      requester.client.publishAsync(
        topics.request('query'),
        JSON.stringify({ question: 'x?', transaction, reply_to: 'mipha/v1/me/reply/1', deadline_ms: 5000 }),
        { qos: 1 },
      );
    for (const [i, id] of ids.entries()) {
      await ask(id);
      if (next() < 0.2) await ask(id);
      if (i % 100 === 50) {
        proxy.cut();
        await until('back', () => node.connected);
      }
    }
    const open = () => {
      const ended = new Set(
        finals()
          .filter(({ error }) => error?.code !== 'QUEUE_FULL')
          .map(({ transaction }) => transaction),
      );
      return ids.filter((id) => !ended.has(id));
    };
    for (let round = 0; round < 20 && open().length > 0; round++) {
      for (const id of open()) await ask(id);
      await sleep(100);
    }
    expect(open()).toEqual([]);
    expect([...answered].filter(([, count]) => count > 1)).toEqual([]);
    const outcomes = new Map<string, Set<string>>();
    for (const one of finals()) {
      if (one.status === 'error') continue;
      outcomes.set(one.transaction as string, (outcomes.get(one.transaction as string) ?? new Set()).add(one.ts));
    }
    expect([...outcomes].filter(([, stamps]) => stamps.size > 1)).toEqual([]);
  });

  it('such as `cancel` are answered within 200 ms while the engine is busy', async () => {
    await serve(async (_: unknown, { signal, accepted }: RequestContext) => {
      accepted();
      await new Promise((_, fail) => signal.addEventListener('abort', () => fail(signal.reason)));
    });
    await using requester = await observe(broker.url, 'mipha/v1/me/reply/#');
    const ask = (verb: string, body: object) =>
      requester.client.publishAsync(topics.request(verb), JSON.stringify({ ...body, reply_to: 'mipha/v1/me/reply/1' }), { qos: 1 });
    for (let i = 0; i < 20; i++) await ask('query', { question: 'x?', transaction: `t${i}` });
    await until('all under way', () => requests.stats().active === 20);
    const times: number[] = [];
    for (let i = 0; i < 20; i++) {
      const begun = performance.now();
      await ask('cancel', { target: `t${i}`, transaction: `c${i}` });
      await until('the answer', () => requester.seen.some(({ payload }) => payload.includes(`"transaction":"c${i}"`)));
      times.push(performance.now() - begun);
    }
    times.sort((a, b) => a - b);
    expect(times[10]).toBeLessThan(200);
    expect(requests.stats()).toMatchObject({ active: 0, errors: { CANCELLED: 20 } });
  });
});
