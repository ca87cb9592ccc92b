/** The endpoint on the shipped model, asked by the clients that people have. */
import { readFile } from 'node:fs/promises';
import OpenAI, { type APIError, APIUserAbortError } from 'openai';
import { zodResponseFormat } from 'openai/helpers/zod';
import type { ChatCompletionCreateParamsNonStreaming, ChatCompletionMessageParam } from 'openai/resources/chat/completions';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { Mipha } from '../../src/index.js';
import { Serving } from '../../src/service/chat/serving.js';
import { say } from '../http/support.js';
import { evalScenes, NANO } from '../support/nano.js';

const [scene, other] = evalScenes() as [ReturnType<typeof evalScenes>[number], ReturnType<typeof evalScenes>[number]];
let mipha: Mipha;
let serving: Serving;
let client: OpenAI;
let port = 0;
let picture = '';
const warnings: string[] = [];

beforeAll(async () => {
  const options = { host: '127.0.0.1', port: 0, queue: 4, deadlineMs: 30_000, onWarning: (message: string) => warnings.push(message) };
  serving = new Serving(options);
  port = await serving.start();
  mipha = await Mipha.load(NANO);
  serving.serve(mipha);
  client = new OpenAI({ baseURL: `http://127.0.0.1:${port}/v1`, apiKey: 'unused', maxRetries: 0 });
  picture = await dataUrl(scene.picture);
});
afterAll(async () => {
  await serving.stop(1000);
  await mipha.dispose();
  expect(warnings).toEqual([]);
});

async function dataUrl(path: string): Promise<string> {
  return `data:image/png;base64,${(await readFile(path)).toString('base64')}`;
}
const about = (question: string, url = picture): ChatCompletionMessageParam => ({
  role: 'user',
  content: [
    { type: 'text', text: question },
    { type: 'image_url', image_url: { url } },
  ],
});
const ask = async (question: string, more: Partial<ChatCompletionCreateParamsNonStreaming> = {}) =>
  await client.chat.completions.create({ model: 'mipha-nano', messages: [about(question)], ...more });
const direct = async (question: string, path = scene.picture) => {
  await using view = await mipha.look(path);
  return (await view.ask(question)).text;
};
const failure = async (work: Promise<unknown>) =>
  await work.then(
    () => null,
    (error: unknown) => error as APIError & { param: string | null; error: { mipha?: { code: string } } },
  );

