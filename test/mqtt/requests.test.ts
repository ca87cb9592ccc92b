import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { MiphaError } from '../../src/errors.js';
import type { Freshness } from '../../src/mqtt/freshness.js';
import { type Response, responseSchema } from '../../src/mqtt/messages.js';
import { RequestError } from '../../src/mqtt/request-error.js';
import { type Handlers, type RequestContext, Requests, type RequestsOptions } from '../../src/mqtt/requests.js';
import type { Incoming, Properties } from '../../src/mqtt/wire.js';
import { handle, topics } from './nodes.js';

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
    handle(requests, {
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

  it.each(['a.b', 'a b', '>', '*', 'a\tb'])('may not have its response sent to what ends connections with MQTT 3.1.1: %j', async (word) => {
    const topic = `mipha/v1/robot/reply/${word}`;
    for (const plainReplies of [true, false]) {
      const { ask, sent } = router(async () => ({}), { plainReplies });
      ask({ ...question, transaction: 't', reply_to: topic });
      await settle();
      const tab = word.includes('\t'); // which no topic has
      expect(sent.at(-1)?.response.error?.code).toBe(plainReplies || tab ? 'FORBIDDEN' : undefined);
    }
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

  it.each([
    ['mine', 'mine'],
    ['', ''],
    [17, '17'],
    [1.5, '1.5'],
    [true, 'true'],
    [{ id: 7 }, '{"id":7}'],
    [[1, 2], '[1,2]'],
    [null, null],
    ['x'.repeat(200), 'x'.repeat(128)],
    [`${'x'.repeat(127)}😀`, 'x'.repeat(127)],
  ])('that refuses a request repeats its transaction %j as %j', (transaction, repeated) => {
    const { ask, last } = router(async () => ({}));
    for (const [body, more] of [
      [{ question: 7, transaction }, {}],
      [{ ...question, transaction }, { retained: true }],
      [{ ...question, transaction }, { responseTopic: 'elsewhere' }],
      [{ ...question, transaction }, { correlation: Buffer.alloc(1025) }],
      [{ ...question, transaction }, { expiryS: 0 }],
      [{ ...question, transaction, reply_to: 'elsewhere' }, {}],
      [{ transaction }, { topic: topics.request('dance') }],
      [{ transaction }, { topic: 'mipha/v1/_all/request/restart' }],
    ] as const) {
      ask(body, more);
      expect(last()).toMatchObject({ status: 'error', transaction: repeated });
    }
  });

  it('that is refused is told so on the topic it names, whatever is wrong with it', () => {
    const { ask, sent } = router(async () => ({}));
    const reply_to = 'mipha/v1/robot/reply/1';
    ask({ ...question, transaction: 7, reply_to });
    ask({ ...question, reply_to }, { retained: true });
    ask({ reply_to }, { topic: topics.request('dance') });
    expect(sent.map(({ topic, response }) => [topic, response.error?.code])).toEqual([
      [reply_to, 'SCHEMA'],
      [reply_to, 'RETAINED_COMMAND'],
      [reply_to, 'UNKNOWN_VERB'],
    ]);
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

  it('that finds every place taken is told when to try again', async () => {
    const { ask, last } = router(() => Promise.reject(new MiphaError('ERR_BUSY', 'full', { details: { limit: 4, retryAfterMs: 420 } })));
    ask(question);
    await settle();
    expect(last()?.error).toMatchObject({ code: 'QUEUE_FULL', retryable: true, retry_after_ms: 420 });
  });

  it('whose answer has lost its validity before it is there is refused, and its response lives no longer than its answer', async () => {
    const took = async (ms: number) => {
      const { ask, sent, last } = router(async (_, { about }) => {
        about({ capturedMs: performance.now(), maxAgeMs: 2000, ttlMs: 1000 });
        await new Promise((done) => setTimeout(done, ms));
        return { value: true };
      });
      ask(question);
      await vi.advanceTimersByTimeAsync(ms);
      return { response: last(), expiryS: sent.at(-1)?.properties.expiryS };
    };
    expect(await took(400)).toMatchObject({ response: { status: 'ok' }, expiryS: 0.6 });
    expect(await took(1000)).toMatchObject({ response: { status: 'error', data: null, error: { code: 'EXPIRED', retryable: true } }, expiryS: 30 });
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

  const fresh = { maxAgeMs: 2000, ttlMs: 30_000 };
  /** Answers with the number of the run, about a picture taken at that moment or `agoMs` before. */
  const counting = (freshness: Partial<Freshness> = {}, agoMs = 0) => {
    let n = 0;
    return async (_: unknown, { about }: RequestContext) => {
      about({ ...fresh, ...freshness, capturedMs: performance.now() - agoMs });
      return { n: ++n };
    };
  };

  it('is ignored while under way, and gets the same response later, without a second run', async () => {
    let finish: (value: unknown) => void = () => {};
    const run = vi.fn((_: unknown, { about }: RequestContext) => {
      about({ ...fresh, capturedMs: performance.now() });
      return new Promise((done) => {
        finish = done;
      });
    });
    const { ask, sent, requests } = router(run);
    ask(question, withId('1'));
    ask(question, { ...withId('1'), duplicate: true });
    ask(question, withId('1'));
    expect(sent).toEqual([]);
    finish({ n: 1 });
    await settle();
    expect(sent).toHaveLength(1);
    ask({ ...question, deadline_ms: 500 }, withId('1')); // a repetition has less time left
    await settle();
    expect(run).toHaveBeenCalledOnce();
    expect(sent[1]?.response).toEqual(sent[0]?.response);
    expect(requests.stats()).toMatchObject({ duplicates: 2, repeated: 1, run: 1 });
  });

  it('about a picture is answered from memory only while that is young enough for it, and may be relied upon', async () => {
    const { ask, last } = router(counting());
    const asked = async (body: object) => {
      ask(body, withId('robot'));
      await settle();
      return (last()?.data as { n?: number } | null)?.n ?? last()?.error?.code;
    };
    expect(await asked(question)).toBe(1);
    await vi.advanceTimersByTimeAsync(1999);
    expect(await asked(question)).toBe(1);
    await vi.advanceTimersByTimeAsync(1);
    expect(await asked(question)).toBe(2); // 2 s old: the caller wants a younger picture
    const short = router(counting({ maxAgeMs: 60_000, ttlMs: 300 }));
    const again = async () => {
      short.ask(question, withId('robot'));
      await settle();
      return short.last()?.data;
    };
    expect(await again()).toEqual({ n: 1 });
    await vi.advanceTimersByTimeAsync(299);
    expect(await again()).toEqual({ n: 1 });
    await vi.advanceTimersByTimeAsync(1);
    expect(await again()).toEqual({ n: 2 }); // it was valid for 300 ms only
  });

  it('asked anew when the picture under way was too old already runs once more, delivered twice does not', async () => {
    const finishers: ((value: unknown) => void)[] = [];
    const run = vi.fn((_: unknown, { about }: RequestContext) => {
      about({ ...fresh, maxAgeMs: 500, capturedMs: performance.now() });
      return new Promise((done) => finishers.push(done));
    });
    const { ask, sent } = router(run);
    ask(question, withId('1'));
    await vi.advanceTimersByTimeAsync(400);
    ask(question, withId('1')); // that picture will do
    await vi.advanceTimersByTimeAsync(600);
    ask(question, { ...withId('1'), duplicate: true });
    finishers[0]?.({ n: 1 });
    await settle();
    expect(run).toHaveBeenCalledOnce();
    ask(question, withId('1'));
    expect(run).toHaveBeenCalledTimes(2); // 1 s old: too old to be repeated
    await vi.advanceTimersByTimeAsync(600);
    ask(question, withId('1')); // wants a younger one than that
    finishers[1]?.({ n: 2 });
    await settle();
    expect(run).toHaveBeenCalledTimes(3);
    finishers[2]?.({ n: 3 });
    await settle();
    expect(sent.map(({ response }) => response.data)).toEqual([{ n: 1 }, { n: 2 }, { n: 3 }]);
  });

  it('of a change gets the same response for the whole window, unless the node has changed since', async () => {
    let world = {};
    const run = vi.fn(async () => ({ watch: 'w', persisted: false }));
    const { requests, last } = router(patient, { dedupeMs: 60_000, world: () => world });
    (requests as unknown as { options: { handlers: Record<string, unknown> } }).options.handlers['watch/delete'] = run;
    const remove = async () => {
      const payload = Buffer.from(JSON.stringify({ watch: 'w', transaction: 'robot' }));
      handle(requests, { topic: topics.request('watch/delete'), payload, retained: false, duplicate: false });
      await settle();
    };
    await remove();
    await vi.advanceTimersByTimeAsync(59_999);
    await remove();
    expect(run).toHaveBeenCalledOnce();
    world = {}; // somebody has put the watch again
    await remove();
    expect(run).toHaveBeenCalledTimes(2);
    await vi.advanceTimersByTimeAsync(60_000);
    await remove();
    expect(run).toHaveBeenCalledTimes(3);
    expect(last()).toMatchObject({ status: 'ok', data: { watch: 'w' } });
  });

  it.each(['health', 'announce', 'snapshot'])('for %s is always answered anew', async (verb) => {
    const run = vi.fn(async () => ({ run: run.mock.calls.length }));
    const { requests, sent } = router(patient);
    (requests as unknown as { options: { handlers: Record<string, unknown> } }).options.handlers[verb] = run;
    for (let i = 0; i < 2; i++) {
      handle(requests, { topic: topics.request(verb), payload: Buffer.from('{"transaction":"robot"}'), retained: false, duplicate: false });
      await settle();
    }
    expect(sent.map(({ response }) => response.data)).toEqual([{ run: 1 }, { run: 2 }]);
  });

  it('to cancel cancels again', async () => {
    const { ask, requests } = router(patient);
    for (let i = 1; i <= 2; i++) {
      ask({ ...question, transaction: 'robot' });
      ask({ target: 'robot', transaction: 'robot' }, { topic: topics.request('cancel') });
      await settle();
      expect(requests.stats().errors.CANCELLED).toBe(i);
    }
  });

  it.each([
    'NO_FRAME',
    'STALE_FRAME',
    'QUEUE_FULL',
    'EXPIRED',
    'TIMEOUT',
    'MODEL_LOADING',
    'ENGINE_FAULT',
    'UNKNOWN_CAMERA',
    'UNKNOWN_WATCH',
    'FORBIDDEN',
    'CANCELLED',
  ] as const)('runs again after %s: what stood in the way may be gone', async (code) => {
    let refused = true;
    const { ask, last } = router(async () => {
      if (refused) throw new RequestError(code, 'not now');
      return { fine: true };
    });
    ask(question, withId('1'));
    await settle();
    expect(last()?.error?.code).toBe(code);
    refused = false;
    ask(question, withId('1'));
    await settle();
    expect(last()).toMatchObject({ status: 'ok', data: { fine: true } });
  });

  it('is another one with another id, reply topic, verb or payload, or without any id', async () => {
    const run = vi.fn(counting());
    const { ask } = router(run);
    ask({ ...question, transaction: 'a' });
    ask({ ...question, transaction: 'b' });
    ask({ ...question, transaction: 'a', reply_to: 'mipha/v1/r/reply/a' });
    ask(question, withId('a'));
    await settle();
    ask({ ...question, max_age_ms: 100 }, withId('a')); // an id used again for something else
    ask({ ...question, transaction: 'b' }, withId('a')); // the response would carry another transaction
    ask(question);
    ask(question);
    await settle();
    expect(run).toHaveBeenCalledTimes(8);
  });

  it('is remembered within limits of count and bytes', async () => {
    const { ask, requests } = router(async (_, { about }) => {
      about({ ...fresh, capturedMs: performance.now() });
      return { text: 'x'.repeat(10_000) };
    });
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
    handle(requests, { topic: 'mipha/v1/_all/request/health', payload: Buffer.alloc(0), retained: false, duplicate: false });
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
