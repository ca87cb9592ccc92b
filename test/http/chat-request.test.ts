/** What can be asked, and what is refused by name before anybody waits. */
import { describe, expect, it } from 'vitest';
import { jobOf, readRequest } from '../../src/http/chat-request.js';
import { IGNORED } from '../../src/http/chat-schema.js';
import type { Problem } from '../../src/http/problem.js';
import { withBounds } from '../../src/http/schema-bounds.js';

const PIXEL = 'data:image/png;base64,iVBORw0KGgo=';
const image = (url: unknown) => ({ type: 'image_url', image_url: { url } });
const user = (...content: unknown[]) => ({ role: 'user', content: content.length === 1 && typeof content[0] === 'string' ? content[0] : content });
const words = (text: string) => ({ type: 'text', text });
const said = (content: unknown) => ({ role: 'assistant', content });
const job = (body: object) => jobOf(readRequest({ model: 'm', messages: [user('Is it?')], ...body }));
const refusal = (body: object) => {
  try {
    job(body);
    return null;
  } catch (error) {
    const { status, options, message } = error as Problem;
    return { status, param: options.param, code: options.code, message };
  }
};

describe('what is read', () => {
  it('is the question with its picture, the turns before it, and what the system says in front', () => {
    expect(
      job({ messages: [{ role: 'system', content: 'Be kind.' }, user(words('One?'), image(PIXEL), words('Two?')), said('Yes.'), user('Why?')] }),
    ).toMatchObject({
      history: [{ question: 'Be kind.\nOne?\nTwo?', answer: 'Yes.' }],
      question: 'Why?',
      picture: { kind: 'bytes', bytes: Buffer.from('iVBORw0KGgo=', 'base64'), param: 'messages[1].content[1].image_url.url' },
    });
    expect(job({ messages: [user('bare text', image('camera:front-door'))] })).toMatchObject({
      question: 'bare text',
      picture: { kind: 'camera', camera: 'front-door' },
    });
  });

  it.each([
    'data:image/jpeg;base64,AAAA',
    'data:image/svg+xml;charset=utf-8;base64,AAAA',
    'DATA:IMAGE/PNG;BASE64,AAAA',
    'data:image/png;base64,AA\nAA',
  ])('may be a picture as %j', (url) => {
    expect(job({ messages: [user(words('x'), image(url))] }).picture?.kind).toBe('bytes');
  });

  it('has defaults, and takes null for what is not said', () => {
    const nothing = [
      'stream',
      'stop',
      'temperature',
      'top_p',
      'seed',
      'max_tokens',
      'max_completion_tokens',
      'response_format',
      'logprobs',
      'n',
      'tools',
    ];
    expect(job(Object.fromEntries(nothing.map((name) => [name, null])))).toEqual({
      picture: null,
      history: [],
      question: 'Is it?',
      schema: null,
      stops: [],
      maxTokens: 512,
      priority: 0,
    });
  });

  it('leaves aside what says nothing about the answer', () => {
    expect(IGNORED.length).toBeGreaterThan(5);
    expect(refusal(Object.fromEntries(IGNORED.map((name) => [name, { any: ['thing'] }])))).toBeNull();
  });
});

describe('nothing is fetched', () => {
  const addresses = [
    'http://127.0.0.1:1/x.jpg',
    'https://example.org/x.jpg',
    ' https://example.org/x.jpg',
    '//example.org/x.jpg',
    'ftp://example.org/x.jpg',
    'file:///etc/passwd',
    '/etc/passwd',
    'rtsp://cam/live',
    'data:text/html;base64,AAAA',
    'data:image/png,AAAA',
    'data:image/png;base64,http://example.org',
    'data:,',
    'blob:x',
    'camera:',
    'camera:../front',
    'camera:front?x',
    'CAMERA:front',
    'javascript:alert(1)',
    '',
  ];
  it.each(addresses)('from %j', (url) => {
    expect(refusal({ messages: [user(words('x'), image(url))] })).toMatchObject({ status: 400, param: 'messages[0].content[1].image_url.url' });
  });
});

