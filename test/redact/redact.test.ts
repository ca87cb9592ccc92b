import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { mask, secretsIn } from '../../src/camera/mask.js';
import { payloadSchemas } from '../../src/mqtt/schemas.js';
import { Redactor, VERBATIM } from '../../src/redact.js';
import { shown } from '../../src/service/config/secrets.js';

describe('the redactor', () => {
  it.each([
    [`Tops'ecret1`, [`Tops'ecret1`, 'Tops%27ecret1']],
    ['Tops ecret2', ['Tops ecret2', 'Tops%20ecret2', 'Tops\\ ecret2']],
    ['Tops"ecret3', ['Tops"ecret3', 'Tops%22ecret3', 'Tops\\"ecret3']],
    ['Tops\\ecret4', ['Tops\\ecret4', 'Tops%5Cecret4', 'Tops%5cecret4', 'Tops\\\\ecret4']],
    ['Tops%20ecret5', ['Tops%20ecret5', 'Tops ecret5']],
    ['Töps€cret', ['Töps€cret', 'T%C3%B6ps%E2%82%ACcret', 'T%c3%b6ps%e2%82%accret']],
    ['T%c3%b6ps', ['T%c3%b6ps', 'Töps', 'T%C3%B6ps']],
    ['a.*b$&', ['a.*b$&']],
  ])('hides %s in the forms in which it is printed', (secret, forms) => {
    const redactor = new Redactor([secret]);
    for (const form of forms) {
      expect(redactor.text(`<${form}>`)).toBe('<***>');
      const shown = redactor.json({ message: `<${form}>`, list: [form], deep: { refs: [{ key: 'uri', value: form }] } });
      expect(JSON.parse(shown)).toEqual({ message: '<***>', list: ['***'], deep: { refs: [{ key: 'uri', value: '***' }] } });
    }
  });

  it('leaves no rest where secrets overlap', () => {
    expect(new Redactor(['abcdef', 'defghi', 'efgh']).text('abcdefghi-xabcdefghix')).toBe('***-x***x');
    expect(new Redactor(['aXaXa']).text('aXaXaXaXa')).toBe('***');
  });

  it('cannot damage JSON', () => {
    const redactor = new Redactor(['","b":"', '{"a"', '1234', 'true', 'null', '\\"']);
    const value = { a: 'x', b: '","b":"', c: 12345, d: true, e: null, msg: 'true null 1234', f: '\\"\\"' };
    expect(JSON.parse(redactor.json(value))).toEqual({ a: 'x', b: '***', c: 12345, d: true, e: null, msg: '*** *** ***', f: '\\"\\"' });
    expect(JSON.parse(redactor.line(`${JSON.stringify(value)}\n`))).toMatchObject({ c: 12345, msg: '*** *** ***' });
  });

  it('knows too little of a short one to hide it everywhere', () => {
    const redactor = new Redactor(['abc', 'admin:abc@']);
    expect(redactor.text('abc at rtsp://admin:abc@host')).toBe('abc at rtsp://***host');
  });

  it('leaves answers, names and words of the contract alone, whatever the password is', () => {
    const redactor = new Redactor(['person', 'kitchen', 'online']);
    const result = { camera: 'kitchen', value: 'person', answer: 'person', status: 'online', refs: [{ key: 'kitchen', value: 'the kitchen' }] };
    expect(JSON.parse(redactor.json({ ...result, message: 'a person' }))).toEqual({
      ...result,
      refs: [{ key: 'kitchen', value: 'the ***' }],
      message: 'a ***',
    });
    expect(redactor.value({ answer: { type: 'choice', choices: ['person'] } })).toEqual({ answer: { type: 'choice', choices: ['person'] } });
  });

  it('keeps what it has once learnt, and costs nothing before', () => {
    const redactor = new Redactor();
    const body = { message: 'x' };
    expect(redactor.value(body)).toBe(body);
    redactor.add(['first-secret']);
    redactor.add(['second-secret']);
    expect(redactor.text('first-secret second-secret')).toBe('*** ***');
  });

  it.each(['://a:', 'rtsp://a:b', 'password=', 'user-pw=\\"', 'x', `"'`, 'a=b_', '!'])(
    'takes no time to speak of for 100 kB of %j, as an address or a text',
    (part) => {
      const text = part.repeat(1e5 / part.length);
      const begin = performance.now();
      for (const uri of [text, `rtsp://${text}`, `rtsp://h/${text}`, `gst:${text}`]) new Redactor(secretsIn(uri)).text(mask(uri));
      shown(text, []);
      expect(performance.now() - begin).toBeLessThan(5000); // what grows with the square takes a minute
    },
  );

  it('takes little time for the messages of 64 cameras', () => {
    const redactor = new Redactor(Array.from({ length: 64 }, (_, n) => [`user${n}:p4ss-w0rd%20${n}@`, `p4ss-w0rd%20${n}`]).flat());
    const message = {
      camera: 'front',
      message: 'x'.repeat(1000),
      watches: Array.from({ length: 8 }, (_, n) => ({ id: `w${n}`, question: 'Is it open?' })),
    };
    const begin = performance.now();
    for (let n = 0; n < 180; n++) redactor.json(message);
    expect(performance.now() - begin).toBeLessThan(500); // what a second brings at most
  });
});

describe('every text of the contract', () => {
  /** Texts that somebody else may have written: these are filtered. */
  const TEXTS = ['error', 'message', 'msg', 'source', 'uri'];
  const DIGITS = /^(v|seq)$/;

  it('is filtered, or is known to be a name, a time, a word or an answer', () => {
    const names = new Set<string>();
    const walk = (shape: unknown, name: string): void => {
      if (typeof shape !== 'object' || shape === null) return;
      const { type, properties, ...rest } = shape as { type?: string; properties?: Record<string, unknown> };
      if (type === 'string' && name !== '') names.add(name);
      for (const [key, property] of Object.entries(properties ?? {})) walk(property, key);
      for (const [key, part] of Object.entries(rest)) {
        if (['items', 'additionalProperties'].includes(key)) walk(part, key === 'items' ? name : '');
        if (Array.isArray(part)) for (const branch of part) walk(branch, name);
      }
    };
    const sent = Object.entries(payloadSchemas).filter(([name]) => !name.endsWith('request'));
    for (const [, schema] of sent) walk(z.toJSONSchema(schema), '');
    expect(names.size).toBeGreaterThan(20);
    expect([...names].filter((name) => !VERBATIM.has(name) && !TEXTS.includes(name) && !DIGITS.test(name))).toEqual([]);
    expect(TEXTS.filter((name) => VERBATIM.has(name))).toEqual([]);
  });
});
