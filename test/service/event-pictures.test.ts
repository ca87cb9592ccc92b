/** How an event gets its picture, and what happens when that takes long or fails. */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import sharp from 'sharp';
import { describe, expect, it } from 'vitest';
import type { Frame } from '../../src/camera/frame.js';
import { jpegOf } from '../../src/camera/jpeg.js';
import { BufferPool, Lease } from '../../src/camera/lease.js';
import { watchEventSchema } from '../../src/mqtt/messages.js';
import type { Picture } from '../../src/mqtt/pictures.js';
import { EventPictures, type EventPicturesOptions } from '../../src/service/publish/event-pictures.js';
import { type Jpeg, JpegMaker, type JpegWish } from '../../src/service/publish/jpeg-maker.js';
import { Outlet } from '../../src/service/publish/outlet.js';
import { type PictureSpec, pictureSpecSchema } from '../../src/watch/spec.js';
import { outbox } from '../mqtt/fake-wire.js';
import { counts } from '../support/counts.js';

interface Told {
  event: string;
  named: { seq: number; width: number; height: number; bytes: number; part: string } | null;
  picture: Picture | null;
}

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

let number = 0;
function frame(width = 320, height = 240, data: Uint8Array = Buffer.alloc(width * height * 3)): Frame {
  return { id: `k-${++number}`, at: new Date(), monotonicMs: performance.now(), width, height, format: 'rgb', data, content: number };
}
const noise = (side: number) => Buffer.from(Array.from({ length: side * side * 3 }, (_, i) => (i * 2_654_435_761) >>> 24));

function pictures(options: Partial<EventPicturesOptions> = {}, spec: Partial<PictureSpec> = {}) {
  const told: Told[] = [];
  const faults: unknown[] = [];
  const subject = new EventPictures({
    outlet: {
      event: (_, body, picture = null) => {
        const { id: event, picture: named } = watchEventSchema.parse(body);
        told.push({ event, named, picture });
      },
    },
    topicOf: (watch) => `watch/${watch}/picture`,
    wanted: () => pictureSpecSchema.parse(spec),
    mostBytes: () => 1_000_000,
    onFault: (_, error) => faults.push(error),
    ...options,
  });
  const tell = (id: string, seen: Frame | null, watch = 'w', crop = undefined as Parameters<EventPictures['tell']>[3]) =>
    subject.tell(
      `watch/${watch}/event`,
      {
        ...{ id, v: 1, seq: number, session: 's', ts: new Date().toISOString(), node: 'n', watch, camera: 'k', event_type: 'triggered' },
        ...{ value: true, previous: false, confidence: 1, result: 'r', frame: null, confirmed: null, compare: null, error: null },
        replayed: false,
      },
      seen,
      crop,
    );
  return { subject, tell, told, faults };
}

/** A maker that is done when it is told so. */
function slowMaker() {
  const open: { frame: Frame; finish: (made: Jpeg | 'busy' | 'too_large') => void; fail: (error: Error) => void }[] = [];
  const make = (given: Frame) => new Promise<Jpeg | 'busy' | 'too_large' | 'late'>((finish, fail) => open.push({ frame: given, finish, fail }));
  return { open, maker: { make } };
}
const jpeg = (text = 'x'): Jpeg => ({ data: Buffer.from(text), width: 4, height: 2 });
const settled = () => new Promise((done) => setTimeout(done, 5));