describe('is refused by name', () => {
  const schema = (value: unknown) => ({ response_format: { type: 'json_schema', json_schema: { name: 'x', schema: value } } });

  it.each([
    [{ messages: [] }, 'messages'],
    [{ messages: 'x' }, 'messages'],
    [{ messages: [{ role: 'tool', content: 'x', tool_call_id: 'y' }] }, 'messages[0].role'],
    [{ messages: [{ role: 'user' }] }, 'messages[0].content'],
    [{ messages: [user({ type: 'input_audio', input_audio: {} })] }, 'messages[0].content[0].type'],
    [{ messages: [user({ type: 'text', text: 1 })] }, 'messages[0].content[0].text'],
    [{ messages: [user({ ...image(PIXEL), cache: true })] }, 'messages[0].content[0].cache'],
    [{ messages: [user(image(1), words('x'))] }, 'messages[0].content[0].image_url.url'],
    [{ messages: [user({ type: 'image_url', image_url: PIXEL })] }, 'messages[0].content[0].image_url'],
    [{ messages: [user(image(PIXEL))] }, 'messages[0].content'],
    [{ messages: [user(' ')] }, 'messages[0].content'],
    [{ messages: [user(words('x'), image(PIXEL), image(PIXEL))] }, 'messages[0].content[2]'],
    [{ messages: [user('a'), said('b'), user(words('x'), image(PIXEL))] }, 'messages[2].content[1]'],
    [{ messages: [user('a'), said('b')] }, 'messages'],
    [{ messages: [said('b'), user('a')] }, 'messages[0].role'],
    [{ messages: [user('a'), user('b')] }, 'messages[1].role'],
    [{ messages: [user('a'), said('b'), { role: 'system', content: 'x' }] }, 'messages[2].role'],
    [{ messages: [{ role: 'system', content: 'x' }] }, 'messages'],
    [{ messages: [user('a'), { ...said(null), tool_calls: [{ id: 'x' }] }, user('c')] }, 'messages[1].content'],
    [{ temperature: 3 }, 'temperature'],
    [{ temperature: '0' }, 'temperature'],
    [{ top_p: 0 }, 'top_p'],
    [{ seed: -1 }, 'seed'],
    [{ max_tokens: 0 }, 'max_tokens'],
    [{ max_tokens: 5, max_completion_tokens: 6 }, 'max_tokens'],
    [{ stop: ['a', 'b', 'c', 'd', 'e'] }, 'stop'],
    [{ stop: '' }, 'stop'],
    [{ n: 2 }, 'n'],
    [{ frequency_penalty: 0.5 }, 'frequency_penalty'],
    [{ tools: [{ type: 'function' }] }, 'tools'],
    [{ logit_bias: { 5: 1 } }, 'logit_bias.5'],
    [{ top_k: 40 }, 'top_k'],
    [{ mipha: { priority: 10 } }, 'mipha.priority'],
    [{ mipha: { deadline: 1 } }, 'mipha.deadline'],
    [{ logprobs: true }, 'logprobs'],
    [{ stream_options: {} }, 'stream_options'],
    [{ response_format: { type: 'json_object' } }, 'response_format.type'],
    [{ response_format: { type: 'json_schema' } }, 'response_format.json_schema'],
    [{ ...schema({ type: 'boolean' }), stop: 'x' }, 'stop'],
    [JSON.parse('{"__proto__": {"x": 1}}'), '__proto__'],
  ])('%j', (body, param) => {
    const found = refusal(body);
    expect([found?.status, found?.param]).toEqual([400, param]);
    expect(found?.message).toContain(param);
  });
});

describe('bounds that a schema lacks', () => {
  it('are filled in, and none that it has is changed', () => {
    const written = {
      type: 'object',
      properties: {
        name: { type: 'string', default: 'x' },
        code: { type: ['string', 'null'], minLength: 300 },
        tags: { type: 'array', items: { type: 'string', maxLength: 5 } },
        count: { type: 'integer', minimum: 0 },
        far: { type: 'number', minimum: 5_000_000 },
        odd: { type: 'number', multipleOf: 0.5 },
        low: { type: 'integer', multipleOf: 3, maximum: 10 },
        deep: { anyOf: [{ type: 'integer' }, { type: 'null' }] },
        kind: { type: 'string', enum: ['a', 'b'] },
      },
      additionalProperties: true,
    };
    expect(withBounds(written)).toEqual({
      type: 'object',
      properties: {
        name: { type: 'string', maxLength: 256 },
        code: { type: ['string', 'null'], minLength: 300, maxLength: 300 },
        tags: { type: 'array', items: { type: 'string', maxLength: 5 }, maxItems: 8 },
        count: { type: 'integer', minimum: 0, maximum: 1_000_000 },
        far: { type: 'number', minimum: 5_000_000, maximum: 6_000_000 },
        odd: { type: 'number', multipleOf: 0.5, minimum: -250, maximum: 250 },
        low: { type: 'integer', multipleOf: 3, maximum: 10, minimum: -1490 },
        deep: { anyOf: [{ type: 'integer', minimum: -1_000_000, maximum: 1_000_000 }, { type: 'null' }] },
        kind: { type: 'string', enum: ['a', 'b'] },
      },
      additionalProperties: false,
    });
  });

  it('are shorter where many texts share them', () => {
    const texts = (count: number) => ({
      type: 'object',
      properties: Object.fromEntries(Array.from({ length: count }, (_, n) => [`t${n}`, { type: 'string' }])),
    });
    const longest = (count: number) => (withBounds(texts(count)).properties as Record<string, { maxLength: number }>).t0?.maxLength;
    expect([longest(1), longest(4), longest(8), longest(32)]).toEqual([256, 256, 128, 32]);
    const list = { type: 'array', items: { type: 'string' }, maxItems: 60 };
    expect(withBounds(list)).toEqual({ ...list, items: { type: 'string', maxLength: 17 } });
  });

  it.each([
    [
      'many properties',
      { type: 'object', properties: Object.fromEntries(Array.from({ length: 33 }, (_, n) => [`p${n}`, { type: 'boolean' }])) },
      'schema.properties',
    ],
    ['many values', { enum: Array.from({ length: 513 }, (_, n) => n) }, 'schema.enum'],
    ['many options', { anyOf: Array.from({ length: 200 }, (_, n) => ({ const: n })) }, 'schema'],
    [
      'many levels',
      Array.from({ length: 20 }).reduce<object>((inner) => ({ type: 'object', properties: { a: inner } }), { type: 'boolean' }),
      'schema.properties.a',
    ],
    ['many of all', { type: 'object', properties: { a: ten(ten(ten({ type: 'boolean' }))) } }, 'schema.properties.a.properties.p'],
  ])('are not looked for in %s', (_, schema, path) => {
    const found = refusal({ response_format: { type: 'json_schema', json_schema: { name: 'x', schema } } });
    expect([found?.status, found?.code, found?.param?.startsWith(`response_format.json_schema.${path}`)]).toEqual([400, 'invalid_json_schema', true]);
  });
});

function ten(inner: object): object {
  return { type: 'object', properties: Object.fromEntries(Array.from({ length: 10 }, (_, n) => [`p${n}`, inner])) };
}
