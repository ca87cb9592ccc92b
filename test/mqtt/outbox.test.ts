import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { Outbox } from '../../src/mqtt/outbox.js';
import { type Publish, packetBytes, type Wire } from '../../src/mqtt/wire.js';

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

/** A broker that acknowledges when told to. */
class FakeWire implements Wire {
  maxPacketBytes = Number.POSITIVE_INFINITY;
  receiveMaximum = 65_535;
  backlogBytes = 0;
  readonly sent: Publish[] = [];
  private readonly open: { message: Publish; done: (refusal: Error | null) => void }[] = [];
  constructor(
    private readonly auto = false,
    readonly protocol: '5' | '3.1.1' = '5',
  ) {}
  publish(message: Publish, done: (refusal: Error | null) => void) {
    this.sent.push(message);
    if (this.auto || message.qos === 0) queueMicrotask(() => done(null));
    else this.open.push({ message, done });
  }
  async subscribe() {}
  breakOff() {}
  /** Acknowledges the oldest, or refuses it. */
  ack(refusal: Error | null = null) {
    this.open.shift()?.done(refusal);
  }
  get unacknowledged() {
    return this.open.length;
  }
  bodies() {
    return this.sent.map(({ payload }) => JSON.parse(payload.toString()));
  }
  topics() {
    return this.sent.map(({ topic, payload }) => `${topic}=${payload}`);
  }
}

function outbox(maxPacketBytes = 1_000_000) {
  const refused: string[] = [];
  const box = new Outbox({ maxPacketBytes, onRefused: (topic, reason) => refused.push(`${topic}: ${reason}`) });
  return { box, refused };
}
const event = (id: string) => ({ id, replayed: false });
const flush = async () => {
  for (let i = 0; i < 20; i++) await Promise.resolve();
};

afterEach(() => {
  vi.useRealTimers();
});

