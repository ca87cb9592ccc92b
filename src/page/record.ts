/** `GET /api/record/<watch>`: what was recorded of a watch, the newest first, and its pictures. */
import { readFile } from 'node:fs/promises';
import { type Context, Hono } from 'hono';
import { isCursor, readBackwards, recordedPicture } from '../record/backwards.js';
import { type Label, readLabels } from '../record/labels.js';
import type { RecordLine } from '../record/lines.js';
import type { PageNode, RecordedWatch } from './node.js';
import { refusal } from './refusal.js';

const KINDS: readonly RecordLine['kind'][] = ['start', 'frame', 'answer', 'event', 'suppressed', 'lost'];
const DEFAULT_KINDS = 'answer,event';
const LIMIT = 200;
const MOST = 1000;
const SEGMENT = /^\d{8,20}$/;
const PICTURE_LIFE_S = 3600;

export function recordRoutes(node: PageNode): Hono {
  const routes = new Hono();
  routes.get('/:watch', async (context) => {
    const watch = context.req.param('watch');
    const recorded = node.recorded(watch);
    if (recorded === null) return unknown(context, watch);
    const { before, limit = String(LIMIT), kinds = DEFAULT_KINDS } = context.req.query();
    if (before !== undefined && !isCursor(before)) return refusal(context, 400, 'SCHEMA', 'before: expected `next` of the page before');
    const count = Number(limit);
    if (!Number.isInteger(count) || count < 1 || count > MOST)
      return refusal(context, 400, 'SCHEMA', `limit: expected a whole number from 1 to ${MOST}`);
    const wanted = kinds.split(',');
    const strange = wanted.find((kind) => !(KINDS as readonly string[]).includes(kind));
    if (strange !== undefined) return refusal(context, 400, 'SCHEMA', `kinds: expected some of ${KINDS.join(', ')}`);
    const { folder, isRecorded, isShown } = recorded;
    const missing = missingOf(watch, recorded);
    if (folder === undefined) return context.json({ lines: [], next: null, isRecorded, isShown, missing });
    const page = await readBackwards(folder, { watch, before, limit: count, kinds: new Set(wanted as RecordLine['kind'][]) });
    const { labels } = await readLabels(folder, watch);
    const lines = page.lines.map(({ line, segment }) => ({ ...line, segment, ...labelled(line, labels) }));
    return context.json({ lines, next: page.next, isRecorded, isShown, missing });
  });
  routes.get('/:watch/:picture{.+\\.jpg}', async (context) => {
    const recorded = node.recorded(context.req.param('watch'));
    if (recorded === null) return unknown(context, context.req.param('watch'));
    if (recorded.folder === undefined || !recorded.isShown) return gone(context);
    const frame = context.req.param('picture').slice(0, -'.jpg'.length);
    const { segment } = context.req.query();
    const path = await recordedPicture(
      recorded.folder,
      context.req.param('watch'),
      frame,
      segment !== undefined && SEGMENT.test(segment) ? segment : undefined,
    );
    const jpeg = path === null ? null : await readFile(path).catch(() => null);
    if (jpeg === null) return gone(context);
    return context.body(new Uint8Array(jpeg), 200, {
      'Content-Type': 'image/jpeg',
      'Cache-Control': `private, max-age=${PICTURE_LIFE_S}, immutable`,
    });
  });
  return routes;
}

function labelled(line: RecordLine, labels: ReadonlyMap<string, Label>): { label?: Pick<Label, 'verdict' | 'value'> } {
  const id = line.kind === 'answer' ? line.id : line.kind === 'event' ? line.answer : null;
  const label = id === null ? undefined : labels.get(id);
  return label === undefined
    ? {}
    : { label: { verdict: label.verdict, ...(label.value === undefined ? {} : { value: label.value as NonNullable<Label['value']> }) } };
}

/** What to write into the configuration for the watch to be recorded; empty: it is. */
function missingOf(watch: string, { folder, isShown, isRecorded }: RecordedWatch): string[] {
  return [
    ...(folder === undefined ? ['recorder.folder or state_dir'] : []),
    ...(isShown ? [] : ['images: true of its camera']),
    ...(isRecorded ? [] : [`watches.${watch}.record: true`]),
  ];
}

function unknown(context: Context, watch: string): Response {
  return refusal(context, 404, 'UNKNOWN_WATCH', `There is no watch ${JSON.stringify(watch.slice(0, 64))}`);
}

function gone(context: Context): Response {
  return refusal(context, 404, 'NO_FRAME', 'This picture is not there, not any more, or may not be shown');
}
