/** A node that is none, for the routes of the page. */

import type { Handlers } from '../../src/mqtt/requests.js';
import { topicsOf } from '../../src/mqtt/topics.js';
import { Desk } from '../../src/page/desk.js';
import { Feed } from '../../src/page/feed.js';
import type { Deed, PageNode, Visitor } from '../../src/page/node.js';
import { pageOf } from '../../src/page/page.js';

export const ROOT = 'mipha/v1/test';

export function fakePage(given: Partial<PageNode> = {}, handlers: Partial<Handlers> = {}, folder = 'none', lifeMs?: number) {
  const deeds: Deed[] = [];
  const visitor: Visitor = { role: 'operator', address: '127.0.0.1' };
  const feed = new Feed(ROOT);
  const desk = new Desk({
    ...{ topics: topicsOf('mipha', 'test'), base: 'mipha', node: 'test', handlers: handlers as Handlers },
    ...{ requestBytes: 4096, deadlineMs: 5000, dedupeMs: 1000, replyTopics: [] },
  });
  const node: PageNode = {
    ...{ node: 'test', session: 's', version: '0', feed, desk },
    frame: async () => null,
    recorded: () => null,
    settings: () => [],
    fleet: new Feed(''),
    checkOptions: () => [],
    tryOut: async () => Promise.reject(new Error('nothing is tried here')),
    commands: null,
    audit: (deed) => deeds.push(deed),
    ...given,
  };
  const page = pageOf(node, { visitorOf: () => visitor, folder, beatMs: 50, ...(lifeMs === undefined ? {} : { lifeMs }) });
  return { page, feed, desk, visitor, deeds, node };
}

/** Events of a stream as they come: name and data. */
export async function* eventsOf(body: ReadableStream<Uint8Array> | null): AsyncGenerator<{ event: string; data: string }> {
  const decoder = new TextDecoder();
  let rest = '';
  for await (const bytes of body as unknown as AsyncIterable<Uint8Array>) {
    const blocks = (rest + decoder.decode(bytes, { stream: true })).split('\n\n');
    rest = blocks.pop() as string;
    for (const block of blocks) {
      const field = (name: string) =>
        block
          .split('\n')
          .filter((line) => line.startsWith(`${name}:`))
          .map((line) => line.slice(name.length + 1).trim())
          .join('\n');
      yield { event: field('event') || 'message', data: field('data') };
    }
  }
}