describe('states', () => {
  it('go out once per topic, the newest, again on every connection, in the order they were made', () => {
    const { box } = outbox();
    box.state('a', Buffer.from('1'));
    box.state('b', Buffer.from('1'));
    box.state('a', Buffer.from('2'));
    const first = new FakeWire();
    box.attach(first);
    box.restore(() => {});
    expect(first.topics()).toEqual(['a=2', 'b=1']);
    expect(first.sent.every(({ qos, retain }) => qos === 1 && retain)).toBe(true);
    first.ack();
    first.ack();
    box.detach();
    box.state('c', Buffer.from('1'));
    const second = new FakeWire();
    box.attach(second);
    box.restore(() => {});
    expect(second.topics()).toEqual(['a=2', 'b=1', 'c=1']);
  });

  it('coalesce while the one before is unacknowledged', () => {
    const { box } = outbox();
    const wire = new FakeWire();
    box.attach(wire);
    box.restore(() => {});
    for (let i = 0; i < 100; i++) box.state('a', Buffer.from(String(i)));
    expect(wire.topics()).toEqual(['a=0']);
    wire.ack();
    expect(wire.topics()).toEqual(['a=0', 'a=99']);
    wire.ack();
    expect(box.stats()).toMatchObject({ queued: 0, published: { qos1: 2 } });
  });

  it('are dirty again when the connection breaks before the acknowledgement', () => {
    const { box } = outbox();
    const first = new FakeWire();
    box.attach(first);
    box.restore(() => {});
    box.state('a', Buffer.from('1'));
    box.detach();
    expect(box.stats().queued).toBe(1);
    const second = new FakeWire();
    box.attach(second);
    box.restore(() => {});
    expect(second.topics()).toEqual(['a=1']);
  });

  it('are all with the broker when `attach` says so, and a late acknowledgement of an old connection says nothing', () => {
    vi.useFakeTimers();
    const { box } = outbox();
    for (let i = 0; i < 40; i++) box.state(`t${i}`, Buffer.from('x'));
    const old = new FakeWire();
    const settledOld = vi.fn();
    box.attach(old);
    box.restore(settledOld);
    vi.advanceTimersByTime(5000);
    box.detach();
    const wire = new FakeWire();
    const settled = vi.fn();
    box.attach(wire);
    box.restore(settled);
    for (let i = 0; i < 16; i++) old.ack();
    expect(wire.unacknowledged).toBe(16);
    for (let i = 0; i < 39; i++) wire.ack();
    expect(settled).not.toHaveBeenCalled();
    wire.ack();
    expect(settled).toHaveBeenCalledOnce();
    expect(settledOld).not.toHaveBeenCalled();
  });

  it.each(['5', '3.1.1'] as const)('that expire before they go out take away what stands there from before (MQTT %s)', (protocol) => {
    vi.useFakeTimers();
    const { box } = outbox();
    const wire = new FakeWire(false, protocol);
    box.state('a', Buffer.from('for ever'));
    box.attach(wire);
    box.restore(() => {});
    box.state('a', Buffer.from('for a second'), 1);
    vi.advanceTimersByTime(1000);
    wire.ack();
    expect(wire.topics()).toEqual(['a=for ever', 'a=']);
    box.detach(); // before that was acknowledged
    const next = new FakeWire(false, protocol);
    box.attach(next);
    box.restore(() => {});
    expect(next.topics()).toEqual(['a=']);
    next.ack();
    expect(box.stats()).toMatchObject({ queued: 0, dropped: { expired: 1 } });
  });

  it('that never went out and have expired leave nothing to say with MQTT 5; older brokers may have kept them from before', () => {
    for (const [protocol, topics] of [
      ['5', []],
      ['3.1.1', ['a=']],
    ] as const) {
      vi.useFakeTimers();
      const { box } = outbox();
      box.state('a', Buffer.from('x'), 1);
      vi.advanceTimersByTime(1000);
      const wire = new FakeWire(true, protocol);
      box.attach(wire);
      box.restore(() => {});
      expect(wire.topics()).toEqual(topics);
    }
  });

  it('are not sent again when nothing changed, unless somebody asks or they live longer', async () => {
    const { box } = outbox();
    const wire = new FakeWire();
    box.attach(wire);
    box.restore(() => {});
    const say = (text: string, lifeS?: number) => box.state('a', Buffer.from(text), lifeS);
    say('ON');
    say('ON'); // the first is on its way
    wire.ack();
    say('ON');
    expect(wire.topics()).toEqual(['a=ON']);
    say('OFF');
    say('ON');
    wire.ack();
    expect(wire.topics()).toEqual(['a=ON', 'a=OFF', 'a=ON']);
    wire.ack();
    box.restate('a');
    box.restate('unknown');
    wire.ack();
    expect(wire.sent).toHaveLength(4);
    say('ON', 10);
    wire.ack();
    say('ON', 10);
    wire.ack();
    expect(wire.sent).toHaveLength(6);
    say('refused');
    wire.ack(new Error('no'));
    say('refused');
    expect(wire.topics().slice(6)).toEqual(['a=refused', 'a=refused']);
  });

  it('that are forgotten while they are on their way, and said again while that is, end as they were said last', () => {
    const { box } = outbox();
    const wire = new FakeWire();
    box.attach(wire);
    box.restore(() => {});
    box.state('a', Buffer.from('1'));
    box.forget('a');
    box.restate();
    wire.ack();
    box.restate();
    box.state('a', Buffer.from('1'));
    wire.ack();
    wire.ack();
    expect(wire.topics()).toEqual(['a=1', 'a=', 'a=1']);
    box.forget('a');
    wire.ack();
    box.restate();
    expect(wire.sent).toHaveLength(4);
    expect(box.stats().queued).toBe(0);
  });

  it('that are empty are states like any other: sent when they are news, and again on every connection', () => {
    const { box } = outbox();
    const wire = new FakeWire();
    box.attach(wire);
    box.restore(() => {});
    for (let i = 0; i < 3; i++) {
      box.state('a', Buffer.alloc(0));
      wire.ack();
    }
    expect(wire.topics()).toEqual(['a=']);
    box.detach();
    const next = new FakeWire();
    box.attach(next);
    box.restore(() => {});
    next.ack();
    box.forget('a');
    next.ack();
    box.restate();
    expect(next.topics()).toEqual(['a=', 'a=']);
  });

  it('that the broker refuses to forget are asked to be forgotten on every connection, and make room for others', () => {
    const { box, refused } = outbox();
    const wire = new FakeWire();
    box.attach(wire);
    box.restore(() => {});
    box.forget('a');
    wire.ack(new Error('not authorized'));
    box.restate();
    expect(wire.topics()).toEqual(['a=']);
    box.detach();
    const next = new FakeWire();
    box.attach(next);
    box.restore(() => {});
    expect(next.topics()).toEqual(['a=']);
    next.ack(new Error('not authorized'));
    for (let i = 0; i < 4096; i++) box.state(`t${i}`, Buffer.from('x'));
    expect(refused).toEqual(['a: not authorized', 'a: not authorized']);
    expect(box.stats().dropped).toMatchObject({ refused: 2, overflow: 0 });
  });

  it('count against a limit of topics', () => {
    const { box, refused } = outbox();
    for (let i = 0; i < 4097; i++) box.state(`t${i}`, Buffer.from('x'));
    expect(box.stats().dropped.overflow).toBe(1);
    expect(refused).toEqual(['t4096: more than 4096 retained topics']);
  });
});

