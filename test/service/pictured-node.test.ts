/** A whole node whose events have pictures: only of cameras whose images are on, only while they are, and a stop loses no event. */
import { createHash } from 'node:crypto';
import sharp from 'sharp';
import { expect, it } from 'vitest';
import { healthSchema, type WatchEvent, watchEventSchema } from '../../src/mqtt/messages.js';
import type { ConfigInput } from '../../src/service/config/config.js';
import { caughtUp, type Mosquitto, until } from '../support/mosquitto.js';
import { describeWith } from '../support/programs.js';
import { brokerForEach } from './stages.js';
import { config, type Ear, fakeModel, KITCHEN, LAMP, listen, ROOT, startNode } from './support.js';

describeWith(['mosquitto'], 'a node', () => {
  let mosquitto: Mosquitto;
  let ear: Ear;
  brokerForEach((given) => {
    ({ mosquitto, ear } = given);
  });
  /** Answers yes and no by turns to each of so many watches that are asked together, so that every answer is an event. */
  const turning = (watches: number) => {
    let answers = 0;
    return async () => fakeModel({ answer: () => Math.floor(answers++ / watches) % 2 === 0 });
  };
  const watch = { ...LAMP, interval_ms: 0, change_percent: 0 };
  const start = (values: ConfigInput, load?: () => Promise<ReturnType<typeof config>>) =>
    startNode(mosquitto.url, values, {
      loadModel: turning(Object.keys((values as { watches: object }).watches).length),
      ...(load === undefined ? {} : { load }),
    });
  const events = (): WatchEvent[] => ear.on('watch/lamp/event').map(({ text }) => watchEventSchema.parse(JSON.parse(text)));
  const pictures = () => ear.on('watch/lamp/picture');

  it('sends the part of the frame that is configured, before the event that names it', async () => {
    const crop = { x: 0.5, y: 0, width: 0.5, height: 1 };
    const values = {
      cameras: { kitchen: { ...KITCHEN, images: true } },
      watches: { lamp: { ...watch, crop }, cup: { ...watch, crop, picture: { part: 'whole', max_side_px: 64 } } },
    };
    await using node = await start(values);
    await until('events', () => events().length > 2 && ear.on('watch/cup/event').length > 2);
    const order = ear.all.filter(({ topic }) => topic.startsWith(`${ROOT}/watch/lamp/`) && /event|picture/.test(topic)).slice(0, 6);
    expect(order.map(({ topic }) => topic.split('/').at(-1))).toEqual(['picture', 'event', 'picture', 'event', 'picture', 'event']);
    for (let i = 0; i < 6; i += 2) {
      const { packet } = order[i] as (typeof order)[number];
      const file = packet.payload as Buffer;
      const { picture, frame, id, seq } = watchEventSchema.parse(JSON.parse(order[i + 1]?.text ?? ''));
      expect(picture).toMatchObject({ sha256: createHash('sha256').update(file).digest('hex'), seq, part: 'crop', width: 160, height: 240 });
      expect(packet.properties?.userProperties).toMatchObject({ id: frame?.id, event: id, watch: 'lamp', camera: 'kitchen' });
      expect(await sharp(file).metadata()).toMatchObject({ format: 'jpeg', width: 160, height: 240 });
      expect(packet).toMatchObject({ qos: 1, retain: false });
    }
    expect(JSON.parse(ear.on('watch/cup/event').at(-1)?.text ?? '').picture).toMatchObject({ part: 'whole', width: 64, height: 48 });
    expect(healthSchema.parse(node.service.health()).mqtt.pictures).toMatchObject({ dropped: { failed: 0, late: 0, refused: 0 } });
    expect(node.service.health().mqtt.pictures.published).toBeGreaterThan(4);
  });

  it('sends none where images are off, none any more when they are turned off, and retains none', async () => {
    const images = (on: boolean) => ({ cameras: { kitchen: { ...KITCHEN, images: on } }, watches: { lamp: watch } });
    await using node = await start(images(true), async () => config(mosquitto.url, images(false)));
    await until('a picture', () => events().some(({ picture }) => picture !== null));
    await node.service.reload();
    await caughtUp(ear.client, () => ear.all.length);
    const [seen, before] = [pictures().length, events().length];
    await until('events without', () => events().length > before + 5);
    expect(pictures().length).toBe(seen);
    expect(
      events()
        .slice(before)
        .every(({ picture }) => picture === null),
    ).toBe(true);
    await using late = await listen(mosquitto.url, [`${ROOT}/watch/#`]);
    await caughtUp(late.client, () => late.all.length);
    expect(late.on('watch/lamp/result').length).toBeGreaterThan(0);
    expect(late.all.filter(({ topic, retained }) => topic.endsWith('/picture') && retained)).toEqual([]);
  });

  it.each(['the watch is deleted', 'the camera gets a mask'])('does not send what waits for the broker when %s', async (what) => {
    const values = (changes: object = {}) => ({ cameras: { kitchen: { ...KITCHEN, images: true, ...changes } }, watches: { lamp: watch } });
    const masked = values({
      privacy: [
        [
          [0, 0],
          [1, 0],
          [1, 1],
          [0, 1],
        ],
      ],
    });
    const load = async () => config(mosquitto.url, what === 'the watch is deleted' ? { ...values(), watches: {} } : masked);
    await using node = await start(values(), load);
    await until('a picture', () => pictures().length > 0);
    await mosquitto.stop();
    await until('pictures wait', () => node.service.health().mqtt.pictures.waiting_bytes > 20_000);
    await node.service.reload();
    const { dropped } = node.service.health().mqtt.pictures;
    expect(dropped.withdrawn).toBeGreaterThan(0);
    ear.all.length = 0;
    await mosquitto.start();
    await until('what waited', () => events().filter(({ replayed }) => replayed).length > 3, 20_000);
    const bright = await Promise.all(pictures().map(async ({ packet }) => (await sharp(packet.payload as Buffer).stats()).channels[0]?.max ?? 0));
    expect(bright.every((max) => max < 16)).toBe(true); // whatever is sent now is masked, or there is none
  });

  it('makes a picture smaller where the broker takes no larger packet', async () => {
    await mosquitto.stop();
    await mosquitto.start({ config: ['max_packet_size 5000'] });
    await using again = await listen(mosquitto.url);
    await using node = await start({ cameras: { kitchen: { ...KITCHEN, images: true } }, watches: { lamp: watch } });
    const told = () => again.on('watch/lamp/event').map(({ text }) => watchEventSchema.parse(JSON.parse(text)));
    await until('events', () => told().length > 3);
    const { picture } = told().at(-1) as WatchEvent;
    expect(picture?.bytes).toBeLessThan(5000);
    expect(picture?.width).toBeLessThan(320);
    const before = node.service.health().mqtt.pictures.dropped.too_large; // of the time when the broker's limit was not known
    const count = told().length;
    await until('more', () => told().length > count + 3);
    expect(node.service.health().mqtt).toMatchObject({ reconnects: 0, pictures: { dropped: { too_large: before, refused: 0 } } });
  });

  it('tells its last event before it says offline', async () => {
    const node = await start({ cameras: { kitchen: { ...KITCHEN, images: true } }, watches: { lamp: watch } });
    await until('events', () => events().length > 2);
    await node[Symbol.asyncDispose]();
    await until('offline', () => ear.on('availability').at(-1)?.text === 'offline');
    await caughtUp(ear.client, () => ear.all.length);
    const numbers = events().map(({ seq }) => seq);
    expect(numbers).toEqual(numbers.map((_, i) => i));
    expect(ear.all.findIndex(({ text }) => text === 'offline')).toBeGreaterThan(ear.all.findLastIndex(({ topic }) => topic.endsWith('/event')));
    const last = events().at(-1);
    expect(
      JSON.parse(
        ear
          .on('watch/lamp/result')
          .filter(({ text }) => JSON.parse(text).status === 'ok')
          .at(-1)?.text ?? '',
      ).id,
    ).toBe(last?.result);
  });
});
