import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { z } from 'zod';
import { loadAddon } from '../../src/addon/load.js';
import { completion, walk } from '../../src/engine/automaton.js';
import { constraintOf } from '../../src/engine/constraint.js';
import { SHORT } from '../../src/engine/prompt.js';
import { shapeOf } from '../../src/engine/schema.js';
import { loadTokenizer } from '../../src/engine/tokenizer.js';
import { type AnswerType, Mipha } from '../../src/index.js';
import { PHI } from '../../src/package/prompts.js';
import { type EvalScene, evalScenes, NANO } from '../support/nano.js';
import { loadReference } from '../support/reference.js';

const scenes = evalScenes();
let mipha: Mipha;
beforeAll(async () => {
  mipha = await Mipha.load(NANO);
});
afterAll(async () => {
  await mipha.dispose();
});

const code = async (promise: Promise<unknown>) => ((await promise.catch((error: unknown) => error)) as { code?: string }).code;

/** Scenes with a question of these words that is answered in a word. */
function* askedFor(words: string, limit: number): Generator<{ scene: EvalScene; answer: string }> {
  for (const scene of scenes) {
    const found = scene.qa.find(([question]) => question.startsWith(`${words}\n`));
    if (found !== undefined && limit-- > 0) yield { scene, answer: found[1] };
  }
}

async function share(words: string, as: AnswerType<unknown>, truth: (answer: string) => unknown): Promise<{ right: number; total: number }> {
  let [right, total] = [0, 0];
  for (const { scene, answer } of askedFor(words, 20)) {
    await using view = await mipha.look(scene.picture);
    const { value, confidence } = await view.ask(words, { as });
    expect(confidence).toBeGreaterThan(0);
    expect(confidence).toBeLessThanOrEqual(1);
    total++;
    if (value === truth(answer)) right++;
  }
  expect(total).toBeGreaterThan(5);
  return { right, total };
}

