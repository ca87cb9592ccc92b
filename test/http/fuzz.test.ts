/** Whatever is sent gets one well-formed answer, tells nothing of the machine, and makes the node call nobody. */
import { Agent, createServer, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Answerer, ChatJob } from '../../src/http/answerer.js';
import { chatRoutes } from '../../src/http/chat.js';
import { counts } from '../support/counts.js';
import { Random } from '../support/random.js';
import { open, type Port } from './support.js';

const asked: ChatJob[] = [];
const answerer: Answerer = {
  model: () => ({ name: 'm', revision: 'r', context: 512 }),
  checkRoom: () => {},
  async answer(job, { onText }) {
    asked.push(job);
    onText?.('yes');
    const timings = { queue_ms: 0, prep_ms: 0, vision_ms: 0, prefill_ms: 0, decode_ms: 0, total_ms: 0 };
    return { text: 'yes', confidence: null, finish: 'stop', tokens: { prompt: 1, cached: 0, image: 0, answer: 1 }, frame: null, timings };
  },
};

let port: Port;
let canary: { url: string; calls: number; close: () => void };
const agent = new Agent({ keepAlive: true, maxSockets: 8 });
beforeAll(async () => {
  port = await open({ mounts: [chatRoutes(answerer)], bodyBytes: 65_536 });
  const server = createServer((_, response) => {
    canary.calls++;
    response.end();
  });
  server.on('connection', () => canary.calls++);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  canary = { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/picture.jpg`, calls: 0, close: () => server.close() };
});
afterAll(async () => {
  agent.destroy();
  canary.close();
  await port[Symbol.asyncDispose]();
});

async function send(
  method: string,
  path: string,
  headers: Record<string, string>,
  body: Buffer,
): Promise<{ status: number; type: string; text: string }> {
  return await new Promise((resolve, reject) => {
    const sent = request({ host: '127.0.0.1', port: port.port, method, path, headers, agent }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (part: string) => (text += part));
      response.on('end', () => resolve({ status: response.statusCode ?? 0, type: response.headers['content-type'] ?? '', text }));
    });
    sent.on('error', (error: NodeJS.ErrnoException) => {
      // the other side may close an idle connection in the moment in which it is used again
      if (sent.reusedSocket && error.code === 'ECONNRESET') send(method, path, headers, body).then(resolve, reject);
      else reject(error);
    });
    sent.end(body);
  });
}

const whole = () => ({
  model: 'm',
  messages: [
    { role: 'system', content: 'Be short.' },
    {
      role: 'user',
      content: [
        { type: 'text', text: 'Is it?' },
        { type: 'image_url', image_url: { url: 'data:image/png;base64,AAAA', detail: 'low' } },
      ],
    },
    { role: 'assistant', content: 'Yes.' },
    { role: 'user', content: 'And now?' },
  ],
  stream: false,
  max_tokens: 5,
  temperature: 0,
  top_p: 1,
  seed: 1,
  stop: ['x'],
  user: 'someone',
  mipha: { priority: 1 },
});

/** Every place in a value, with how to put something else there. */
function places(value: unknown): ((next: unknown) => void)[] {
  if (typeof value !== 'object' || value === null) return [];
  const holder = value as Record<string, unknown>;
  return Object.keys(holder).flatMap((key) => [
    (next: unknown) => void Object.defineProperty(holder, key, { value: next, enumerable: true }),
    ...places(holder[key]),
  ]);
}

describe('whatever is sent', () => {
  it('is answered in the shape of the interface, and the node lives', async () => {
    const random = new Random(23);
    const odd = (): unknown =>
      random.pick<() => unknown>([
        () => null,
        () => random.below(1000) - 500,
        () => 1e308,
        () => -0.5,
        () => '',
        () => random.text(['a', '\u0000', '\ud800', '👍', '"', '\\', '</script>', '{{', '%00', '\r\n'], 0, 20),
        () => canary.url,
        () => ({}),
        () => [],
        () => ({ [random.text(['a', '__proto__', 'constructor', 'type', 'url'], 1, 2)]: canary.url }),
        () => Array.from({ length: 40 }, () => []),
        () => 'x'.repeat(5000),
        () => JSON.parse('['.repeat(500) + ']'.repeat(500)),
        () => JSON.parse('{"__proto__": {"polluted": 1}, "toString": 1}'),
        () => 'camera:front',
        () => 'json_schema',
        () => ({ type: 'json_schema', json_schema: { name: 'x', schema: { type: 'object', properties: { a: { $ref: canary.url } } } } }),
      ])();
    const body = (): Buffer => {
      const kind = random.below(10);
      if (kind === 0) return Buffer.from(Array.from({ length: random.below(200) }, () => random.below(256)));
      if (kind === 1)
        return Buffer.from(
          random.pick(['', 'null', '[]', '"x"', '{', '1e999', '{"model":"m"}', '[[[[', '\ufeff{}', 'NaN', '{"model":"m","model":"n"}']),
        );
      const value = whole();
      for (let n = random.below(4); n > 0; n--) random.pick(places(value))?.(odd());
      if (random.below(6) === 0) Object.assign(value, { [random.text(['to', 'ol', 's_', 'x'], 1, 4)]: odd() });
      if (random.below(6) === 0) Object.assign(value, { response_format: odd() });
      const text = Buffer.from(JSON.stringify(value));
      if (kind === 2) return text.subarray(0, random.below(text.length));
      if (kind === 3) text[random.below(text.length)] = random.below(256);
      return text;
    };
    const one = async () => {
      const bytes = body();
      const path = random.pick([
        '/v1/chat/completions',
        '/v1/chat/completions',
        '/v1/chat/completions',
        '/v1/models',
        '/v1/models/x%2f..',
        '/login',
        '/v1',
        '/v1/x?y=%zz',
      ]);
      const method = random.pick(['POST', 'POST', 'POST', 'POST', 'GET', 'PUT', 'DELETE', 'OPTIONS', 'PATCH']);
      const type = random.pick(['application/json', 'application/json', 'application/json; charset=utf-8', 'text/plain', 'application/jsonx', '']);
      const { status, type: said, text } = await send(method, path, { 'Content-Type': type, 'Content-Length': `${bytes.length}` }, bytes);
      const what = `${method} ${path} ${type} ${bytes.toString('latin1').slice(0, 300)} -> ${status} ${text.slice(0, 300)}`;
      expect([200, 204, 400, 404, 405, 413, 415, 429], what).toContain(status);
      if (status >= 400 && path.startsWith('/v1/')) {
        const { error } = JSON.parse(text);
        expect(Object.keys(error).slice(0, 4), what).toEqual(['message', 'type', 'param', 'code']);
        expect([typeof error.message, typeof error.type, typeof error.code], what).toEqual(['string', 'string', 'string']);
      }
      expect(text, what).not.toMatch(/node_modules|\.[jt]s:\d+|\bat \w+ \(|TypeError|RangeError|ZodError/);
      if (status === 200) expect(['application/json', 'text/event-stream; charset=utf-8'], what).toContain(said);
    };
    for (let done = 0; done < counts(5000, 50_000); done += 50) await Promise.all(Array.from({ length: 50 }, one));
    expect(port.faults).toEqual([]);
    expect(({} as { polluted?: number }).polluted).toBeUndefined();
    expect(asked.length).toBeGreaterThan(50);
    expect(canary.calls).toBe(0);
  }, 1_200_000);

  it('with an address of another machine in any field makes no call', async () => {
    const schema = () => ({ type: 'json_schema', json_schema: { name: 'x', schema: { type: 'object', properties: { a: { type: 'boolean' } } } } });
    const full = () => ({ ...whole(), stop: null, response_format: schema(), metadata: { a: 'b' } });
    const all = places(full()).length;
    for (const url of [canary.url, canary.url.replace('http:', ''), canary.url.replace('http:', 'https:'), { url: canary.url }] as const) {
      for (let index = 0; index < all; index++) {
        const value = full();
        places(value)[index]?.(structuredClone(url));
        const { status } = await send('POST', '/v1/chat/completions', { 'Content-Type': 'application/json' }, Buffer.from(JSON.stringify(value)));
        expect([200, 400, 404]).toContain(status);
      }
    }
    expect(canary.calls).toBe(0);
    expect(asked.map(({ picture }) => JSON.stringify(picture)).filter((text) => text.includes('127.0.0.1'))).toEqual([]);
  });
});