describe('the openai package', () => {
  it('lists the model with its context', async () => {
    const models = (await client.models.list()).data;
    expect(models).toEqual([
      { id: 'mipha-nano', object: 'model', created: expect.any(Number), owned_by: 'mipha-edge', max_model_len: mipha.context },
    ]);
    expect((await client.models.retrieve('mipha-nano')).id).toBe('mipha-nano');
    expect(await failure(client.models.retrieve('gpt-4o'))).toMatchObject({ status: 404, code: 'model_not_found', param: 'model' });
  });

  it('gets the answer that the SDK gives, and what it cost', async () => {
    const completion = await ask('Describe the scene.');
    const text = await direct('Describe the scene.');
    expect(completion.choices).toEqual([
      { index: 0, message: { role: 'assistant', content: text, refusal: null }, logprobs: null, finish_reason: 'stop' },
    ]);
    await using view = await mipha.look(scene.picture);
    const { tokens } = await view.ask('Describe the scene.');
    expect(completion.usage).toMatchObject({
      prompt_tokens: tokens.prompt,
      completion_tokens: tokens.answer,
      total_tokens: tokens.prompt + tokens.answer,
      prompt_tokens_details: { image_tokens: view.imageTokens },
    });
    expect(completion).toMatchObject({ object: 'chat.completion', model: 'mipha-nano', system_fingerprint: mipha.revision });
  });

  it('streams it in pieces, with usage where that is asked for', async () => {
    const stream = await client.chat.completions.create({
      model: 'mipha-nano',
      messages: [about('Describe the scene.')],
      stream: true,
      stream_options: { include_usage: true },
    });
    const chunks: OpenAI.ChatCompletionChunk[] = [];
    for await (const chunk of stream) chunks.push(chunk);
    expect(chunks[0]?.choices[0]?.delta).toEqual({ role: 'assistant', content: '' });
    const pieces = chunks.slice(1, -2).map(({ choices }) => choices[0]?.delta.content ?? '');
    expect(pieces.length).toBeGreaterThan(3);
    expect(pieces.join('')).toBe(await direct('Describe the scene.'));
    expect(chunks.at(-2)?.choices[0]).toMatchObject({ delta: {}, finish_reason: 'stop' });
    expect(chunks.at(-1)).toMatchObject({ choices: [], usage: { prompt_tokens: expect.any(Number), completion_tokens: expect.any(Number) } });
    expect(new Set(chunks.map(({ id }) => id)).size).toBe(1);
    const helped = client.chat.completions.stream({ model: 'mipha-nano', messages: [about('Is the lamp on?')] });
    expect((await helped.finalMessage()).content).toBe(await direct('Is the lamp on?'));
  });

  it('gets typed values, whole and streamed, with their probability', async () => {
    const shape = z.object({ lamp: z.boolean(), balls: z.int().min(0).max(9), cup: z.enum(['red', 'blue', 'yellow', 'green', 'none']) });
    const format = { response_format: zodResponseFormat(shape, 'kitchen'), logprobs: true };
    const parsed = await client.chat.completions.parse({ model: 'mipha-nano', messages: [about('What is to be seen?')], ...format });
    const value = parsed.choices[0]?.message.parsed;
    expect(shape.parse(value)).toEqual(value);
    const content = parsed.choices[0]?.message.content ?? '';
    const [token, ...rest] = parsed.choices[0]?.logprobs?.content ?? [];
    expect([rest, token?.token, token?.bytes]).toEqual([[], content, [...Buffer.from(content)]]);
    expect(Math.exp(token?.logprob ?? 1)).toBeCloseTo((parsed as unknown as { mipha: { confidence: number } }).mipha.confidence, 6);
    const streamed = client.chat.completions.stream({ model: 'mipha-nano', messages: [about('What is to be seen?')], ...format });
    expect((await streamed.finalChatCompletion()).choices[0]?.message.content).toBe(content);
  });

  it('keeps max_tokens and stop', async () => {
    const whole = await direct('Describe the scene.');
    const short = (await ask('Describe the scene.', { max_tokens: 4 })).choices[0];
    expect([short?.finish_reason, whole.startsWith(short?.message.content ?? 'no')]).toEqual(['length', true]);
    expect((await ask('Describe the scene.', { max_completion_tokens: 100_000 })).choices[0]?.message.content, 'more than the context has').toBe(
      whole,
    );
    const [, word = ''] = whole.split(' ');
    for (const stop of [word, [word], ['nothing of it', word]]) {
      const stopped = (await ask('Describe the scene.', { stop })).choices[0];
      expect([stopped?.finish_reason, stopped?.message.content]).toEqual(['stop', whole.slice(0, whole.indexOf(word))]);
    }
    const stream = await client.chat.completions.create({ model: 'mipha-nano', messages: [about('Describe the scene.')], stream: true, stop: word });
    let text = '';
    for await (const chunk of stream) text += chunk.choices[0]?.delta.content ?? '';
    expect(text).toBe(whole.slice(0, whole.indexOf(word)));
  });

  it('repeats itself with a seed, and is greedy without temperature', async () => {
    const wild = async (seed: number) => (await ask('Describe the scene.', { temperature: 2, seed })).choices[0]?.message.content;
    const texts = await Promise.all([wild(1), wild(1), wild(2)]);
    expect(texts[0]).toBe(texts[1]);
    expect(texts[0]).not.toBe(texts[2]);
    expect((await ask('Describe the scene.', { temperature: 0, top_p: 0.5 })).choices[0]?.message.content).toBe(await direct('Describe the scene.'));
  });

  it('has conversations: turns and the words of a system are in the prompt', async () => {
    const first = await ask('Is the lamp on?');
    const messages = [
      about('Is the lamp on?'),
      first.choices[0]?.message as ChatCompletionMessageParam,
      { role: 'user' as const, content: 'And the door?' },
    ];
    const second = await client.chat.completions.create({ model: 'mipha-nano', messages });
    await using view = await mipha.look(scene.picture);
    await using talk = await view.converse();
    await talk.ask('Is the lamp on?');
    const { text, tokens } = await talk.ask('And the door?');
    expect([second.choices[0]?.message.content, second.usage?.prompt_tokens]).toEqual([text, tokens.prompt]);
    const told = await client.chat.completions.create({
      model: 'mipha-nano',
      messages: [{ role: 'system', content: 'Be kind.' }, { role: 'developer', content: 'Be short.' }, about('Is the lamp on?')],
    });
    expect(told.choices[0]?.message.content).toBe(await direct('Be kind.\nBe short.\nIs the lamp on?'));
  });

  it('does not look twice at a picture within a minute, nor keeps two', async () => {
    const cost = async (url: string) => {
      const completion = await ask('Is the lamp on?', { messages: [about('Is the lamp on?', url)] });
      return (completion as unknown as { mipha: { timings: { vision_ms: number } } }).mipha.timings.vision_ms > 0;
    };
    const another = await dataUrl(other.picture);
    expect([await cost(another), await cost(another), await cost(picture), await cost(another)]).toEqual([true, false, true, true]);
    expect(mipha.status().views).toBe(1);
    const alone = await ask('Is the lamp on?', { messages: [about('Is the lamp on?', another)] });
    expect(alone.choices[0]?.message.content).toBe(await direct('Is the lamp on?', other.picture));
  });

  it('is told what is wrong, by field', async () => {
    const wrong = async (more: object) => {
      const { status, code, param, error } = (await failure(ask('Is the lamp on?', more))) ?? ({} as never);
      return [status, code, param, error?.mipha?.code];
    };
    const damaged = about('Is the lamp on?', `data:image/png;base64,${Buffer.from('no picture').toString('base64')}`);
    expect(await wrong({ messages: [damaged] })).toEqual([400, 'invalid_image', 'messages[0].content[1].image_url.url', 'ERR_IMAGE']);
    expect(await wrong({ messages: [about('x '.repeat(2000))] })).toEqual([400, 'context_length_exceeded', 'messages', 'ERR_CONTEXT_FULL']);
    expect(await wrong({ messages: [about('Is it?', 'camera:front')] })).toEqual([
      400,
      'unknown_camera',
      'messages[0].content[1].image_url.url',
      undefined,
    ]);
    expect(await wrong({ model: 'gpt-4o-mini' })).toEqual([404, 'model_not_found', 'model', undefined]);
    expect(await wrong({ mipha: { deadline_ms: 1 } })).toEqual([504, 'deadline_exceeded', null, 'ERR_DEADLINE']);
    expect(await wrong({ messages: [about('half \ud800')] })).toEqual([400, 'invalid_value', 'messages', 'ERR_OPTION']);
    const streamed = client.chat.completions.create({ model: 'mipha-nano', messages: [damaged], stream: true });
    expect(await failure(streamed), 'before anything is written').toMatchObject({ status: 400, code: 'invalid_image' });
  });

  it('hangs up, and what nobody waits for is not answered', async () => {
    const endless = { temperature: 2, max_tokens: 400 };
    const controllers = Array.from({ length: 4 }, () => new AbortController());
    const asked = controllers.map(({ signal }, seed) =>
      failure(client.chat.completions.create({ model: 'mipha-nano', messages: [about('Describe the scene.')], ...endless, seed }, { signal })),
    );
    await expect.poll(async () => await failure(ask('Is the lamp on?'))).toMatchObject({ status: 429, code: 'queue_full' });
    for (const controller of controllers) controller.abort();
    expect((await Promise.all(asked)).map((error) => error instanceof APIUserAbortError)).toEqual([true, true, true, true]);
    await expect.poll(async () => await failure(ask('Is the lamp on?')), { timeout: 5000 }).toBeNull();
    const stream = await client.chat.completions.create({ model: 'mipha-nano', messages: [about('Describe the scene.')], stream: true, ...endless });
    for await (const _ of stream) break;
    stream.controller.abort();
    const begun = performance.now();
    await ask('Is the lamp on?');
    expect(performance.now() - begun).toBeLessThan(3000);
  });

  it('is told when to come back while all places are taken', async () => {
    const many = await Promise.all(
      Array.from({ length: 12 }, async () =>
        say(port, '/v1/chat/completions', {
          method: 'POST',
          headers: { 'Content-Type': 'application/json' },
          body: JSON.stringify({ model: 'mipha-nano', messages: [about('Describe the scene.')] }),
        }),
      ),
    );
    const refused = many.filter(({ status }) => status === 429);
    expect(refused.length).toBeGreaterThan(0);
    expect(many.filter(({ status }) => status === 200).length).toBe(12 - refused.length);
    for (const { headers, text } of refused) {
      expect(Number(headers['retry-after'])).toBeGreaterThanOrEqual(1);
      expect(JSON.parse(text)).toMatchObject({
        error: { type: 'rate_limit_error', code: 'queue_full', mipha: { code: 'ERR_BUSY', retryable: true } },
      });
    }
  });
});

