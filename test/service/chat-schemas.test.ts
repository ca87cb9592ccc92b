/** Typed answers over HTTP: what is accepted is valid by the schema as it was sent, what is refused names the keyword. */
import { Ajv2020 } from 'ajv/dist/2020.js';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { Mipha } from '../../src/index.js';
import { Serving } from '../../src/service/chat/serving.js';
import { JSON_TYPE, say } from '../http/support.js';
import { counts } from '../support/counts.js';
import { NANO } from '../support/nano.js';
import { Random } from '../support/random.js';

type Schema = Record<string, unknown>;

let mipha: Mipha;
let serving: Serving;
let port = 0;
beforeAll(async () => {
  serving = new Serving({ host: '127.0.0.1', port: 0, queue: 4, deadlineMs: 60_000, onWarning: (message) => expect(message).toBe('') });
  port = await serving.start();
  mipha = await Mipha.load(NANO);
  serving.serve(mipha);
});
afterAll(async () => {
  await serving.stop(1000);
  await mipha.dispose();
});

const random = new Random(5);
const chance = (of: number) => random.below(of) === 0;
const maybe = (schema: Schema): Schema => (chance(2) ? schema : {});

function scalar(): Schema {
  return random.pick<() => Schema>([
    () => ({ type: 'boolean', ...maybe({ title: 'A flag', default: false }) }),
    () => ({ enum: ['red', 'green', 'blue'], ...maybe({ type: 'string' }) }),
    () => ({ const: random.pick(['fixed', 7, true]) }),
    () => ({ type: 'integer', ...maybe({ minimum: random.below(50) - 100 }), ...maybe({ maximum: random.below(100) }) }),
    () => ({ type: 'integer', exclusiveMinimum: 0, maximum: 40, multipleOf: 4 }),
    () => ({ type: 'number', ...maybe({ minimum: 0 }), ...maybe({ maximum: 9.5 }), ...maybe({ multipleOf: 0.5 }) }),
    () => ({ type: 'string', maxLength: 1 + random.below(12), ...maybe({ minLength: 1 }), description: 'a word' }),
  ])();
}

function property(depth: number): Schema {
  if (depth < 2 && chance(5)) return object(depth + 1);
  if (chance(5)) return { type: 'array', items: depth === 0 && chance(2) ? object(2) : scalar(), ...maybe({ minItems: 1 }), maxItems: 2 };
  if (chance(6)) return { anyOf: [scalar(), { type: 'null' }] };
  if (chance(6)) return { type: ['boolean', 'null'] };
  return scalar();
}

function object(depth = 0): Schema {
  const names = ['lamp', 'cup', 'balls', 'door'].slice(0, 1 + random.below(3));
  return {
    type: 'object',
    properties: Object.fromEntries(names.map((name) => [name, property(depth)])),
    ...maybe({ required: names.filter(() => chance(2)) }),
    ...maybe({ additionalProperties: random.pick([true, false]) }),
  };
}

/** The same, with each property that is an object put among definitions, as code generators write it. */
function withDefinitions(schema: Schema, home: '$defs' | 'definitions'): Schema {
  const definitions: Record<string, Schema> = {};
  const moved = (value: Schema): Schema => {
    const whole = inside(value);
    if (value.type !== 'object') return whole;
    const name = `Thing ${Object.keys(definitions).length}/~`;
    definitions[name] = whole;
    return { $ref: `#/${home}/${name.replaceAll('~', '~0').replaceAll('/', '~1')}`, ...maybe({ description: 'a thing' }) };
  };
  const inside = (value: Schema): Schema => ({
    ...value,
    ...(value.properties === undefined
      ? {}
      : { properties: Object.fromEntries(Object.entries(value.properties as Record<string, Schema>).map(([name, one]) => [name, moved(one)])) }),
    ...(value.items === undefined ? {} : { items: moved(value.items as Schema) }),
  });
  return { ...inside(schema), [home]: definitions };
}

/** A place in the schema that values are read by, as a path. */
function holders(schema: Schema, path = 'schema'): { holder: Schema; path: string }[] {
  const inner = Object.entries((schema.properties ?? {}) as Record<string, Schema>).flatMap(([name, value]) =>
    holders(value, `${path}.properties.${name}`),
  );
  return [{ holder: schema, path }, ...inner];
}

const FOREIGN: Schema = {
  pattern: '^x',
  format: 'date-time',
  uniqueItems: true,
  minProperties: 1,
  oneOf: [{ type: 'boolean' }],
  allOf: [{ type: 'boolean' }],
  not: { type: 'null' },
  $ref: '#/$defs/x',
  $dynamicRef: '#x',
  patternProperties: {},
  contains: { type: 'boolean' },
  propertyNames: { maxLength: 3 },
  dependentRequired: {},
  contentEncoding: 'base64',
  if: true,
};