describe('events', () => {
  it('wait until they are released, keep their order, and carry the life they have left', async () => {
    vi.useFakeTimers();
    const { box } = outbox();
    const wire = new FakeWire(true);
    box.attach(wire);
    box.restore(() => {});
    box.event('e', event('1'));
    await vi.advanceTimersByTimeAsync(20_000);
    box.event('e', event('2'));
    expect(wire.sent).toEqual([]);
    box.release();
    await vi.advanceTimersByTimeAsync(0);
    expect(wire.bodies()).toEqual([event('1'), event('2')]);
    expect(wire.sent.map(({ expiryS, retain, qos }) => [Math.round(expiryS ?? 0), retain, qos])).toEqual([
      [40, false, 1],
      [60, false, 1],
    ]);
  });

  it('are marked as replayed when an outage held them up or they may have been delivered, and dropped after a minute', async () => {
    vi.useFakeTimers();
    const { box } = outbox();
    const first = new FakeWire();
    box.attach(first);
    box.restore(() => {});
    box.release();
    box.event('e', event('in flight'));
    box.detach();
    box.event('e', event('offline'));
    await vi.advanceTimersByTimeAsync(30_000);
    const second = new FakeWire(true);
    box.attach(second);
    box.restore(() => {});
    box.release();
    box.event('e', event('new'));
    await vi.advanceTimersByTimeAsync(0);
    expect(second.bodies()).toEqual([
      { id: 'in flight', replayed: true },
      { id: 'offline', replayed: true },
      { id: 'new', replayed: false },
    ]);
    box.detach();
    box.event('e', event('old'));
    await vi.advanceTimersByTimeAsync(60_000);
    const third = new FakeWire(true);
    box.attach(third);
    box.restore(() => {});
    box.release();
    await vi.advanceTimersByTimeAsync(0);
    expect(third.sent).toEqual([]);
    expect(box.stats().dropped.expired).toBe(1);
  });

  it('go out when they are released in the middle of something else', () => {
    const { box } = outbox();
    const wire = new FakeWire();
    wire.maxPacketBytes = 100;
    box.state('too large', Buffer.alloc(200)); // so that states are settled without anything being sent
    box.attach(wire);
    for (const id of ['1', '2']) box.event('e', event(id)); // states and events have turns: with two it is that of the events
    box.restore(() => box.release());
    expect(wire.bodies()).toEqual([event('1'), event('2')]);
  });

  it('fall out at the old end of the ring', async () => {
    const { box } = outbox();
    for (let i = 0; i < 300; i++) box.event('e', event(String(i)));
    const wire = new FakeWire(true);
    box.attach(wire);
    box.restore(() => {});
    box.release();
    await flush();
    await vi.waitFor(() => expect(box.stats().queued).toBe(0));
    expect(wire.bodies().map(({ id }) => Number(id))).toEqual(Array.from({ length: 256 }, (_, i) => i + 44));
    expect(box.stats().dropped.overflow).toBe(44);
  });
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
