/** `POST /api/replay`: what other settings would have made of what was recorded, by `mipha replay`; one at a time, ended when the browser goes. */
import { basename, dirname } from 'node:path';
import { Hono } from 'hono';
import { bodyLimit } from 'hono/body-limit';
import { streamSSE } from 'hono/streaming';
import { z } from 'zod';
import { idSchema } from '../watch/spec.js';
import { type Finished, runBeside } from './child.js';
import type { PageNode, VisitorOf } from './node.js';
import { refusal, unlessOperator } from './refusal.js';

const MOST_BYTES = 2 ** 16;
const MOST_FLIPS = 100;

const replaySchema = z.strictObject({
  watch: idSchema,
  /** By path, e.g. `events.gap_ms`. */
  changes: z.record(z.string().regex(/^[a-z_]+(\.[a-z_]+)*$/), z.json()).default({}),
  /** An age such as 7d, or a time. */
  since: z
    .string()
    .regex(/^\w[\w:.+-]{0,40}$/)
    .optional(),
  positive: z.union([z.boolean(), z.number(), z.string()]).optional(),
});

interface Flip {
  frame: string;
  picture: string | null;
}

export function replayRoutes(node: PageNode, visitorOf: VisitorOf): Hono {
  const routes = new Hono();
  let running = false;
  const limit = bodyLimit({ maxSize: MOST_BYTES, onError: (context) => refusal(context, 413, 'TOO_LARGE', `At most ${MOST_BYTES} bytes`) });
  routes.post('/', limit, async (context) => {
    const refused = unlessOperator(context, visitorOf(context));
    if (refused !== null) return refused;
    const parsed = replaySchema.safeParse(await context.req.json().catch(() => null));
    if (!parsed.success) return refusal(context, 400, 'SCHEMA', z.prettifyError(parsed.error));
    const { watch, changes, since, positive } = parsed.data;
    const folder = node.recorded(watch)?.folder;
    if (folder === undefined) return refusal(context, 404, 'UNKNOWN_WATCH', `Nothing is recorded of a watch ${watch}`);
    const { commands } = node;
    if (commands === null) return refusal(context, 501, 'UNSUPPORTED', 'This program cannot replay; mipha replay can');
    if (running) return refusal(context, 429, 'QUEUE_FULL', 'Another replay is running: one at a time');
    running = true;
    const args = [
      ...[...commands.mipha, 'replay', watch, '--record', folder, '--json', '--progress', ...commands.replay()],
      ...(since === undefined ? [] : ['--since', since]),
      ...(positive === undefined ? [] : ['--positive', String(positive)]),
      ...Object.entries(changes).flatMap(([path, value]) => ['--set', `${path}=${JSON.stringify(value)}`]),
    ];
    return streamSSE(context, async (stream) => {
      const hungUp = new AbortController();
      stream.onAbort(() => hungUp.abort());
      const tell = (event: string, data: unknown) => stream.writeSSE({ event, data: JSON.stringify(data) });
      try {
        const finished = await runBeside(args, { signal: hungUp.signal, onLine: (line) => void progressed(line, tell) });
        await tell(...outcomeOf(watch, folder, finished));
      } catch (error) {
        if (!hungUp.signal.aborted) throw error;
      } finally {
        running = false;
      }
    });
  });
  return routes;
}

function progressed(line: string, tell: (event: string, data: unknown) => Promise<void>): void {
  if (line.startsWith('{"progress"')) void tell('progress', JSON.parse(line));
}

/** Paths of this machine become addresses of this page. */
function outcomeOf(watch: string, folder: string, { code, output, words }: Finished): [event: string, data: unknown] {
  if (code !== 0 || output === '') return ['failed', { message: lastLines(words).replaceAll(folder, 'the record') }];
  const { flips, ...report } = JSON.parse(output) as { flips: Flip[] };
  const shown = flips
    .slice(0, MOST_FLIPS)
    .map(({ picture, ...flip }) => ({ ...flip, picture: picture === null ? null : addressOf(watch, flip.frame, picture) }));
  return ['report', { ...report, flips: shown }];
}

function addressOf(watch: string, frame: string, path: string): string {
  return `api/record/${watch}/${encodeURIComponent(frame.split('~', 1)[0] as string)}.jpg?segment=${basename(dirname(path))}`;
}

function lastLines(words: string): string {
  const lines = words.split('\n').filter((line) => line.trim() !== '' && !line.startsWith('{"progress"'));
  return lines.slice(-3).join('\n') || 'the replay ended without a report';
}