async function ask(schema: Schema, seed: number) {
  const response_format = { type: 'json_schema', json_schema: { name: 'x', schema } };
  const body = { model: 'mipha-nano', messages: [{ role: 'user', content: 'What is there?' }], response_format, temperature: 1, seed };
  const { status, text } = await say(port, '/v1/chat/completions', { method: 'POST', headers: JSON_TYPE, body: JSON.stringify(body) });
  return { status, body: JSON.parse(text) };
}

it('validate by the schema that was sent, whatever the model prefers', async () => {
  const ajv = new Ajv2020({ strict: false, multipleOfPrecision: 6 });
  for (let n = 0; n < counts(60, 200); n++) {
    const plain = chance(5) ? scalar() : object();
    const schema = chance(3) ? withDefinitions(plain, random.pick(['$defs', 'definitions'])) : plain;
    const { status, body } = await ask(schema, n);
    const what = `${JSON.stringify(schema)} -> ${JSON.stringify(body.choices?.[0].message ?? body)}`;
    expect(status, what).toBe(200);
    expect(body.choices[0].finish_reason).toBe('stop');
    const valid = ajv.validate(plain, JSON.parse(body.choices[0].message.content));
    expect([valid, ajv.errors], what).toEqual([true, null]);
  }
});

it('are refused by the keyword that cannot be kept', async () => {
  for (let n = 0; n < counts(140, 200); n++) {
    const schema = object();
    const { holder, path } = random.pick(holders(schema));
    const keyword = random.pick(Object.keys(FOREIGN));
    Object.assign(holder, { [keyword]: FOREIGN[keyword] });
    const { status, body } = await ask(schema, n);
    const what = JSON.stringify(schema);
    expect([status, body.error?.code], what).toEqual([400, 'invalid_json_schema']);
    expect(body.error.param, what).toBe(`response_format.json_schema.${path}.${keyword}`);
    expect(body.error.message, what).toContain(keyword);
  }
});

const RECURSIVE = { type: 'object', properties: { next: { $ref: '#/$defs/b' } } };

/** Each definition has the next one twice. */
function doubling(count: number): Schema {
  const definitions = Array.from({ length: count }, (_, i): [string, Schema] => [
    `d${i}`,
    i === count - 1 ? { type: 'boolean' } : { type: 'object', properties: { a: { $ref: `#/$defs/d${i + 1}` }, b: { $ref: `#/$defs/d${i + 1}` } } },
  ]);
  return { $ref: '#/$defs/d0', $defs: Object.fromEntries(definitions) };
}

it.each([
  [{ type: 'object' }, 'properties'],
  [{ type: 'objekt', properties: {} }, 'type'],
  [{ type: ['integer', 'null'] }, 'type'],
  [{ type: 'object', properties: { a: { type: 'array', items: { type: 'array', items: { type: 'boolean' } } } } }, 'properties.a.items'],
  [{ type: 'object', properties: { a: { $ref: '#/$defs/b' } }, $defs: { b: RECURSIVE } }, '$defs.b.properties.next.$ref'],
  [{ type: 'object', properties: { a: { $ref: '#/$defs/c' } }, $defs: { b: RECURSIVE } }, 'properties.a.$ref'],
  [{ type: 'object', properties: { a: { $ref: 'http://10.0.0.1/x.json' } } }, 'properties.a.$ref'],
  [{ type: 'object', properties: { a: { $ref: '#' } } }, 'properties.a.$ref'],
  [{ type: 'object', properties: { a: { $ref: '#/$defs/b', pattern: 'x' } }, $defs: { b: { type: 'boolean' } } }, 'properties.a.pattern'],
  [doubling(12), '$defs.'],
  [{ type: 'object', properties: { a: { type: 'string', maxLength: 1e9 } } }, 'properties.a.maxLength'],
  [{ type: 'object', properties: { a: { type: 'boolean' } }, required: ['b'] }, 'required'],
  [{ type: 'object', properties: { a: { type: 'boolean' } }, additionalProperties: { type: 'boolean' } }, 'additionalProperties'],
  [{ type: 'object', properties: { a: { type: 'integer', minimum: 5, maximum: 4 } } }, 'properties.a'],
])('%j is refused for its %s', async (schema, path) => {
  const { status, body } = await ask(schema, 1);
  expect([status, body.error?.code]).toEqual([400, 'invalid_json_schema']);
  expect(body.error.param).toMatch(new RegExp(`^response_format\\.json_schema\\.schema\\.${path.replaceAll('.', '\\.').replaceAll('$', '\\$')}`));
});