describe('typed answers', () => {
  it('say what is in the picture', async () => {
    const colours = ['red', 'green', 'blue', 'yellow', 'white', 'black', 'orange', 'purple'] as const;
    const results = [
      await share('Is the table empty?', z.boolean(), (answer) => answer === 'Yes'),
      await share('Is the door closed?', z.boolean(), (answer) => answer === 'Yes'),
      await share('How many objects are on the table?', z.int().min(0).max(9), Number),
      await share('What is the color of the cup?', z.enum(colours), (answer) => answer.toLowerCase()),
    ];
    const right = results.reduce((sum, result) => sum + result.right, 0);
    const total = results.reduce((sum, result) => sum + result.total, 0);
    expect(right / total).toBeGreaterThanOrEqual(0.97);
  });

  it('hold for every kind of schema, also where the model knows nothing', async () => {
    await using view = await mipha.look(scenes[0]?.picture as string);
    const schemas = [
      z.literal('only'),
      z.enum(['left side', 'left', 'right']),
      z.int().min(-7).max(100_000),
      z.number().min(0.5).max(0.75),
      z.string().min(1).max(12),
      z.object({ on: z.boolean(), count: z.int().min(3).max(5), note: z.string().max(5), deep: z.object({ x: z.number().min(0).max(1) }) }),
      z
        .array(z.enum(['red', 'blue']))
        .min(1)
        .max(4),
      z.object({ on: z.boolean().optional(), colour: z.enum(['red', 'blue']).nullable(), seen: z.array(z.string().max(4)).max(2) }),
    ];
    for (const schema of schemas) {
      const { value, text, confidence, finish } = await view.ask('What is it?', { as: schema as AnswerType<unknown> });
      expect(schema.safeParse(value).success).toBe(true);
      expect(text).not.toBe('');
      expect(confidence).toBeGreaterThan(0);
      expect(['eos', 'stop', 'length']).toContain(finish);
    }
    const only = await view.ask('What is it?', { as: z.literal('only') });
    expect([only.value, only.confidence, only.tokens.answer]).toEqual(['only', 1, 0]);
  });

  it('say whether a text was cut or ended by itself', async () => {
    await using view = await mipha.look(scenes[0]?.picture as string);
    const words = 'Describe the image.';
    const free = await view.ask(words);
    expect(free.finish).toBe('eos');
    const length = [...free.text].length;
    expect(length).toBeGreaterThan(10);
    const exact = await view.ask(words, { as: z.string().max(length) });
    expect([exact.value, exact.text, exact.finish]).toEqual([free.text, free.text, 'eos']);
    const shorter = await view.ask(words, { as: z.string().max(length - 1) });
    expect([shorter.value, shorter.finish]).toEqual([free.text.slice(0, length - 1), 'length']);
    const short = await view.ask(words, { as: z.string().max(6) });
    expect([short.value, short.text, short.finish]).toEqual([free.text.slice(0, 6).trim(), free.text.slice(0, 6).trim(), 'length']);
    const { value, text, finish } = await view.ask('What is it?', { as: z.object({ on: z.boolean(), note: z.string().max(2), door: z.boolean() }) });
    expect(JSON.parse(text)).toEqual(value);
    expect(finish).toBe('length');
  });

  it('follow a JSON Schema as well', async () => {
    await using view = await mipha.look(scenes[0]?.picture as string);
    const zod = await view.ask('Is the lamp on?', { as: z.boolean() });
    const json = await view.ask('Is the lamp on?', { as: { type: 'boolean' } });
    expect([json.value, json.text, json.confidence]).toEqual([zod.value, zod.text, zod.confidence]);
    expect(await code(view.ask('Is it?', { as: { type: 'boolean', pattern: 'a' } as object as { type: 'boolean' } }))).toBe('ERR_OPTION');
    expect(await code(view.ask('Is it?', { as: [] as never }))).toBe('ERR_OPTION');
    expect(await code(view.ask('Is it \ud800?'))).toBe('ERR_OPTION');
  });

  it('hand each automaton to native code once, whichever engine and question it is for', async () => {
    const made = vi.spyOn(loadAddon(), 'constraint');
    try {
      const schema = () => z.enum(['a kettle', 'a cat']);
      const first = await mipha.ask('What is it?', { as: schema() });
      await using other = await Mipha.load(NANO);
      const answers = await Promise.all([mipha, other].map((one) => one.ask('What is it?', { as: schema() })));
      expect(answers.map(({ value }) => value)).toEqual([first.value, first.value]);
      expect(made).toHaveBeenCalledTimes(1);
      await mipha.ask('What is it?', { as: z.enum(['a kettle', 'a dog']) });
      expect(made).toHaveBeenCalledTimes(2);
    } finally {
      made.mockRestore();
    }
  });

  it('a refinement the constraint does not know is an option error', async () => {
    await using view = await mipha.look(scenes[0]?.picture as string);
    expect(await code(view.ask('Is it?', { as: z.boolean().refine(() => false) }))).toBe('ERR_OPTION');
    expect(await code(view.ask('Is it?', { as: z.string() }))).toBe('ERR_OPTION');
  });

  it('confidence is the share of the value among what is allowed, over all its spellings', async () => {
    const tokenizer = await loadTokenizer(join(NANO, 'tokenizer'));
    const { reference, architecture } = await loadReference(join(NANO, 'checkpoint'));
    const { automaton, read } = constraintOf(shapeOf(z.boolean()));
    const confidences: number[] = [];
    for (const question of ['Is the lamp on?', 'Is the door closed?', 'Is there a person?', 'Is the table empty?']) {
      reference.reset();
      const prompt = `${PHI.system}${PHI.user}${question}\n${SHORT}${PHI.assistant}`;
      const logits = reference.append([Int32Array.from(tokenizer.encode(prompt))]).slice(-architecture.language.vocab);
      let [yes, all] = [0, 0];
      for (const [id, logit] of logits.entries()) {
        const state = id < tokenizer.size && tokenizer.bytes(id).length > 0 ? walk(automaton, 0, tokenizer.bytes(id)) : -1;
        if (state < 0) continue;
        const mass = Math.exp(logit);
        all += mass;
        const rest = tokenizer.decode([id]) + Buffer.from(completion(automaton, state)).toString();
        if (automaton.decided[state] === 1 && read(rest) === true) yes += mass;
      }
      const { value, confidence } = await mipha.ask(question, { as: z.boolean() });
      const expected = value ? yes / all : 1 - yes / all;
      expect(Math.abs((confidence as number) - expected)).toBeLessThan(0.1); // INT8 beside FP32
      confidences.push(confidence as number);
    }
    expect(Math.min(...confidences)).toBeLessThan(0.95); // without a picture the model cannot know
  });
});