describe('an event', () => {
  it.each([
    ['crop', { x: 0.5, y: 0.25, width: 0.5, height: 0.5 }, [160, 120]],
    ['crop', undefined, [320, 240]],
    ['whole', { x: 0.5, y: 0.25, width: 0.5, height: 0.5 }, [320, 240]],
  ] as const)('names the picture of the part %s of %j, as it is', async (part, crop, [width, height]) => {
    const { subject, tell, told } = pictures({}, { part });
    const data = Buffer.alloc(320 * 240 * 3);
    for (let y = 60; y < 180; y++) data.fill(255, (y * 320 + 160) * 3, (y + 1) * 320 * 3); // white where the crop is
    const seen = frame(320, 240, data);
    tell('e', seen, 'w', crop);
    await subject.finish(5000);
    const [{ named, picture } = { named: null, picture: null }] = told;
    expect(named).toMatchObject({ topic: 'watch/w/picture', seq: number, content_type: 'image/jpeg', part, width, height });
    expect(picture).toMatchObject({ topic: 'watch/w/picture', contentType: 'image/jpeg' });
    expect(picture?.user).toMatchObject({
      id: seen.id,
      ts: seen.at.toISOString(),
      watch: 'w',
      camera: 'k',
      event: 'e',
      seq: `${number}`,
      session: 's',
    });
    const { data: pixels, info } = await sharp(picture?.payload).raw().toBuffer({ resolveWithObject: true });
    expect([info.width, info.height]).toEqual([width, height]);
    const light = pixels.reduce((sum, value) => sum + value, 0) / pixels.length;
    expect(Math.abs(light - (crop !== undefined && part === 'crop' ? 255 : 63.75))).toBeLessThan(3);
    expect(Object.keys(picture?.user ?? {}).length).toBe(9);
  });

  it('has a picture no larger than it may be, smaller once if need be', async () => {
    const side = 512;
    const whole = (await jpegOf(frame(side, side, noise(side)), { maxSidePx: 4096, quality: 80 })).data.length;
    for (const [maxBytes, packet] of [
      [1_000_000, Math.floor(whole / 2)],
      [Math.floor(whole / 3), 1_000_000],
      [Math.floor(whole / 20), 1_000_000],
    ] as const) {
      const { subject, tell, told } = pictures({ mostBytes: () => packet }, { max_bytes: maxBytes });
      tell('e', frame(side, side, noise(side)));
      await subject.finish(5000);
      const bytes = told[0]?.picture?.payload.length ?? 0;
      expect(bytes).toBeGreaterThan(0);
      expect(bytes).toBeLessThanOrEqual(Math.min(maxBytes, packet));
      expect(told[0]?.named).toMatchObject({ bytes });
      expect(told[0]?.named?.width).toBeLessThan(side);
    }
    const { subject, tell, told } = pictures({ mostBytes: () => 50 });
    tell('e', frame(side, side, noise(side)));
    await subject.finish(5000);
    expect([told[0]?.named, told[0]?.picture]).toEqual([null, null]);
    expect(subject.dropped).toEqual({ failed: 0, late: 0, busy: 0, too_large: 1, withdrawn: 0 });
  });

  it('is told at once, without a picture, where there is none to make', () => {
    const { tell, told } = pictures();
    tell('no frame', null);
    expect(told).toEqual([{ event: 'no frame', named: null, picture: null }]);
    const off = pictures({ wanted: () => null });
    off.tell('off', frame());
    expect(off.told).toEqual([{ event: 'off', named: null, picture: null }]);
  });

  it('waits for those of its watch that came before, and for no other', async () => {
    const { maker, open } = slowMaker();
    const { tell, told } = pictures({ maker });
    tell('a', frame());
    tell('b', frame());
    tell('c', null);
    tell('other', null, 'other');
    open[1]?.finish(jpeg('B'));
    await settled();
    expect(told.map(({ event }) => event)).toEqual(['other']);
    open[0]?.finish(jpeg('A'));
    await settled();
    expect(told.map(({ event, picture }) => [event, picture?.payload.toString()])).toEqual([
      ['other', undefined],
      ['a', 'A'],
      ['b', 'B'],
      ['c', undefined],
    ]);
  });

  it('does not wait longer than it may, and what comes later is nobody’s', async () => {
    const { maker, open } = slowMaker();
    const { subject, tell, told } = pictures({ maker, withinMs: 30 });
    const begun = performance.now();
    tell('a', frame());
    await subject.finish(5000);
    expect(performance.now() - begun).toBeLessThan(1000);
    open[0]?.finish(jpeg());
    await settled();
    expect(told).toEqual([{ event: 'a', named: null, picture: null }]);
    expect(subject.dropped.late).toBe(1);
  });

  it('goes out though its picture cannot be made, which is said', async () => {
    const { maker, open } = slowMaker();
    const { subject, tell, told, faults } = pictures({ maker });
    tell('a', frame());
    tell('b', frame());
    open[0]?.fail(new Error('no memory'));
    open[1]?.finish('busy');
    await subject.finish(5000);
    expect(told.map(({ event, named }) => [event, named])).toEqual([
      ['a', null],
      ['b', null],
    ]);
    expect(faults).toEqual([new Error('no memory')]);
    expect(subject.dropped).toMatchObject({ failed: 1, busy: 1 });
  });

  it('loses a picture that may not be shown any more when it is there', async () => {
    const { maker, open } = slowMaker();
    const { subject, tell, told } = pictures({ maker });
    tell('a', frame());
    subject.withdraw((watch, camera) => `${watch} ${camera}` === 'w k');
    expect(told).toEqual([]);
    subject.withdraw(() => false);
    open[0]?.finish(jpeg());
    await settled();
    expect(told).toEqual([{ event: 'a', named: null, picture: null }]);
    expect(subject.dropped.withdrawn).toBe(1);
  });

  it('is told before the node ends, with its picture if there is time', async () => {
    const { maker } = slowMaker();
    const { subject, tell, told } = pictures({ maker });
    tell('a', frame());
    await subject.finish(20);
    expect(told).toEqual([{ event: 'a', named: null, picture: null }]);
    await subject.finish(20); // nothing waits
  });
});

