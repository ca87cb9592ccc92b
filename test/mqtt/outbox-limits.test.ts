import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { Outbox } from '../../src/mqtt/outbox.js';
import { type Publish, packetBytes } from '../../src/mqtt/wire.js';
import { event, FakeWire, outbox } from './fake-wire.js';

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

afterEach(() => {
  vi.useRealTimers();
});

describe('what is sent at once or not at all', () => {
  it('is dropped and counted without a connection', () => {
    const { box } = outbox();
    expect(box.transient('log', Buffer.from('x'))).toBe(false);
    expect(box.respond('r', Buffer.from('x'))).toBe('offline');
    expect(box.stats()).toMatchObject({ queued: 0, dropped: { offline: 2 } });
  });

  it('goes out as soon as there is a connection, before states and events may', () => {
    const { box } = outbox();
    box.state('a', Buffer.from('x'));
    box.event('e', event('1'));
    const wire = new FakeWire();
    box.attach(wire);
    expect(box.respond('r', Buffer.from('x'))).toBe('sent');
    expect(wire.sent.map(({ topic }) => topic)).toEqual(['r']);
  });

  it('does not survive the connection', () => {
    const { box } = outbox();
    const wire = new FakeWire();
    box.attach(wire);
    box.restore(() => {});
    for (let i = 0; i < 20; i++) expect(box.respond('r', Buffer.from(String(i)))).toBe('sent');
    expect(wire.unacknowledged).toBe(16);
    box.detach();
    const next = new FakeWire();
    box.attach(next);
    box.restore(() => {});
    box.release();
    expect(next.sent).toEqual([]);
    expect(box.stats()).toMatchObject({ queued: 0, dropped: { offline: 20 } });
  });

  it('is not heaped up on a link that does not keep up', () => {
    const { box } = outbox(1000);
    const wire = new FakeWire();
    box.attach(wire);
    box.restore(() => {});
    wire.backlogBytes = 2001;
    expect(box.transient('image', Buffer.from('x'))).toBe(false);
    wire.backlogBytes = 0;
    expect(box.transient('image', Buffer.from('x'))).toBe(true);
    expect(box.stats().dropped.slow_link).toBe(1);
  });

  it('leaves progress out before it loses outcomes', () => {
    const { box } = outbox();
    const wire = new FakeWire();
    box.attach(wire);
    for (let i = 0; i < 2000; i++) box.respond('r', Buffer.from('partial'), { optional: true });
    for (let i = 0; i < 800; i++) box.respond('r', Buffer.from(String(i)));
    while (wire.unacknowledged > 0) wire.ack();
    const outcomes = wire.sent.map(({ payload }) => payload.toString()).filter((text) => text !== 'partial');
    expect(outcomes).toEqual(Array.from({ length: 800 }, (_, i) => String(i)));
    expect(box.stats().dropped).toMatchObject({ slow_link: 2000 - 16 - 129, overflow: 0 });
  });

  it('goes before states and events', () => {
    const { box } = outbox();
    const wire = new FakeWire();
    wire.receiveMaximum = 1;
    box.attach(wire);
    box.restore(() => {});
    box.release();
    for (const topic of ['a', 'b']) box.state(topic, Buffer.from('x'));
    box.event('e', event('1'));
    box.respond('r', Buffer.from('x'));
    for (let i = 0; i < 4; i++) wire.ack();
    expect(wire.sent.map(({ topic }) => topic).slice(0, 2)).toEqual(['a', 'r']);
    expect(wire.sent).toHaveLength(4);
  });
});

