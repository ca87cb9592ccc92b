/** Pictures in the outbox, before the events that name them. The model of the outbox has the order in any sequence; here are the limits. */
import { afterEach, expect, it, vi } from 'vitest';
import type { Outbox } from '../../src/mqtt/outbox.js';
import { event, FakeWire, flush, outbox } from './fake-wire.js';

afterEach(() => {
  vi.useRealTimers();
});

const picture = (topic: string, payload: Buffer | string = topic) => ({
  topic,
  payload: Buffer.from(payload),
  contentType: 'image/jpeg',
  user: { id: 'f' },
});
const told = (box: Outbox, id: string, payload?: Buffer | string, topic = 'picture') =>
  box.event('event', { ...event(id), picture: { topic } }, picture(topic, payload));

function connected(changes: Partial<FakeWire> = {}, maxPacketBytes?: number) {
  const { box, refused } = outbox(maxPacketBytes);
  const connect = () => {
    const wire = Object.assign(new FakeWire(), changes);
    box.attach(wire);
    box.restore(() => box.release());
    return wire;
  };
  return { box, refused, connect, wire: connect() };
}

/** Topics in order, of events whether they name a picture. */
function sent(wire: FakeWire): string[] {
  return wire.sent.map(({ topic, payload }) => {
    if (topic !== 'event') return topic;
    const { id, picture } = JSON.parse(payload.toString());
    return `${id} ${picture === null ? 'without' : 'with'}`;
  });
}

it('an event goes out when the broker has its picture, and what comes after it waits', () => {
  const { box, wire } = connected();
  told(box, 'a');
  told(box, 'b');
  box.event('event', { ...event('c'), picture: null });
  expect(sent(wire)).toEqual(['picture']);
  expect(wire.sent[0]).toMatchObject({ qos: 1, retain: false, contentType: 'image/jpeg', user: { id: 'f' } });
  expect(wire.sent[0]?.expiryS).toBeCloseTo(60, 0);
  wire.ack();
  expect(sent(wire)).toEqual(['picture', 'a with', 'picture']);
  wire.ack(); // a
  wire.ack();
  expect(sent(wire).slice(3)).toEqual(['b with', 'c without']);
  wire.ack();
  wire.ack();
  expect(box.stats()).toMatchObject({ queued: 0, published: { qos1: 5 }, pictures: { published: 2, waiting: 0, bytes: 0 } });
});

it('states and responses do not wait for a picture', () => {
  const { box, wire } = connected();
  told(box, 'a');
  box.state('state', 'x');
  box.respond('response', 'x');
  expect(sent(wire)).toEqual(['picture', 'state', 'response']);
});

it('a picture that the broker refuses is told of, and its event goes without', () => {
  const { box, wire, refused } = connected();
  told(box, 'a');
  wire.ack(new Error('not authorized'));
  expect(sent(wire)).toEqual(['picture', 'a without']);
  expect(refused).toEqual(['picture: not authorized']);
  expect(box.stats()).toMatchObject({ dropped: { refused: 0 }, pictures: { waiting: 0, dropped: { refused: 1 } } });
});

it.each([
  ['node', {}, 1000],
  ['broker', { maxPacketBytes: 1000 }, undefined],
])('a picture that is larger than the %s sends is dropped, its event is not', (_, changes, most) => {
  const { box, wire, refused } = connected(changes, most);
  told(box, 'a', Buffer.alloc(2000));
  expect(sent(wire)).toEqual(['a without']);
  expect(box.packetLimit).toBe(1000);
  expect(refused).toEqual([expect.stringMatching(/^picture: 20\d\d bytes, at most 1000 may be sent$/)]);
  expect(box.stats()).toMatchObject({ dropped: { too_large: 0 }, pictures: { dropped: { too_large: 1 } } });
});

it('an event that is too large takes its picture along', () => {
  const { box, wire } = connected({ maxPacketBytes: 1000 });
  box.event('event', { ...event('a'), picture: {}, text: 'x'.repeat(2000) }, picture('picture'));
  wire.ack();
  expect(box.stats()).toMatchObject({ queued: 0, dropped: { too_large: 1 }, pictures: { published: 1, waiting: 0, bytes: 0 } });
});

it('nothing is added to a link that does not keep up', () => {
  const { box, wire } = connected({ backlogBytes: 2001 }, 1000);
  told(box, 'a');
  expect(sent(wire)).toEqual(['a without']);
  expect(box.stats().pictures.dropped.slow_link).toBe(1);
});

it('pictures that are not to be shown any more are not, wherever they are', () => {
  const { box, wire } = connected();
  told(box, 'a');
  told(box, 'b');
  told(box, 'c', 'x', 'other');
  box.withdrawPictures(({ topic }) => topic === 'other');
  expect(sent(wire)).toEqual(['picture', 'a without', 'b without', 'other']);
  wire.ack(); // what was under way
  expect(box.stats().pictures).toMatchObject({ waiting: 1, dropped: { withdrawn: 2 } });
});

