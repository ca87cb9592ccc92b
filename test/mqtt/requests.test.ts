import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { MiphaError } from '../../src/errors.js';
import { type Response, responseSchema } from '../../src/mqtt/messages.js';
import { RequestError } from '../../src/mqtt/request-error.js';
import { type Handlers, type RequestContext, Requests, type RequestsOptions } from '../../src/mqtt/requests.js';
import type { Incoming, Properties } from '../../src/mqtt/wire.js';
import { topics } from './nodes.js';

interface Sent {
  topic: string;
  response: Response;
  properties: Properties;
}

/** A router whose `query` does what the test says; every other verb would fail the test. */
function router(query: (request: unknown, context: RequestContext) => Promise<unknown>, changes: Partial<RequestsOptions> = {}) {
  const sent: Sent[] = [];
  const faults: unknown[] = [];
  const unexpected = () => Promise.reject(new Error('not expected'));
  const handlers = Object.fromEntries(
    ['snapshot', 'health', 'announce', 'watch/put', 'watch/delete', 'options', 'camera/restart', 'restart'].map((verb) => [verb, unexpected]),
  );
  const requests = new Requests({
    topics,
    base: 'mipha',
    node: 'node-1',
    handlers: { ...handlers, query } as unknown as Handlers,
    respond: (topic, payload, properties) => {
      sent.push({ topic, response: responseSchema.parse(JSON.parse(payload.toString())), properties });
      return 'sent';
    },
    requestBytes: 65_536,
    deadlineMs: 30_000,
    dedupeMs: 300_000,
    replyTopics: ['robots/+/answers'],
    onFault: (_, error) => faults.push(error),
    ...changes,
  });
  const ask = (body: unknown, more: Partial<Incoming> = {}) =>
    requests.handle({
      topic: topics.request('query'),
      payload: Buffer.isBuffer(body) ? body : Buffer.from(typeof body === 'string' ? body : JSON.stringify(body)),
      retained: false,
      duplicate: false,
      ...more,
    });
  const last = () => sent.at(-1)?.response;
  return { requests, sent, ask, last, faults };
}

const settle = async () => {
  for (let i = 0; i < 10; i++) await Promise.resolve();
};
/** Ends when its signal says so. */
const patient = (_: unknown, { signal, accepted }: RequestContext) => {
  accepted();
  return new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
};
const question = { question: 'Is the door open?' };

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