describe('limits', () => {
  it("are the smaller of ours and the broker's, and what is too large is counted, told and never sent", () => {
    for (const [ours, theirs] of [
      [100, 1000],
      [1000, 100],
    ] as const) {
      const { box, refused } = outbox(ours);
      const wire = new FakeWire();
      wire.maxPacketBytes = theirs;
      const settled = vi.fn();
      box.state('a', Buffer.alloc(200));
      box.attach(wire);
      box.restore(settled);
      box.release();
      box.event('e', { ...event('1'), text: 'x'.repeat(200) });
      expect(box.respond('r', Buffer.alloc(200))).toBe('too_large');
      expect(box.transient('i', Buffer.alloc(200))).toBe(false);
      expect(wire.sent).toEqual([]);
      expect(settled).toHaveBeenCalledOnce();
      expect(box.stats()).toMatchObject({ queued: 0, dropped: { too_large: 4 } });
      expect(refused).toHaveLength(4);
    }
  });

  it('may be told about in a state of its own, at once, and are counted once all the same', () => {
    const wire = new FakeWire();
    wire.maxPacketBytes = 500;
    wire.receiveMaximum = 1;
    let told = 0;
    const box: Outbox = new Outbox({
      maxPacketBytes: 1000,
      onRefused: (topic, reason) => box.state('alert', Buffer.from(`${++told} ${topic} ${reason}`)),
    });
    box.attach(wire);
    box.restore(() => {});
    box.state('first', Buffer.from('x'));
    for (const topic of ['a', 'b']) box.state(topic, Buffer.alloc(topic === 'a' ? 600 : 1));
    wire.ack();
    expect(told).toBe(1);
    expect(wire.unacknowledged).toBe(1);
    while (wire.unacknowledged > 0) wire.ack();
    expect(wire.sent.map(({ topic }) => topic)).toEqual(['first', 'b', 'alert']);
    expect(box.stats().dropped.too_large).toBe(1);
  });

  it('bound what is unacknowledged', () => {
    const { box } = outbox();
    const wire = new FakeWire();
    wire.receiveMaximum = 5;
    for (let i = 0; i < 20; i++) box.state(`t${i}`, Buffer.from('x'));
    box.attach(wire);
    box.restore(() => {});
    expect(wire.unacknowledged).toBe(5);
    wire.ack();
    expect(wire.unacknowledged).toBe(5);
  });

  it('count a refusal of the broker and do not repeat what was refused', () => {
    const { box, refused } = outbox();
    const wire = new FakeWire();
    box.attach(wire);
    box.restore(() => {});
    box.state('a', Buffer.from('x'));
    wire.ack(new Error('Publish error: Not authorized'));
    expect(wire.sent).toHaveLength(1);
    expect(box.stats()).toMatchObject({ queued: 0, dropped: { refused: 1 }, published: { qos1: 0 } });
    expect(refused).toEqual(['a: Publish error: Not authorized']);
  });

  it('include patience: a message on which the connection broke three times in a row is left out, its neighbours are not, until later', () => {
    vi.useFakeTimers();
    const { box, refused } = outbox();
    const wires: FakeWire[] = [];
    const attempt = () => {
      const wire = new FakeWire();
      wires.push(wire);
      box.attach(wire);
      box.restore(() => box.release());
      for (let i = 0; i < 20 && !wire.sent.some(({ topic }) => topic === 'bad'); i++) wire.ack();
      if (wire.sent.some(({ topic }) => topic === 'bad')) {
        vi.advanceTimersByTime(10);
        box.detach();
        return false;
      }
      while (wire.unacknowledged > 0) wire.ack();
      return true;
    };
    for (const topic of ['a', 'bad', 'b']) box.state(topic, Buffer.from('x'));
    expect([attempt(), attempt(), attempt(), attempt()]).toEqual([false, false, false, true]);
    expect(wires.at(-1)?.topics()).toEqual(['a=x', 'b=x']);
    expect(box.stats()).toMatchObject({ queued: 0, dropped: { refused: 1 } });
    expect(refused[0]).toBe('bad: the broker broke the connection 3 times when it came');
    box.detach();
    vi.advanceTimersByTime(600_001);
    expect([attempt(), attempt()]).toEqual([false, true]);
  });

  it('bar a topic, not a payload: what is newer and no smaller is left out and counted, until later', () => {
    vi.useFakeTimers();
    const { box, refused } = outbox();
    const attempt = (text: string) => {
      const wire = new FakeWire();
      box.attach(wire);
      box.restore(() => {});
      box.state('a', Buffer.from(text));
      if (wire.sent.length === 0) return false;
      vi.advanceTimersByTime(10);
      box.detach();
      return true;
    };
    expect(['one1', 'two2', 'tri3'].map(attempt)).toEqual([true, true, true]);
    expect(refused).toHaveLength(1);
    expect(attempt('four')).toBe(false);
    expect(box.stats().dropped.refused).toBe(2);
    box.detach();
    expect(attempt('xyz')).toBe(true); // it may have been the size: one more chance
    expect(attempt('abc')).toBe(false);
    box.detach();
    vi.advanceTimersByTime(600_001);
    expect(attempt('abcdef')).toBe(true);
  });

  it('bar a topic of events that broke the connection three times, for ten minutes', async () => {
    vi.useFakeTimers();
    const { box } = outbox();
    const attempt = () => {
      const wire = new FakeWire();
      box.attach(wire);
      box.restore(() => box.release());
      box.event('bad', event('1'));
      vi.advanceTimersByTime(10);
      const sent = wire.unacknowledged;
      if (sent > 0) box.detach();
      return sent;
    };
    expect([attempt(), attempt(), attempt(), attempt()]).toEqual([1, 1, 1, 0]);
    expect(box.stats()).toMatchObject({ queued: 0, dropped: { refused: 4 } });
    box.detach();
    vi.advanceTimersByTime(600_001);
    expect(attempt()).toBe(1);
  });

  it('never estimate a packet below its size', () => {
    const message: Publish = { topic: 'abc', payload: Buffer.alloc(10), qos: 1, retain: false, contentType: 'text', user: { id: '1' }, expiryS: 3 };
    // header 2, topic 5, packet id 2, properties 1 + (expiry 5, content type 7, user property 8), payload 10
    expect(packetBytes(message)).toBeGreaterThanOrEqual(2 + 5 + 2 + 1 + 20 + 10);
  });
});

