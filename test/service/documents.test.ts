/** The contract as it is documented, and the schemas that the program checks: neither says what the other does not. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { payloadSchemas, schemaNames } from '../../src/mqtt/schemas.js';
import { ROOT } from '../cli/run.js';

interface Example {
  name: string;
  text: string;
  line: number;
}

const document = await readFile(join(ROOT, 'docs', 'mqtt.md'), 'utf8');
const examples: Example[] = [...document.matchAll(/^```json ([\w-]+)\n([\s\S]*?)^```$/gm)].map(({ 1: name = '', 2: text = '', index }) => ({
  name,
  text,
  line: document.slice(0, index).split('\n').length,
}));

describe('docs/mqtt.md', () => {
  it.each(schemaNames)('shows a %s', (name) => {
    expect(examples.map((example) => example.name)).toContain(name);
  });

  it.each(examples.map(({ name, line, text }) => [name, line, text] as const))('is right about %s in line %i', (name, _, text) => {
    const schema = payloadSchemas[name];
    expect(schemaNames).toContain(name);
    const value: unknown = JSON.parse(text);
    const result = schema?.safeParse(value);
    expect(result?.error?.issues ?? []).toEqual([]);
    expect(unknownFields(value, result?.data)).toEqual([]);
  });

  it('has no JSON that nobody checks', () => {
    const fences = [...document.matchAll(/^```(\w.*)$/gm)].map(([, info]) => info as string);
    expect(fences.filter((info) => /^json\b/.test(info)).length).toBe(examples.length);
  });
});

/** Schemas of payloads ignore fields that they do not know; a document must not have such. */
function unknownFields(written: unknown, parsed: unknown, path = ''): string[] {
  if (typeof written !== 'object' || written === null) return [];
  return Object.entries(written).flatMap(([key, item]) => {
    const inner = (parsed as Record<string, unknown> | null | undefined)?.[key];
    return inner === undefined ? [`${path}${key}`] : unknownFields(item, inner, `${path}${key}.`);
  });
}
