/** The page of a node and what it asks for: to be mounted where visitors have been let in. */
import { Hono } from 'hono';
import { configRoutes } from './config.js';
import { fileRoutes } from './files.js';
import type { PageNode, VisitorOf } from './node.js';
import { recordRoutes } from './record.js';
import { refusal } from './refusal.js';
import { replayRoutes } from './replay.js';
import { requestRoutes } from './requests.js';
import { Streams } from './stream.js';

export interface PageOptions {
  visitorOf: VisitorOf;
  /** Where the built page lies. */
  folder: string;
  /** Milliseconds. Default: 5000. */
  beatMs?: number;
  /** Of a stream, milliseconds. Default: an hour. */
  lifeMs?: number;
}

/** Ids of frames are unique for ever, so their pictures never change. */
const PICTURE_LIFE_S = 600;

export function pageOf(node: PageNode, { visitorOf, folder, beatMs, lifeMs }: PageOptions): Hono {
  const page = new Hono();
  for (const [path, feed] of [
    ['/api/stream', node.feed],
    ['/api/fleet', node.fleet],
  ] as const) {
    const streams = new Streams(feed, beatMs, lifeMs);
    page.get(path, (context) => {
      const { node: name, session, version } = node;
      const stream = streams.begin({ node: name, session, version, role: visitorOf(context).role });
      if (stream === null) {
        context.header('Retry-After', '5');
        return refusal(context, 503, 'QUEUE_FULL', 'Too many pages of this node are open');
      }
      return context.body(stream, 200, { 'Content-Type': 'text/event-stream', 'Cache-Control': 'no-store', 'X-Accel-Buffering': 'no' });
    });
  }
  page.get('/api/frames/:camera/:picture{.+\\.jpg}', async (context) => {
    const jpeg = await node.frame(context.req.param('camera'), context.req.param('picture').slice(0, -'.jpg'.length));
    if (jpeg === null) return refusal(context, 404, 'NO_FRAME', 'This picture is gone, or may not be shown');
    return context.body(new Uint8Array(jpeg), 200, {
      'Content-Type': 'image/jpeg',
      'Cache-Control': `private, max-age=${PICTURE_LIFE_S}, immutable`,
    });
  });
  page.route('/api/request', requestRoutes(node, visitorOf));
  page.route('/api/record', recordRoutes(node));
  page.route('/api/config', configRoutes(node, visitorOf));
  page.route('/api/replay', replayRoutes(node, visitorOf));
  page.route('/', fileRoutes(folder));
  return page;
}
