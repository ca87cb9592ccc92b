/** Every payload by name: what `mipha schema` writes and `info` lists. */
import type { z } from 'zod';
import {
  alertSchema,
  healthSchema,
  infoSchema,
  loadSchema,
  logSchema,
  modelStateSchema,
  nodeEventSchema,
  responseSchema,
  resultSchema,
  watchEventSchema,
} from './messages.js';
import { envelopeSchema, verbSchemas } from './request-schemas.js';

/** `query-request` and `query-response` and so on: the payload of a request besides its envelope, and `data` of its `ok` response. */
const ofVerbs = Object.entries(verbSchemas).flatMap(([verb, { request, response }]) => {
  const name = verb.replaceAll('/', '-');
  return [
    [`${name}-request`, request],
    [`${name}-response`, response],
  ] as const;
});

export const payloadSchemas: Readonly<Record<string, z.ZodType>> = {
  result: resultSchema,
  'watch-event': watchEventSchema,
  'node-event': nodeEventSchema,
  alert: alertSchema,
  info: infoSchema,
  health: healthSchema,
  load: loadSchema,
  model: modelStateSchema,
  log: logSchema,
  request: envelopeSchema,
  response: responseSchema,
  ...Object.fromEntries(ofVerbs),
};
export const schemaNames: readonly string[] = Object.keys(payloadSchemas);
