/**
 * Picture and event belong together: frames that show their number go through a camera that uses its memory again, the watch loop and the link to a
 * broker behind a network that cuts, and whoever listens there compares what the picture shows with the frame that the event names.
 */
import { createHash } from 'node:crypto';
import sharp from 'sharp';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { Camera } from '../../src/camera/camera.js';
import type { Frame, Picture, Source } from '../../src/camera/frame.js';
import { BufferPool } from '../../src/camera/lease.js';
import type { Link } from '../../src/mqtt/link.js';
import { Stamp, type WatchEvent, watchEventSchema } from '../../src/mqtt/messages.js';
import { PICTURE_OVERHEAD_BYTES } from '../../src/mqtt/wire.js';
import { EventPictures } from '../../src/service/publish/event-pictures.js';
import { Outlet } from '../../src/service/publish/outlet.js';
import { ResultPublisher } from '../../src/service/publish/results.js';
import { WatchLoop } from '../../src/watch/loop.js';
import type { Eyes, Sight } from '../../src/watch/outcome.js';
import { type WatchSpec, watchSpecSchema } from '../../src/watch/spec.js';
import { type Heard, linkTo, observe, topics } from '../mqtt/nodes.js';
import { counts } from '../support/counts.js';
import { type Mosquitto, startMosquitto, until } from '../support/mosquitto.js';
import { describeWith } from '../support/programs.js';
import { random } from '../support/sequences.js';
import { startTcpProxy, type TcpProxy } from '../support/tcp-proxy.js';
import { fakeModel } from './support.js';

const WIDTH = 256;
const HEIGHT = 128;
const BITS = 12;
const BLOCK = 32; // pixels

/** Twice, so that the right half shows all of it: a row of blocks per four bits, white for one. */
function draw(data: Buffer, number: number): Buffer {
  for (let y = 0; y < HEIGHT; y++) {
    for (let x = 0; x < WIDTH; x++) {
      const bit = Math.floor(y / BLOCK) * 4 + (Math.floor(x / BLOCK) % 4);
      data.fill(bit < BITS && ((number >> bit) & 1) === 1 ? 255 : 0, (y * WIDTH + x) * 3, (y * WIDTH + x + 1) * 3);
    }
  }
  return data;
}

/** Of the whole picture or its right half, in any size. */
function read({ data, width, height, channels }: { data: Uint8Array; width: number; height: number; channels: number }, columns: number): number {
  let number = 0;
  for (let bit = 0; bit < BITS; bit++) {
    const x = Math.floor(((bit % 4) + 0.5) * (width / columns));
    const y = Math.floor((Math.floor(bit / 4) + 0.5) * (height / (HEIGHT / BLOCK)));
    if ((data[(y * width + x) * channels] as number) > 127) number |= 1 << bit;
  }
  return number;
}

/** Shows number after number, each when it is asked to. */
function numbered() {
  const pool = new BufferPool();
  let show: (picture: Picture) => void = () => {};
  const source: Source = {
    name: 'numbered',
    async *open(signal) {
      const ended = new Promise<null>((resolve) => signal.addEventListener('abort', () => resolve(null), { once: true }));
      for (;;) {
        const shown = new Promise<Picture>((resolve) => (show = resolve));
        const picture = await Promise.race([shown, ended]);
        if (picture === null) return;
        yield picture;
      }
    },
  };
  const next = (number: number) => {
    const data = draw(pool.take(WIDTH * HEIGHT * 3), number);
    const giveBack = () => {
      data.fill(77); // nobody may look at it any more
      pool.give(data);
    };
    show({ width: WIDTH, height: HEIGHT, format: 'rgb', data, giveBack });
  };
  return { source, next };
}

const spec = (changes: Partial<WatchSpec> | object = {}): WatchSpec =>
  watchSpecSchema.parse({ camera: 'k', question: 'Is it?', interval_ms: 0, change_percent: 0, ttl_ms: 600_000, ...changes });
const WATCHES = {
  whole: spec(),
  small: spec({ picture: { max_side_px: 64, quality: 60 } }),
  half: spec({ crop: { x: 0.5, y: 0, width: 0.5, height: 1 } }),
};

/** All of a node that makes events and publishes them, on a link. */
function publishing(link: Link) {
  const outlet = new Outlet(link.outbox);
  const pictures = new EventPictures({
    outlet,
    topicOf: (watch) => topics.watch(watch, 'picture'),
    wanted: (watch) => WATCHES[watch as keyof typeof WATCHES].picture,
    mostBytes: () => link.outbox.packetLimit - PICTURE_OVERHEAD_BYTES,
    onFault: (_, error) => {
      throw error;
    },
  });
  const results = new ResultPublisher(topics, new Stamp('node-1', 's1'), outlet, pictures, () => ({ id: 'm', rev: '0' }));
  const told = new Map<string, number>(); // events by watch
  const numbers = new Map<string, number>(); // by frame
  const answers = new Map<string, boolean>(); // the last one to each question, turned over at the next
  const model = fakeModel();
  const eyes: Eyes = {
    async look(image) {
      const sight = await model.look(image);
      const ask = async (question: string) => {
        const value = answers.get(question) !== true;
        answers.set(question, value);
        return { ...(await sight.ask(question)), value };
      };
      return { ...sight, ask: ask as Sight['ask'] };
    },
  };
  const { source, next } = numbered();
  const camera = new Camera({ id: 'k', source, stallMs: 600_000, frozenMs: 0 });
  camera.on('frame', (frame: Frame) => numbers.set(frame.id, read({ ...frame, channels: 3 }, 8)));
  const loop = new WatchLoop(eyes, {
    onOutcome: () => {},
    onEvent: (event) => {
      const { watch } = event.outcome;
      results.event(event);
      told.set(watch, (told.get(watch) ?? 0) + 1);
    },
    onFault: (error) => {
      throw error;
    },
  });
  for (const [id, each] of Object.entries(WATCHES)) loop.put(id, { ...each, question: `${each.question} ${id}` });
  loop.addCamera(camera);
  loop.start();
  camera.start();
  return { camera, loop, pictures, told, numbers, next };
}