it('events go on for long without a broker, and the memory of their pictures is bounded', async () => {
  const { box } = outbox();
  const { subject, tell } = pictures({ outlet: new Outlet(box) });
  const side = 256;
  const seen = noise(side);
  const memory = async () => {
    for (let i = 0; i < 3; i++) {
      collectGarbage();
      await settled(); // memory outside the heap is given back between two ticks
    }
    const { heapUsed, external } = process.memoryUsage();
    return heapUsed + external;
  };
  const rounds = async (count: number) => {
    for (let i = 0; i < count; i++) {
      for (let k = 0; k < 8; k++) tell(`${i}-${k}`, frame(side, side, seen));
      await subject.finish(5000);
    }
  };
  await rounds(40); // until all is full
  const before = await memory();
  const written = box.stats().pictures.dropped.overflow;
  const bursts = counts(120, 1000);
  await rounds(bursts);
  const grown = (await memory()) - before;
  const { waiting, bytes, dropped } = box.stats().pictures;
  expect(grown).toBeLessThan((bursts * 8 * bytes) / waiting / 3); // of what all of them have
  expect(waiting).toBeLessThanOrEqual(64);
  expect(bytes).toBeLessThanOrEqual(8 * 2 ** 20);
  expect(dropped.overflow - written).toBeGreaterThan(bursts * 8 - 64);
  expect(box.stats().queued).toBeLessThanOrEqual(256);
});

describe('what makes JPEG files', () => {
  const wish = (changes: Partial<JpegWish> = {}): JpegWish => ({ maxSidePx: 64, quality: 80, mostBytes: 1e6, isWanted: () => true, ...changes });

  it('holds a frame from the tick in which it gets it until the file is there', async () => {
    const pool = new BufferPool();
    const buffer = pool.take(48 * 48 * 3).fill(200);
    const lease = new Lease(() => buffer.fill(0)); // the memory is used again at once
    const maker = new JpegMaker();
    const making = [1, 2].map(() => maker.make({ ...frame(48, 48, buffer), hold: () => lease.hold() }, wish()));
    lease.retire();
    for (const made of await Promise.all(making)) {
      const { channels } = await sharp((made as Jpeg).data).stats();
      expect(channels[0]?.min).toBeGreaterThan(190);
    }
    expect(buffer[0]).toBe(0);
  });

  it('lets go of a frame nobody waits for, and of one whose file fails', async () => {
    let held = 0;
    const hold = () => {
      held++;
      return () => void held--;
    };
    const holding = { ...frame(48, 48), hold };
    const maker = new JpegMaker(async () => Promise.reject(new Error('broken')));
    await expect(maker.make(holding, wish())).rejects.toThrow('broken');
    expect(await maker.make(holding, wish({ isWanted: () => false }))).toBe('late');
    expect(held).toBe(0);
  });

  it('takes no more frames than it may hold, but always one', async () => {
    const large = () => ({ ...frame(8, 8), data: new Uint8Array(70 * 2 ** 20) });
    let finish = () => {};
    const maker = new JpegMaker(() => new Promise((resolve) => (finish = () => resolve(jpeg()))));
    const first = maker.make(large(), wish());
    expect(await maker.make(frame(8, 8), wish())).toBe('busy');
    finish();
    await settled();
    finish();
    expect(await first).toMatchObject({ width: 4 });
    const next = maker.make(frame(8, 8), wish());
    await settled();
    finish();
    expect(await next).toMatchObject({ width: 4 });
  });
});