describe('others', () => {
  const post = async (body: object) =>
    await say(port, '/v1/chat/completions', {
      method: 'POST',
      headers: { 'Content-Type': 'application/json', Authorization: 'Bearer none' },
      body: JSON.stringify(body),
    });

  it.each([
    ['Frigate, one snapshot', () => ({ messages: [about('What does the person do?', picture)].map(detailed('low')), timeout: undefined })],
    [
      'Frigate, older: a bare text among the parts',
      () => ({
        messages: [{ role: 'user', content: [{ type: 'image_url', image_url: { url: picture, detail: 'low' } }, 'What does the person do?'] }],
      }),
    ],
    [
      'LLM Vision: a name before the picture, the question after it',
      () => ({
        messages: [
          { role: 'system', content: [{ type: 'text', text: 'Be short.' }] },
          {
            role: 'user',
            content: [
              { type: 'text', text: 'Image 1:' },
              { type: 'image_url', image_url: { url: picture, detail: 'auto' } },
              { type: 'text', text: 'Is the lamp on?' },
            ],
          },
        ],
        max_tokens: 3000,
        temperature: 0.5,
        top_p: 0.9,
      }),
    ],
    [
      'an evaluation: one choice, no sampling, penalties of nothing',
      () => ({
        messages: [about('Is the lamp on?')],
        n: 1,
        temperature: 0,
        frequency_penalty: 0,
        presence_penalty: 0,
        max_tokens: 1024,
        user: 'eval',
      }),
    ],
  ])('%s', async (_, body) => {
    const { status, text } = await post({ model: 'mipha-nano', ...body() });
    expect(status, text).toBe(200);
    expect(JSON.parse(text).choices[0].message.content).not.toBe('');
  });

  it('that send several pictures are told', async () => {
    const two = { role: 'user', content: [...(about('Which?').content as object[]), { type: 'image_url', image_url: { url: picture } }] };
    const { status, text } = await post({ model: 'mipha-nano', messages: [two] });
    expect([status, JSON.parse(text).error]).toMatchObject([400, { code: 'too_many_pictures', param: 'messages[0].content[2]' }]);
  });
});

/** As some clients say how closely the model is to look. */
function detailed(detail: 'low') {
  return (message: ChatCompletionMessageParam) => ({
    ...message,
    content: (message.content as { type: string; image_url?: object }[]).map((part) =>
      part.type === 'image_url' ? { ...part, image_url: { ...part.image_url, detail } } : part,
    ),
  });
}