describe('without a broker for hours at 30 events per second', () => {
  it('memory stays flat, drops are counted, and the newest states are out at once when it is back', async () => {
    vi.useFakeTimers();
    const { box } = outbox();
    const second = (n: number) => {
      for (let i = 0; i < 30; i++) {
        const id = `${n}-${i}`;
        box.event('mipha/v1/node-1/watch/lamp/event', { ...event(id), text: 'x'.repeat(500) });
        box.state(`mipha/v1/node-1/watch/w-${i}/result`, Buffer.from(JSON.stringify({ id, text: 'x'.repeat(500) })), 30);
        box.transient('mipha/v1/node-1/log', Buffer.from('x'.repeat(100)));
        box.respond('mipha/v1/node-1/response/query', Buffer.from('x'.repeat(100)));
      }
      vi.advanceTimersByTime(1000);
    };
    const heap = () => {
      collectGarbage();
      return process.memoryUsage().heapUsed;
    };
    let n = 0;
    for (; n < 600; n++) second(n); // until everything is full
    const before = heap();
    const dropped = box.stats().dropped.overflow;
    for (; n < 600 + 3600; n++) second(n);
    const grown = heap() - before;
    const stats = box.stats();
    expect(stats.queued).toBeLessThanOrEqual(256 + 30);
    expect(stats.dropped.overflow - dropped).toBe(3600 * 30);
    expect(stats.dropped.offline).toBe(4200 * 30 * 2);
    expect(grown).toBeLessThan(3e6); // 108,000 events of 600 bytes are 65 MB; what is kept is below 1 MB

    const wire = new FakeWire(true);
    box.attach(wire);
    box.restore(() => box.release());
    await vi.advanceTimersByTimeAsync(5000);
    expect(box.stats().queued).toBe(0);
    const states = wire.sent.filter(({ retain }) => retain).map(({ payload }) => JSON.parse(payload.toString()).id);
    expect(states.sort()).toEqual(Array.from({ length: 30 }, (_, i) => `${n - 1}-${i}`).sort());
    expect(wire.sent.filter(({ retain }) => !retain).length).toBeLessThanOrEqual(256);
  });
});
