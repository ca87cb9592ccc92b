import { afterEach, describe, expect, it, vi } from 'vitest';
import { event, FakeWire, flush, outbox } from './fake-wire.js';

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