describe('a request', () => {
  it('is answered once: accepted, pieces, answer, on the response topic of its verb', async () => {
    const { ask, sent, requests } = router(async (_, context) => {
      context.accepted();
      context.accepted();
      context.partial('It ');
      return { value: true };
    });
    ask({ ...question, transaction: 't1' });
    await settle();
    expect(sent.map(({ topic, response: { status, data, transaction } }) => [topic, status, data, transaction])).toEqual([
      [topics.response('query'), 'accepted', null, 't1'],
      [topics.response('query'), 'partial', { text: 'It ' }, 't1'],
      [topics.response('query'), 'ok', { value: true }, 't1'],
    ]);
    expect(requests.stats()).toMatchObject({ received: 1, run: 1, ok: 1, error: 0, active: 0 });
  });

  it('with MQTT 5 properties is answered where they say, correlation data repeated', async () => {
    const { ask, sent } = router(async () => ({}));
    ask(question, { responseTopic: 'mipha/v1/robot/reply/7', correlation: Buffer.from([0, 255, 7]) });
    await settle();
    expect(sent).toMatchObject([
      { topic: 'mipha/v1/robot/reply/7', properties: { correlation: Buffer.from([0, 255, 7]), contentType: 'application/json', expiryS: 30 } },
    ]);
  });

  it('with `reply_to` and `transaction` is answered there; the MQTT 5 property wins', async () => {
    const { ask, sent } = router(async () => ({}));
    ask({ ...question, transaction: 't', reply_to: 'robots/r2/answers' });
    ask({ ...question, reply_to: 'mipha/v1/a/reply/b' }, { responseTopic: 'mipha/v1/c/reply' });
    await settle();
    expect(sent.map(({ topic, response }) => [topic, response.transaction])).toEqual([
      ['robots/r2/answers', 't'],
      ['mipha/v1/c/reply', null],
    ]);
  });

  it.each(['elsewhere', 'mipha/v1/robot/other', '', '#', 'mipha/v1/+/reply/x', '$SYS/x', 'mipha/v1/robot/reply/\u0000', 'robots/a/b/answers'])(
    'may not have its response sent to %j',
    async (topic) => {
      const { ask, sent } = router(async () => ({}));
      ask(question, { responseTopic: topic, correlation: Buffer.from('c') });
      if (topic !== '') ask({ ...question, transaction: 't', reply_to: topic });
      await settle();
      for (const one of sent)
        expect(one).toMatchObject({ topic: topics.response('query'), response: { status: 'error', error: { code: 'FORBIDDEN' } } });
      expect(sent).toHaveLength(topic === '' ? 1 : 2);
      expect(sent[0]?.properties.correlation).toEqual(Buffer.from('c'));
    },
  );

  it('is refused with a code that says why', async () => {
    const { ask, last, requests } = router(async () => ({}));
    const code = (body: unknown, more: Partial<Incoming> = {}) => {
      ask(body, more);
      return last()?.error?.code;
    };
    expect(code('{"question": ')).toBe('BAD_JSON');
    expect(code(Buffer.from([0x7b, 0xff, 0x7d]))).toBe('BAD_JSON');
    expect(code(`${'['.repeat(100_000)}`.slice(0, 60_000))).toBe('BAD_JSON');
    expect(code(`{"a":${'{"a":'.repeat(40)}1${'}'.repeat(40)}}`)).toBe('BAD_JSON');
    expect(code('[]')).toBe('SCHEMA');
    expect(code('7')).toBe('SCHEMA');
    expect(code({ question: 7 })).toBe('SCHEMA');
    expect(last()?.error?.refs[0]).toEqual({ key: 'question', value: 'Invalid input: expected string, received number' });
    expect(code({ ...question, deadline_ms: 0 })).toBe('SCHEMA');
    expect(code({ ...question, answer: { type: 'choice', choices: ['a', 'a'] } })).toBe('SCHEMA');
    expect(code({ ...question, transaction: 'x'.repeat(129) })).toBe('SCHEMA');
    expect(code('x'.repeat(65_537))).toBe('TOO_LARGE');
    expect(code(question, { correlation: Buffer.alloc(1025) })).toBe('TOO_LARGE');
    expect(code(question, { retained: true })).toBe('RETAINED_COMMAND');
    expect(code({}, { topic: topics.request('qeury') })).toBe('UNKNOWN_VERB');
    expect(last()?.error?.message).toContain('did you mean query?');
    expect(code({}, { topic: topics.request('__proto__') })).toBe('UNKNOWN_VERB');
    expect(code({}, { topic: topics.request('x'.repeat(60_000)) })).toBe('UNKNOWN_VERB');
    expect(last()?.verb).toBe('unknown');
    expect(code(question, { topic: 'mipha/v1/_all/request/query' })).toBe('FORBIDDEN');
    expect(code(question, { expiryS: 0 })).toBe('EXPIRED');
    expect(requests.stats()).toMatchObject({ run: 0, active: 0, ok: 0, remembered: 0, errors: { BAD_JSON: 4, SCHEMA: 6 } });
  });

  it('that refuses keeps the transaction where it can be read', async () => {
    const { ask, last } = router(async () => ({}));
    ask({ question: 7, transaction: 'mine' });
    expect(last()?.transaction).toBe('mine');
  });

  it('ignores fields it does not know, an empty payload is an empty object, a cleared retained command is nothing', async () => {
    const { ask, sent } = router(async (request) => request);
    ask({ ...question, colour: 'green' });
    ask('');
    ask('', { retained: true });
    await settle();
    expect(sent.map(({ response }) => response.data)).toEqual([question, {}]);
  });

  it.each([
    [new MiphaError('ERR_DEADLINE', 'm'), 'TIMEOUT', true],
    [new MiphaError('ERR_MEMORY', 'm'), 'ENGINE_FAULT', true],
    [new MiphaError('ERR_DEVICE', 'm'), 'ENGINE_FAULT', true],
    [new MiphaError('ERR_OPTION', 'm'), 'SCHEMA', false],
    [new MiphaError('ERR_CONTEXT_FULL', 'm'), 'SCHEMA', false],
    [new MiphaError('ERR_DISPOSED', 'm'), 'SHUTTING_DOWN', false],
    [new RequestError('QUEUE_FULL', 'm', { retryAfterMs: 500 }), 'QUEUE_FULL', true],
    [new TypeError('secret internals'), 'ENGINE_FAULT', false],
    ['a string', 'ENGINE_FAULT', false],
  ])('that fails with %s ends as %s', async (error, code, retryable) => {
    const { ask, last, faults } = router(() => Promise.reject(error));
    ask(question);
    await settle();
    expect(last()).toMatchObject({ status: 'error', data: null, error: { code, retryable } });
    expect(last()?.error?.message).not.toContain('secret');
    expect(faults).toEqual(code === 'ENGINE_FAULT' ? [error] : []);
    if (code === 'QUEUE_FULL') expect(last()?.error?.retry_after_ms).toBe(500);
  });

  it('whose handler throws at once is answered too', async () => {
    const { ask, last, requests } = router(() => {
      throw new Error('at once');
    });
    ask(question);
    await settle();
    expect(last()?.error?.code).toBe('ENGINE_FAULT');
    expect(requests.stats().active).toBe(0);
  });

  it('whose answer is too large is told so', async () => {
    const sent: Response[] = [];
    const { ask } = router(async () => ({ text: 'x'.repeat(5000) }), {
      respond: (_, payload) => {
        if (payload.length > 2000) return 'too_large';
        sent.push(JSON.parse(payload.toString()));
        return 'sent';
      },
    });
    ask(question);
    await settle();
    expect(sent).toMatchObject([{ status: 'error', error: { code: 'TOO_LARGE' } }]);
  });
});

