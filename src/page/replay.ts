/** `POST /api/replay`: what other settings would have made of what was recorded; one at a time, ended when the browser goes. */
import { basename, dirname } from 'node:path';
import { Hono } from 'hono';
import { bodyLimit } from 'hono/body-limit';
import { streamSSE } from 'hono/streaming';
import { z } from 'zod';
import type { ReplayReport } from '../replay/report.js';
import { idSchema } from '../watch/spec.js';
import type { PageNode, VisitorOf } from './node.js';
import { refusal, unlessOperator } from './refusal.js';

const MOST_BYTES = 2 ** 16;
const MOST_FLIPS = 100;
const UNITS = { d: 86_400_000, h: 3_600_000, m: 60_000, s: 1000 };

const replaySchema = z.strictObject({
  watch: idSchema,
  /** By path, e.g. `events.gap_ms`. */
  changes: z.record(z.string().regex(/^[a-z_]+(\.[a-z_]+)*$/), z.json()).default({}),
  since: z
    .string()
    .max(40)
    .transform(momentOf)
    .refine((at) => !Number.isNaN(at.getTime()), 'an age such as 7d, 12h or 30m, or a time such as 2026-11-28T07:00')
    .optional(),
  positive: z.union([z.boolean(), z.number(), z.string()]).optional(),
});

export function replayRoutes(node: PageNode, visitorOf: VisitorOf): Hono {
  const routes = new Hono();
  let running = false;
  const limit = bodyLimit({ maxSize: MOST_BYTES, onError: (context) => refusal(context, 413, 'TOO_LARGE', `At most ${MOST_BYTES} bytes`) });
  routes.post('/', limit, async (context) => {
    const refused = unlessOperator(context, visitorOf(context));
    if (refused !== null) return refused;
    const parsed = replaySchema.safeParse(await context.req.json().catch(() => null));
    if (!parsed.success) return refusal(context, 400, 'SCHEMA', z.prettifyError(parsed.error));
    const { watch } = parsed.data;
    const folder = node.recorded(watch)?.folder;
    if (folder === undefined) return refusal(context, 404, 'UNKNOWN_WATCH', `Nothing is recorded of a watch ${watch}`);
    if (running) return refusal(context, 429, 'QUEUE_FULL', 'Other settings are being tried: one at a time');
    running = true;
    return streamSSE(context, async (stream) => {
      const hungUp = new AbortController();
      stream.onAbort(() => hungUp.abort());
      const tell = (event: string, data: unknown) => stream.writeSSE({ event, data: JSON.stringify(data) });
      const onProgress = (progress: number) => void tell('progress', { progress });
      try {
        await tell('report', shown(watch, await node.tryOut(parsed.data, { signal: hungUp.signal, onProgress })));
      } catch (error) {
        if (!hungUp.signal.aborted) await tell('failed', { message: (error as Error).message.replaceAll(folder, 'the record') });
      } finally {
        running = false;
      }
    });
  });
  return routes;
}

/** An age, or a time. */
function momentOf(text: string): Date {
  const [, count, unit] = /^(\d+(?:\.\d+)?)([dhms])$/.exec(text) ?? [];
  return unit === undefined ? new Date(text) : new Date(Date.now() - Number(count) * UNITS[unit as keyof typeof UNITS]);
}

/** Paths of this machine become addresses of this page. */
function shown(watch: string, { flips, ...report }: ReplayReport): object {
  const first = flips.slice(0, MOST_FLIPS);
  return { ...report, flips: first.map(({ picture, ...flip }) => ({ ...flip, picture: picture && addressOf(watch, flip.frame, picture) })) };
}

function addressOf(watch: string, frame: string, path: string): string {
  return `api/record/${watch}/${encodeURIComponent(frame.split('~', 1)[0] as string)}.jpg?segment=${basename(dirname(path))}`;
}
