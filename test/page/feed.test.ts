import { describe, expect, it } from 'vitest';
import { Feed } from '../../src/page/feed.js';
import { eventsOf, fakePage, ROOT } from './support.js';

const message = (topic: string, payload: unknown) => JSON.stringify({ topic, payload });

describe('the feed', () => {
  it('begins with the newest of each topic and what happened last, without the name of the node', async () => {
    const feed = new Feed(ROOT);
    feed.state(`${ROOT}/watch/lamp/state`, '"OFF"');
    feed.state(`${ROOT}/watch/lamp/state`, '"ON"');
    feed.state(`${ROOT}/watch/gone/state`, '"ON"');
    feed.state(`${ROOT}/watch/gone/state`, null);
    feed.state(`${ROOT}/info`, '{"v":1}');
    feed.event(`${ROOT}/watch/lamp/event`, '{"id":"e"}');
    feed.event(`${ROOT}/log`, '{"msg":"m"}');
    const reader = feed.read();
    expect(await reader.next(0)).toEqual([
      message('watch/lamp/state', 'ON'),
      message('info', { v: 1 }),
      message('watch/lamp/event', { id: 'e' }),
      message('log', { msg: 'm' }),
    ]);
    expect(await reader.next(1)).toEqual([]);
    feed.state(`${ROOT}/watch/lamp/state`, null);
    expect(await reader.next(1000)).toEqual([message('watch/lamp/state', '')]); // as an empty payload over MQTT
    reader.close();
    expect(await reader.next(1000)).toBeNull();
    expect(feed.isRead).toBe(false);
  });

  it('keeps the newest state of each topic for one who reads slowly, a bounded number of all else, and says what was dropped', async () => {
    const feed = new Feed(ROOT);
    const reader = feed.read();
    for (let i = 0; i < 100_000; i++) {
      feed.state(`${ROOT}/watch/w${i % 5}/result`, `{"i":${i}}`);
      feed.event(`${ROOT}/watch/w/event`, `{"i":${i}}`);
    }
    const lines = await reader.next(0);
    expect(lines?.slice(0, 5)).toEqual([99_995, 99_996, 99_997, 99_998, 99_999].map((i) => message(`watch/w${i % 5}/result`, { i })));
    expect(lines?.length).toBeLessThanOrEqual(405);
    expect(lines?.at(-1)).toBe(message('watch/w/event', { i: 99_999 }));
    expect(reader.dropped + (lines?.length ?? 0) - 5).toBe(100_000);
    const late = await feed.read().next(0);
    expect(late).toHaveLength(5 + 100);
  });
});

describe('GET /api/stream', () => {
  it('greets, sends what is known and then what changes, and beats', async () => {
    const { page, feed } = fakePage();
    feed.state(`${ROOT}/watch/lamp/state`, '"ON"');
    const response = await page.request('/api/stream');
    expect(response.headers.get('content-type')).toBe('text/event-stream');
    const events = eventsOf(response.body);
    const next = async () => (await events.next()).value as { event: string; data: string };
    const hello = await next();
    expect(hello.event).toBe('hello');
    expect(JSON.parse(hello.data)).toEqual({ node: 'test', session: 's', version: '0', role: 'operator', now: expect.closeTo(Date.now(), -4) });
    expect(await next()).toEqual({ event: 'message', data: message('watch/lamp/state', 'ON') });
    feed.state(`${ROOT}/watch/lamp/state`, '"OFF"');
    expect(await next()).toEqual({ event: 'message', data: message('watch/lamp/state', 'OFF') });
    expect(await next()).toEqual({ event: 'beat', data: expect.stringMatching(/^\d{13}$/) });
    await events.return(undefined);
    expect(feed.isRead).toBe(false);
  });

  it('ends when it has lived, so that whoever may not look any more is told', async () => {
    const { page, feed } = fakePage({}, {}, 'none', 120);
    const { body } = await page.request('/api/stream');
    const seen = [];
    for await (const { event } of eventsOf(body)) seen.push(event);
    expect(seen[0]).toBe('hello');
    expect(seen.length).toBeLessThan(6);
    expect(feed.isRead).toBe(false);
  });

  it('ends with the node, and is refused where too many are open', async () => {
    const { page, feed } = fakePage();
    const open = await Promise.all(Array.from({ length: 16 }, () => page.request('/api/stream')));
    const refused = await page.request('/api/stream');
    expect(refused.status).toBe(503);
    expect(refused.headers.get('retry-after')).toBe('5');
    feed.close();
    for (const { body } of open) for await (const { event } of eventsOf(body)) expect(event).toBe('hello');
    expect((await page.request('/api/stream')).status).toBe(200);
    feed.close();
  });

  it('tells a reader that was slow how much it missed', async () => {
    const { page, feed } = fakePage();
    const { body } = await page.request('/api/stream');
    for (let i = 0; i < 1000; i++) feed.event(`${ROOT}/log`, `{"i":${i}}`);
    const topics = [];
    for await (const { data } of eventsOf(body)) {
      if (data.startsWith('{"topic"')) topics.push(JSON.parse(data));
      if (topics.at(-1)?.payload?.i === 999) break;
    }
    expect(topics[0]).toEqual({ topic: 'lost', payload: 1000 - (topics.length - 1) });
    expect(topics.length).toBeLessThanOrEqual(401);
  });
});
