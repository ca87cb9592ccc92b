/** Definitions of a JSON Schema, put where they are referred to: code generators write them so, and decoding needs none. */
import { Problem } from './problem.js';

type Schema = Record<string, unknown>;

/** Where definitions stand; `definitions` is the older name. */
const HOMES = ['$defs', 'definitions'] as const;
const NOTES = ['title', 'description', 'default', 'examples', '$comment'];
/** Definitions that refer to others twice each would soon be too many to be looked at. */
const MOST = { refs: 256, levels: 64 };

/** Throws a Problem that names the reference: one that leads nowhere, elsewhere or back to itself. */
export function withoutRefs(schema: Schema): Schema {
  const definitions = new Map<string, unknown>();
  for (const home of HOMES) {
    const all = schema[home];
    if (isSchema(all)) for (const [name, definition] of Object.entries(all)) definitions.set(`#/${home}/${escaped(name)}`, definition);
  }
  let count = 0;
  const resolved = (value: unknown, path: string, within: readonly string[], depth: number): unknown => {
    if (!isSchema(value)) return value;
    if (depth > MOST.levels) throw refusal(path.slice(0, 60), `at most ${MOST.levels} levels`, 'more');
    const { $ref: ref, ...rest } = value;
    if (ref === undefined) return inside(value, path, within, depth + 1);
    const param = `${path}.$ref`;
    if (typeof ref !== 'string' || !definitions.has(ref))
      throw refusal(param, `one of the definitions ${[...definitions.keys()].slice(0, 20).join(', ') || '(there is none)'}`, ref);
    if (within.includes(ref)) throw refusal(param, 'no definition that leads back to itself', ref);
    const stranger = Object.keys(rest).find((keyword) => !NOTES.includes(keyword));
    if (stranger !== undefined) throw refusal(`${path}.${stranger}`, `only ${NOTES.join(', ')} beside $ref`, stranger);
    if (++count > MOST.refs) throw refusal(param, `at most ${MOST.refs} references when all are followed`, ref);
    return { ...(resolved(definitions.get(ref), ref.slice(1).replaceAll('/', '.'), [...within, ref], depth + 1) as object), ...rest };
  };
  const inside = (value: Schema, path: string, within: readonly string[], depth: number): Schema => {
    const { properties, items, anyOf } = value;
    const whole: Schema = { ...value };
    if (isSchema(properties))
      whole.properties = Object.fromEntries(
        Object.entries(properties).map(([name, property]) => [name, resolved(property, `${path}.properties.${name}`, within, depth)]),
      );
    if (items !== undefined) whole.items = resolved(items, `${path}.items`, within, depth);
    if (Array.isArray(anyOf)) whole.anyOf = anyOf.map((option, index) => resolved(option, `${path}.anyOf[${index}]`, within, depth));
    return whole;
  };
  const { $defs: _, definitions: __, ...root } = schema;
  return resolved(root, '', [], 0) as Schema;
}

/** As in a JSON Pointer. */
function escaped(name: string): string {
  return name.replaceAll('~', '~0').replaceAll('/', '~1');
}

function isSchema(value: unknown): value is Schema {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function refusal(path: string, expected: string, received: unknown): Problem {
  const param = `response_format.json_schema.schema${path}`.slice(0, 200);
  const shown = JSON.stringify(received)?.slice(0, 100);
  return new Problem(400, `${param}: expected ${expected}, received ${shown}`, {
    code: 'invalid_json_schema',
    param,
    mipha: { code: 'ERR_OPTION', retryable: false },
  });
}