/** After so many pieces of what the node sends: the piece is lost, or the broker has it and the node never hears of that, or nobody can connect for a while. */
function cutAgainAndAgain(proxy: TcpProxy): void {
  const next = random(7);
  let left = 10;
  let cuts = 0;
  proxy.watch((direction) => {
    if (direction !== 'up' || --left > 0) return undefined;
    left = 8 + Math.floor(next() * 24);
    const kind = cuts++ % 3;
    if (kind === 1) {
      proxy.hold('down');
      setTimeout(() => {
        proxy.cut();
        proxy.release();
      }, 5);
      return true;
    }
    if (kind === 2) {
      proxy.refuse(true);
      setTimeout(() => proxy.refuse(false), 100);
    }
    proxy.cut();
    return false;
  });
}

/** Throws for the first event whose picture is not the one that it names, or shows another frame than it names. Returns how many had one. */
async function compare(heard: readonly Heard[], numbers: ReadonlyMap<string, number>, protocol: string) {
  const last = new Map<string, Heard>(); // picture by topic
  const events = new Map<string, WatchEvent>();
  let pictured = 0;
  for (const each of heard) {
    if (each.topic.endsWith('/picture')) last.set(each.topic, each);
    if (!each.topic.endsWith('/event') || !each.topic.includes('/watch/')) continue;
    const event = watchEventSchema.parse(JSON.parse(each.payload));
    events.set(event.id, event);
    const { picture, frame } = event;
    if (picture === null) continue;
    pictured++;
    const { packet } = last.get(picture.topic) as Heard;
    const file = packet.payload as Buffer;
    const number = numbers.get(frame?.id ?? '');
    expect(createHash('sha256').update(file).digest('hex')).toBe(picture.sha256);
    const { data, info } = await sharp(file).raw().toBuffer({ resolveWithObject: true });
    const { width, height } = info;
    expect(read({ data, width, height, channels: info.channels }, event.watch === 'half' ? 4 : 8)).toBe(number);
    expect(picture).toMatchObject({ topic: topics.watch(event.watch, 'picture'), seq: event.seq, bytes: file.length, width, height });
    const user = { id: frame?.id, watch: event.watch, camera: 'k', event: event.id, seq: `${event.seq}`, session: 's1', sha256: picture.sha256 };
    if (protocol === '5') expect(packet.properties).toMatchObject({ contentType: 'image/jpeg', userProperties: user });
    expect(packet.retain).toBe(false);
  }
  return { events, pictured };
}

describeWith(['mosquitto'], 'over a network that cuts', () => {
  let broker: Mosquitto;
  let proxy: TcpProxy;
  beforeEach(async () => {
    broker = await startMosquitto({ config: ['max_queued_messages 0'] });
    proxy = await startTcpProxy(broker.port);
  });
  afterEach(async () => {
    await proxy.close();
    await broker.close();
  });

  it.each(['5', '3.1.1'] as const)('no event has the picture of another frame, and none is lost (MQTT %s)', async (protocol) => {
    const wanted = counts(40, 500);
    await using ear = await observe(broker.url, `${topics.root}/watch/+/+`);
    const link = linkTo(`mqtt://127.0.0.1:${proxy.port}`, { protocol });
    const { camera, loop, pictures, told, numbers, next } = publishing(link);
    await link.start();
    cutAgainAndAgain(proxy);
    for (let number = 1; (told.get('half') ?? 0) < wanted; number++) {
      await until('the camera waits', () => camera.state !== 'offline');
      const before = told.get('half') ?? 0;
      next(number);
      if (number > 1) await until('events', () => [...told.values()].every((count) => count > before), 10_000);
      else await until('answers', () => Object.values(loop.status().watches).every(({ answered }) => answered > 0));
      await until('little is left to say', () => link.stats().queued < 40);
    }
    await pictures.finish(2000);
    await until('all is out', () => link.connected && link.stats().queued === 0);
    const total = sum(Object.fromEntries(told));
    await until('all is heard', () => new Set(ear.seen.filter(isEvent).map(({ payload }) => JSON.parse(payload).id)).size === total);
    expect(link.stats().reconnects).toBeGreaterThan(counts(4, 50));
    const { events, pictured } = await compare(ear.seen, numbers, protocol);
    expect(events.size).toBe(total);
    const without = [...events.values()].filter(({ picture }) => picture === null).length;
    expect(pictured).toBeGreaterThan(total / 2);
    expect(without).toBeLessThanOrEqual(sum(link.stats().pictures.dropped) + sum(pictures.dropped));
    await loop.stop(100);
    await camera.stop();
    await link.stop(500);
  });
});

const isEvent = ({ topic }: Heard) => topic.endsWith('/event');
const sum = (record: Record<string, number>) => Object.values(record).reduce((all, count) => all + count, 0);
