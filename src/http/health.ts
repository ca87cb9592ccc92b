/** /livez, /readyz and /metrics, for machines that watch this one. */
import type { Context, Hono } from 'hono';
import { redactor } from '../redact.js';
import type { Access, Env } from './access.js';

export interface Check {
  name: string;
  ok: boolean;
  /** Why not, or how well. */
  detail?: string;
}

export interface HealthOptions {
  /** Whether the process is worth keeping; a broker that is away is no reason to restart it. */
  live: () => readonly Check[];
  /** Whether it does its job now. */
  ready: () => readonly Check[];
  metrics?: (() => Promise<{ contentType: string; text: string }>) | undefined;
}

/** Asked by whatever watches the machine, under whatever name: they tell one word, and nobody is asked who he is. */
export function isProbe(c: Context<Env>): boolean {
  return ['/livez', '/readyz'].includes(c.req.path) && c.req.query('verbose') === undefined;
}

export function mountHealth(app: Hono<Env>, access: Access, { live, ready, metrics }: HealthOptions): void {
  for (const [path, checks] of [
    ['/livez', live],
    ['/readyz', ready],
  ] as const) {
    app.get(path, (c) => {
      const verbose = !isProbe(c);
      if (verbose) access.check(c, 'viewer');
      return health(c, checks(), verbose);
    });
  }
  if (metrics === undefined) return;
  app.get('/metrics', access.needs('viewer'), async (c) => {
    const { contentType, text } = await metrics();
    return c.body(text, 200, { 'Content-Type': contentType });
  });
}

/** 200 when every check passes, else 503; the checks themselves only on ?verbose, as JSON. */
function health(c: Context<Env>, results: readonly Check[], verbose: boolean): Response {
  const ok = results.every((check) => check.ok);
  const status = ok ? 200 : 503;
  if (!verbose) return c.text(ok ? 'ok\n' : 'not ok\n', status);
  return c.body(`${JSON.stringify(redactor.value({ ok, checks: results }), null, 2)}\n`, status, { 'Content-Type': 'application/json' });
}
