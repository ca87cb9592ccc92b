import { expect, expectTypeOf, it } from 'vitest';
import { z } from 'zod';
import type { Answer, AnswerType, Mipha, View } from '../../src/index.js';

/** Never called: what counts is that `npm run check` compiles it. */
async function program(mipha: Mipha, view: View): Promise<void> {
  expectTypeOf(await view.ask('?')).toEqualTypeOf<Answer<string>>();
  expectTypeOf(await view.ask('?', { as: z.boolean() })).toEqualTypeOf<Answer<boolean>>();
  expectTypeOf(await view.ask('?', { as: z.enum(['a', 'b']) })).toEqualTypeOf<Answer<'a' | 'b'>>();
  expectTypeOf(await view.ask('?', { as: z.union([z.literal('a'), z.literal(1)]) })).toEqualTypeOf<Answer<'a' | 1>>();
  expectTypeOf(await view.ask('?', { as: z.int().min(0).max(9) })).toEqualTypeOf<Answer<number>>();
  expectTypeOf(await view.ask('?', { as: z.array(z.string().max(9)).max(3) })).toEqualTypeOf<Answer<string[]>>();
  const rows = z.array(z.object({ a: z.boolean() })).max(2);
  expectTypeOf(await view.ask('?', { as: rows })).toEqualTypeOf<Answer<{ a: boolean }[]>>();
  const table = z.object({ empty: z.boolean().optional(), colour: z.enum(['red']).nullable(), inner: z.object({ n: z.array(z.boolean()).max(2) }) });
  expectTypeOf(await mipha.ask('?', { as: table })).toEqualTypeOf<Answer<z.infer<typeof table>>>();
  expectTypeOf(await mipha.ask('?', { as: { type: 'boolean' } })).toEqualTypeOf<Answer<unknown>>();
  expectTypeOf(await mipha.ask('?', { as: { type: 'object', properties: { a: { enum: ['x', null] } }, required: ['a'] } })).toEqualTypeOf<
    Answer<unknown>
  >();

  const [boolean, schema, text] = await view.askAll([{ question: '?', as: z.boolean() }, { question: '?', as: { const: 1 } }, { question: '?' }]);
  expectTypeOf(boolean).toEqualTypeOf<Answer<boolean>>();
  expectTypeOf(schema).toEqualTypeOf<Answer<unknown>>();
  expectTypeOf(text).toEqualTypeOf<Answer<string>>();

  await using conversation = await view.converse();
  expectTypeOf(await conversation.ask('?', { as: z.boolean() })).toEqualTypeOf<Answer<boolean>>();
  expectTypeOf(await conversation.ask('?', { as: { type: 'boolean' } })).toEqualTypeOf<Answer<unknown>>();
  const any: AnswerType<boolean | number> = z.int().min(0).max(1);
  expectTypeOf(await view.ask('?', { as: any })).toEqualTypeOf<Answer<boolean | number>>();

  // @ts-expect-error dates are not supported
  await view.ask('?', { as: z.date() });
  // @ts-expect-error nor maps
  await view.ask('?', { as: z.map(z.string(), z.string()) });
  // @ts-expect-error nor anything
  await view.ask('?', { as: z.any() });
  // @ts-expect-error nor big integers
  await view.ask('?', { as: z.bigint() });
  // @ts-expect-error nor defaults
  await view.ask('?', { as: z.object({ a: z.boolean().default(true) }) });
  // @ts-expect-error nor dates within
  await view.ask('?', { as: z.object({ a: z.object({ b: z.date() }) }) });
  // @ts-expect-error optional only within an object
  await view.ask('?', { as: z.boolean().optional() });
  // @ts-expect-error lists hold no lists
  await view.ask('?', { as: z.array(z.array(z.boolean()).max(2)).max(2) });
  // @ts-expect-error unions hold values
  await view.ask('?', { as: z.union([z.boolean(), z.string().max(2)]) });
  // @ts-expect-error nothing would obey the keyword
  await view.ask('?', { as: { type: 'string', maxLength: 5, pattern: 'a' } });
  // @ts-expect-error text needs a length
  await view.ask('?', { as: { type: 'string' } });
  // @ts-expect-error also among several
  await view.askAll([{ question: '?', as: z.date() }]);
}

it('types what can be guaranteed, and compiles nothing else', () => {
  expect(program).toBeTypeOf('function');
});
