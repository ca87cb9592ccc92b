/**
 * `GET /api/config`: every setting with where it comes from. `POST /api/config/options/check`: what the request `options`
 * would refuse. `POST /api/config/check`: what `mipha check-config` says about another text of it.
 */
import { type Context, Hono } from 'hono';
import { bodyLimit } from 'hono/body-limit';
import { z } from 'zod';
import { runBeside } from './child.js';
import type { PageNode, VisitorOf } from './node.js';
import { refusal, unlessOperator } from './refusal.js';

const MOST_BYTES = 2 ** 20;
const PATIENCE_MS = 20_000;

const optionsSchema = z.strictObject({ options: z.record(z.string(), z.json()) });
const tooLarge = (context: Context) => refusal(context, 413, 'TOO_LARGE', `A configuration has at most ${MOST_BYTES} bytes`);

export function configRoutes(node: PageNode, visitorOf: VisitorOf): Hono {
  const routes = new Hono();
  let checking = false;
  routes.get('/', (context) => context.json({ settings: node.settings() }));
  routes.post('/options/check', bodyLimit({ maxSize: MOST_BYTES, onError: tooLarge }), async (context) => {
    const refused = unlessOperator(context, visitorOf(context));
    if (refused !== null) return refused;
    const parsed = optionsSchema.safeParse(await context.req.json().catch(() => null));
    if (!parsed.success) return refusal(context, 400, 'SCHEMA', z.prettifyError(parsed.error));
    return context.json({ issues: node.checkOptions(parsed.data.options) });
  });
  routes.post('/check', bodyLimit({ maxSize: MOST_BYTES, onError: tooLarge }), async (context) => {
    const refused = unlessOperator(context, visitorOf(context)); // it tells which files are there
    if (refused !== null) return refused;
    const { commands } = node;
    if (commands === null) return refusal(context, 501, 'UNSUPPORTED', 'This program cannot check configurations; mipha check-config can');
    if (checking) return refusal(context, 429, 'QUEUE_FULL', 'Another configuration is being checked');
    checking = true;
    try {
      // in a process of its own: secrets that somebody tries are not learned here, and a text that takes long to read holds nothing up
      const signal = AbortSignal.any([context.req.raw.signal, AbortSignal.timeout(PATIENCE_MS)]);
      const { output, words } = await runBeside([...commands.mipha, 'check-config', '-', '--json', ...commands.check], {
        input: await context.req.text(),
        signal,
      });
      if (output === '') return refusal(context, 400, 'SCHEMA', words.trim());
      return context.json(JSON.parse(output));
    } finally {
      checking = false;
    }
  });
  return routes;
}
