/** `POST /api/request/<verb>`: what may be asked over MQTT. */
import { type Context, Hono } from 'hono';
import { bodyLimit } from 'hono/body-limit';
import { type SSEStreamingApi, streamSSE } from 'hono/streaming';
import type { ContentfulStatusCode } from 'hono/utils/http-status';
import type { Response as Answer } from '../mqtt/messages.js';
import { statusOf } from './desk.js';
import type { PageNode, Visitor, VisitorOf } from './node.js';
import { refusal } from './refusal.js';

/** What a viewer may ask for. */
const VIEWERS = ['query', 'cancel', 'snapshot', 'health', 'announce'];
/** The most that requests.request_bytes can permit: what is above that is refused in its own words. */
const MOST_BYTES = 1_048_576;

export function requestRoutes(node: PageNode, visitorOf: VisitorOf): Hono {
  const routes = new Hono();
  const tooLarge = (context: Context) => refusal(context, 413, 'TOO_LARGE', `A request has at most ${MOST_BYTES} bytes`);
  routes.post('/:verb{.+}', bodyLimit({ maxSize: MOST_BYTES, onError: tooLarge }), async (context) => {
    const verb = context.req.param('verb');
    const visitor = visitorOf(context);
    if (!VIEWERS.includes(verb) && visitor.role !== 'operator')
      return refusal(context, 403, 'FORBIDDEN', `${verb} takes an operator: you are here as a viewer`);
    const payload = Buffer.from(await context.req.arrayBuffer());
    const { signal } = context.req.raw;
    const isStreamed = context.req.header('accept')?.includes('text/event-stream') === true;
    if (isStreamed) return streamSSE(context, (stream) => streamed(node, visitor, verb, payload, stream));
    const answer = await node.desk.ask(verb, payload, signal);
    audit(node, visitor, verb, payload, answer);
    const retryMs = answer.error?.retry_after_ms;
    if (retryMs !== undefined) context.header('Retry-After', String(Math.ceil(retryMs / 1000)));
    return context.json(answer, statusOf(answer) as ContentfulStatusCode);
  });
  return routes;
}

/** Each response as it comes; one that hangs up cancels. */
async function streamed(node: PageNode, visitor: Visitor, verb: string, payload: Buffer, stream: SSEStreamingApi): Promise<void> {
  const hungUp = new AbortController();
  stream.onAbort(() => hungUp.abort());
  const answer = await node.desk.ask(verb, payload, hungUp.signal, (response) => void stream.writeSSE({ data: JSON.stringify(response) }));
  audit(node, visitor, verb, payload, answer);
  await stream.writeSSE({ data: JSON.stringify(answer) });
}

function audit(node: PageNode, { role, address }: Visitor, verb: string, payload: Buffer, { error }: Answer): void {
  if (VIEWERS.includes(verb)) return;
  node.audit({ who: `${role} ${address}`, verb, what: whatOf(payload), outcome: error?.code ?? 'ok' });
}

/** Names only: questions and values are personal. */
function whatOf(payload: Buffer): string {
  try {
    const { watch, camera, options, paths } = JSON.parse(payload.toString());
    const names = [
      watch,
      camera,
      ...(typeof options === 'object' && options !== null ? Object.keys(options) : []),
      ...(Array.isArray(paths) ? paths : []),
    ];
    return names
      .filter((name) => typeof name === 'string')
      .join(', ')
      .slice(0, 200);
  } catch {
    return '';
  }
}