describe('a deadline', () => {
  it('ends the request, aborts its work, and what comes later is counted', async () => {
    const signals: AbortSignal[] = [];
    let finish: (value: unknown) => void = () => {};
    const { ask, sent, requests } = router((_, context) => {
      context.accepted();
      signals.push(context.signal);
      return new Promise((done) => {
        finish = done;
      });
    });
    ask({ ...question, deadline_ms: 100 });
    await vi.advanceTimersByTimeAsync(99);
    expect(sent.map(({ response }) => response.status)).toEqual(['accepted']);
    await vi.advanceTimersByTimeAsync(1);
    expect(sent.at(-1)?.response).toMatchObject({ status: 'error', error: { code: 'TIMEOUT', retryable: true } });
    expect(signals[0]?.aborted).toBe(true);
    finish({ late: true });
    await settle();
    expect(sent).toHaveLength(2);
    expect(requests.stats()).toMatchObject({ late: 1, active: 0, error: 1, ok: 0 });
  });

  it('that passes before the work was accepted is EXPIRED', async () => {
    const { ask, last } = router(() => new Promise(() => {}));
    ask({ ...question, deadline_ms: 10 });
    await vi.advanceTimersByTimeAsync(10);
    expect(last()?.error?.code).toBe('EXPIRED');
  });

  it('is the nearest of those named, or the default', async () => {
    const lefts: number[] = [];
    const { ask } = router(async (_, { deadlineMs }) => {
      lefts.push(deadlineMs);
    });
    ask(question);
    ask({ ...question, deadline_ms: 60_000 });
    ask({ ...question, deadline_ms: 60_000 }, { expiryS: 5 });
    ask(question, { expiryS: 4_000_000 });
    await settle();
    expect(lefts).toEqual([30_000, 60_000, 5000, 600_000]);
  });
});

describe('the same request again', () => {
  const withId = (id: string) => ({ responseTopic: 'mipha/v1/r/reply/a', correlation: Buffer.from(id) });

  it('is ignored while under way, and gets the same response later, without a second run', async () => {
    let finish: (value: unknown) => void = () => {};
    const run = vi.fn(
      () =>
        new Promise((done) => {
          finish = done;
        }),
    );
    const { ask, sent, requests } = router(run);
    ask(question, withId('1'));
    ask(question, { ...withId('1'), duplicate: true });
    expect(sent).toEqual([]);
    finish({ n: 1 });
    await settle();
    expect(sent).toHaveLength(1);
    ask({ ...question, deadline_ms: 500 }, withId('1')); // a repetition has less time left
    await settle();
    expect(run).toHaveBeenCalledOnce();
    expect(sent[1]).toEqual(sent[0]);
    expect(requests.stats()).toMatchObject({ duplicates: 1, repeated: 1, run: 1 });
    await vi.advanceTimersByTimeAsync(300_001);
    ask(question, withId('1'));
    expect(run).toHaveBeenCalledTimes(2);
  });

  it('is another one with another id, reply topic, verb or payload, or without any id', async () => {
    const run = vi.fn(async () => ({}));
    const { ask } = router(run);
    ask({ ...question, transaction: 'a' });
    ask({ ...question, transaction: 'b' });
    ask({ ...question, transaction: 'a', reply_to: 'mipha/v1/r/reply/a' });
    ask(question, withId('a'));
    ask({ ...question, max_age_ms: 100 }, withId('a')); // an id used again for something else
    ask(question);
    ask(question);
    await settle();
    expect(run).toHaveBeenCalledTimes(7);
  });

  it('runs again when it was only told to come back', async () => {
    let full = true;
    const { ask, last } = router(async () => {
      if (full) throw new RequestError('QUEUE_FULL', 'full');
      return { fine: true };
    });
    ask(question, withId('1'));
    await settle();
    expect(last()?.error?.code).toBe('QUEUE_FULL');
    full = false;
    ask(question, withId('1'));
    await settle();
    expect(last()?.status).toBe('ok');
  });

  it('is remembered within limits of count and bytes', async () => {
    const { ask, requests } = router(async () => ({ text: 'x'.repeat(10_000) }));
    for (let i = 0; i < 3000; i++) {
      ask({ ...question, transaction: `t${i}` });
      await settle();
    }
    const { remembered, evicted } = requests.stats();
    expect(remembered).toBeLessThan(1650);
    expect(remembered).toBeGreaterThan(1400);
    expect(evicted).toBe(3000 - remembered);
  });
});