it('a burst keeps its newest pictures, and every event', () => {
  const { box, wire } = connected();
  for (let i = 0; i < 100; i++) told(box, String(i));
  expect(box.stats().pictures).toMatchObject({ waiting: 64, dropped: { overflow: 36 } });
  for (let i = 0; i < 300; i++) wire.ack();
  const events = sent(wire).filter((text) => text !== 'picture');
  expect(events).toEqual(Array.from({ length: 100 }, (_, i) => `${i} ${i === 0 || i > 36 ? 'with' : 'without'}`)); // the first was under way
  expect(box.stats()).toMatchObject({ queued: 0, dropped: { overflow: 0 } });
});

it('rather than that events are lost, none waits for its picture', () => {
  const { box, wire } = connected();
  told(box, 'first');
  for (let i = 0; i < 128; i++) box.event('event', { ...event(String(i)), picture: null });
  expect(sent(wire).slice(0, 2)).toEqual(['picture', 'first without']);
  for (let i = 0; i < 500; i++) box.event('event', { ...event(`late-${i}`), picture: null });
  for (let i = 0; i < 1000; i++) wire.ack();
  expect(box.stats().pictures).toMatchObject({ published: 1, dropped: { slow_link: 1 } });
});

it('a picture is sent again before its event when the connection broke between them', () => {
  const { box, wire, connect } = connected();
  told(box, 'a', 'A');
  told(box, 'b', 'B');
  wire.ack(); // a goes out, and the picture of b
  box.detach();
  const next = connect();
  next.ack();
  next.ack();
  next.ack();
  next.ack();
  expect(next.sent.map(({ topic, payload }) => (topic === 'picture' ? payload.toString() : JSON.parse(payload.toString())))).toEqual([
    'A',
    { id: 'a', replayed: true, picture: { topic: 'picture' } },
    'B',
    { id: 'b', replayed: true, picture: { topic: 'picture' } },
  ]);
});

it('a picture that breaks every connection right away costs three of them, then its topic has none for ten minutes; no event is lost', async () => {
  vi.useFakeTimers();
  const { box, wire, connect, refused } = connected();
  told(box, 'a');
  let last = wire;
  for (let i = 0; i < 3; i++) {
    expect(sent(last)).toEqual(['picture']);
    box.detach();
    last = connect();
  }
  told(box, 'b');
  told(box, 'c', 'x', 'other');
  expect(sent(last)).toEqual(['a without', 'b without', 'other']);
  expect(refused).toEqual(['picture: the broker broke the connection 3 times when it came']);
  expect(box.stats().pictures.dropped.refused).toBe(2);
  for (let i = 0; i < 4; i++) last.ack();
  await vi.advanceTimersByTimeAsync(600_000);
  told(box, 'd');
  expect(sent(last).slice(4)).toEqual(['picture']);
});

it('a picture that a link cannot carry in time is tried twice', async () => {
  vi.useFakeTimers();
  const { box, wire, connect } = connected();
  told(box, 'a');
  let last = wire;
  for (let i = 0; i < 2; i++) {
    expect(sent(last)).toEqual(['picture']);
    await vi.advanceTimersByTimeAsync(10_000);
    box.detach();
    last = connect();
  }
  expect(sent(last)).toEqual(['a without']);
  expect(box.stats().pictures.dropped.slow_link).toBe(1);
});

it('without a broker for long, a bounded number of bytes waits, events outlive their pictures, and all is counted', async () => {
  vi.useFakeTimers();
  const { box } = outbox();
  const size = 200_000;
  const made = 600 * 5;
  let most = 0;
  for (let i = 0; i < made; i++) {
    told(box, String(i), Buffer.alloc(size));
    most = Math.max(most, box.stats().pictures.bytes);
    vi.advanceTimersByTime(200);
  }
  expect(most).toBeLessThanOrEqual(8 * 2 ** 20);
  const { queued, pictures, dropped } = box.stats();
  const kept = Math.floor((8 * 2 ** 20) / size);
  expect({ queued, pictures }).toMatchObject({ queued: 256, pictures: { waiting: kept, bytes: kept * size } });
  expect(pictures.dropped.overflow).toBe(made - kept);
  expect(dropped.overflow + dropped.expired).toBe(made - 256);
  const wire = new FakeWire(true);
  box.attach(wire);
  box.restore(() => box.release());
  for (let i = 0; i < 100; i++) await flush();
  const events = sent(wire).filter((text) => text !== 'picture');
  expect(events).toEqual(Array.from({ length: 256 }, (_, i) => `${made - 256 + i} ${i >= 256 - kept ? 'with' : 'without'}`));
  vi.advanceTimersByTime(61_000);
  expect(box.stats()).toMatchObject({ queued: 0, pictures: { waiting: 0, bytes: 0 } });
});

it('a picture whose event is no news any more is none either', () => {
  vi.useFakeTimers();
  const { box } = outbox();
  told(box, 'a');
  vi.advanceTimersByTime(60_000);
  box.event('event', event('b'));
  expect(box.stats()).toMatchObject({ dropped: { expired: 1 }, pictures: { waiting: 0, bytes: 0, dropped: { expired: 1 } } });
});
