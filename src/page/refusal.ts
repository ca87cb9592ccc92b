/** Errors of the page's own routes: a status, a code and a sentence, in JSON. */
import type { Context } from 'hono';
import type { ContentfulStatusCode } from 'hono/utils/http-status';
import type { Visitor } from './node.js';

export function refusal(context: Context, status: ContentfulStatusCode, code: string, message: string): Response {
  return context.json({ error: { code, message } }, status);
}

/** Null: come in. */
export function unlessOperator(context: Context, { role }: Visitor): Response | null {
  return role === 'operator' ? null : refusal(context, 403, 'FORBIDDEN', 'This takes an operator: you are here as a viewer');
}