describe('cancel', () => {
  const cancel = (target: string, more: Partial<Incoming> = {}) => [{ target }, { topic: topics.request('cancel'), ...more }] as const;

  it('ends a request by transaction or correlation data, is answered itself, and says when there is nothing to end', async () => {
    const { ask, sent } = router(patient);
    ask({ ...question, transaction: 't1' });
    ask(question, { responseTopic: 'mipha/v1/r/reply', correlation: Buffer.from('c1') });
    for (const target of ['t1', 'c1', 't1', 'nothing']) ask(...cancel(target));
    await settle();
    expect(sent.map(({ response: { verb, status, error, data } }) => [verb, status, error?.code ?? data])).toEqual([
      ['query', 'accepted', null],
      ['query', 'accepted', null],
      ['query', 'error', 'CANCELLED'],
      ['cancel', 'ok', { cancelled: true }],
      ['query', 'error', 'CANCELLED'],
      ['cancel', 'ok', { cancelled: true }],
      ['cancel', 'ok', { cancelled: false }],
      ['cancel', 'ok', { cancelled: false }],
    ]);
  });

  it('prefers the requests of the one who cancels, and never guesses between strangers', async () => {
    const { ask, requests } = router(patient);
    for (const who of ['a', 'b']) ask({ ...question, transaction: 'same' }, { responseTopic: `mipha/v1/${who}/reply` });
    ask(...cancel('same', { responseTopic: 'mipha/v1/c/reply' }));
    expect(requests.stats().errors.CANCELLED).toBeUndefined();
    ask(...cancel('same', { responseTopic: 'mipha/v1/a/reply' }));
    expect(requests.stats().errors.CANCELLED).toBe(1);
    ask(...cancel('same', { responseTopic: 'mipha/v1/c/reply' })); // only one is left
    expect(requests.stats().errors.CANCELLED).toBe(2);
  });

  it('is answered at once while every place is taken by work that ignores its signal', async () => {
    const { ask, last, requests } = router(() => new Promise(() => {}));
    for (let i = 0; i < 300; i++) ask({ ...question, transaction: `t${i}` });
    expect(requests.stats()).toMatchObject({ active: 256, errors: { QUEUE_FULL: 44 } });
    ask(...cancel('t3'));
    expect(last()).toMatchObject({ verb: 'cancel', status: 'ok', data: { cancelled: true } });
  });
});

describe('a broadcast', () => {
  it('reaches the handlers that allow it', async () => {
    const health = vi.fn(async (_: unknown, context: RequestContext) => ({ broadcast: context.broadcast }));
    const { requests, sent } = router(patient);
    (requests as unknown as { options: { handlers: Record<string, unknown> } }).options.handlers.health = health;
    requests.handle({ topic: 'mipha/v1/_all/request/health', payload: Buffer.alloc(0), retained: false, duplicate: false });
    await settle();
    expect(sent[0]).toMatchObject({ topic: topics.response('health'), response: { status: 'ok', data: { broadcast: true } } });
  });
});

describe('stop', () => {
  it('ends everything under way with SHUTTING_DOWN, and what comes after', async () => {
    const { ask, sent, requests } = router(patient);
    for (let i = 0; i < 5; i++) ask({ ...question, transaction: `${i}` });
    requests.stop();
    ask({ ...question, transaction: 'late' });
    await settle();
    const final = sent.filter(({ response }) => response.status !== 'accepted');
    expect(final).toHaveLength(6);
    expect(new Set(final.map(({ response }) => response.error?.code))).toEqual(new Set(['SHUTTING_DOWN']));
    expect(requests.stats().active).toBe(0);
    expect(vi.getTimerCount()).toBe(0);
  });
});
