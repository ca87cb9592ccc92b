/** Payloads and configuration as JSON Schema, for programs in other languages and for editors. */
import { z } from 'zod';
import { payloadSchemas } from '../mqtt/schemas.js';
import { configSchema } from './config/schema.js';

const schemas: Readonly<Record<string, z.ZodType>> = { ...payloadSchemas, config: configSchema };
export const schemaNames: readonly string[] = Object.keys(schemas);

/**
 * What is written to a node is described as it may come in: a field with a default may be left out. What a node sends is described as it goes out,
 * and open: newer nodes may send more fields.
 */
export function jsonSchemaOf(name: string): Record<string, unknown> {
  const schema = schemas[name];
  if (schema === undefined) throw new RangeError(`no schema ${name}`);
  const incoming = name === 'config' || name.endsWith('request');
  const { $schema, ...rest } = z.toJSONSchema(schema, {
    io: incoming ? 'input' : 'output',
    override: ({ jsonSchema }) => {
      for (const mark of ['restart', 'local', 'path', 'words']) delete (jsonSchema as Record<string, unknown>)[mark]; // ours, not JSON Schema's
      if (!incoming && jsonSchema.additionalProperties === false) delete jsonSchema.additionalProperties;
    },
  });
  return { $schema, title: `mipha-edge ${name}`, ...rest };
}
