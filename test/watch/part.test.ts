/** Zones: what the model and the gate get of a picture, and which watches look together. */
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { cover } from '../../src/camera/cover.js';
import { random } from '../../src/camera/kitchen.js';
import type { Polygon } from '../../src/camera/polygon.js';
import { Inspection } from '../../src/watch/inspection.js';
import { WatchLoop } from '../../src/watch/loop.js';
import type { WatchOutcome } from '../../src/watch/outcome.js';
import { type Part, pictureOf } from '../../src/watch/part.js';
import { Queries } from '../../src/watch/queries.js';
import { counts } from '../support/counts.js';
import { exposed, FakeCamera, FakeEyes, noisy, type Picture, painted, room, spec } from './stage.js';

const NEUTRAL = 128;
const box = (left: number, top: number, right: number, bottom: number): number[][] => [
  [left, top],
  [right, top],
  [right, bottom],
  [left, bottom],
];
const LEFT = box(0, 0, 0.4, 1);
const RIGHT = box(0.6, 0, 1, 1);

const frameOf = (picture: Picture) => new FakeCamera('c').show(picture);
const shareOf = (before: Picture, now: Picture, part: Part) =>
  new Inspection(frameOf(now)).changedSince(new Inspection(frameOf(before)).pair(part), part);

describe('the model', () => {
  it('sees the zone without what is ignored, within the crop, and gray beside it, whatever the polygons', () => {
    const rand = random(5);
    const polygons = () =>
      Array.from({ length: 1 + Math.floor(rand() * 2) }, () => Array.from({ length: 3 + Math.floor(rand() * 4) }, () => [rand(), rand()]));
    for (let round = 0; round < counts(80, 1000); round++) {
      const [width, height] = [8 + Math.floor(rand() * 40), 8 + Math.floor(rand() * 40)];
      const format = rand() < 0.5 ? 'rgb' : 'gray';
      const frame = frameOf(room(width, height, format, round));
      const untouched = frame.data.slice();
      const crop = rand() < 0.5 ? undefined : { x: 0.2, y: 0.1, width: 0.55, height: 0.7 };
      const part: Part = { crop, zone: rand() < 0.7 ? polygons() : undefined, ignore: rand() < 0.7 ? polygons() : undefined };
      const within = (list: readonly Polygon[], index: number) => {
        const runs = cover(list, width, height, 0);
        for (let i = 0; i < runs.length; i += 2) if (index >= (runs[i] as number) && index < (runs[i + 1] as number)) return true;
        return false;
      };
      const counted = (index: number) => (part.zone === undefined || within(part.zone, index)) && !within(part.ignore ?? [], index);
      const left = crop === undefined ? 0 : Math.round(crop.x * width);
      const top = crop === undefined ? 0 : Math.round(crop.y * height);
      const pixel = format === 'rgb' ? 3 : 1;
      let image: ReturnType<typeof pictureOf>;
      try {
        image = pictureOf(frame, part);
      } catch (error) {
        expect(error).toMatchObject({ code: 'ERR_IMAGE', message: expect.stringContaining(`${width} x ${height} pixels`) });
        continue;
      }
      const stride = image.stride ?? image.width * pixel;
      for (let y = 0; y < image.height; y++) {
        for (let x = 0; x < image.width; x++) {
          const index = (top + y) * width + left + x;
          const expected = counted(index) ? untouched.subarray(index * pixel, (index + 1) * pixel) : new Uint8Array(pixel).fill(NEUTRAL);
          const found = image.data.subarray(y * stride + x * pixel, y * stride + (x + 1) * pixel);
          if (Buffer.compare(Uint8Array.from(found), expected) !== 0)
            throw new Error(`${x}, ${y} of ${JSON.stringify(part)} at ${width} x ${height}: ${found}`);
        }
      }
      expect(Buffer.compare(frame.data, untouched)).toBe(0); // others look at the same frame
    }
  });

  it('gets the frame itself where there is no zone', () => {
    const frame = frameOf(room(32, 24, 'rgb'));
    expect(pictureOf(frame, {}).data.buffer).toBe(frame.data.buffer);
    expect(pictureOf(frame, { ignore: [] }).data.buffer).toBe(frame.data.buffer);
    expect(pictureOf(frame, { ignore: [LEFT] }).data.buffer).not.toBe(frame.data.buffer);
  });

  it('gets them at the size that the picture has now', () => {
    const part = { zone: [RIGHT] };
    for (const [width, height] of [
      [40, 30],
      [80, 20],
      [40, 30],
    ] as const) {
      const { data } = pictureOf(frameOf(room(width, height, 'gray')), part);
      expect([...data.subarray(0, width)].filter((value) => value === NEUTRAL).length).toBeGreaterThanOrEqual(0.6 * width - 1);
      expect(data[width - 1]).not.toBe(NEUTRAL);
    }
  });
});

describe('the gate', () => {
  const noise = noisy(8);
  const inLeft = { x: 0.05, y: 0.3, width: 0.25, height: 0.3 };
  const inRight = { x: 0.7, y: 0.3, width: 0.25, height: 0.3 };
  it.each([
    ['a zone', { zone: [LEFT] }],
    ['what is ignored', { ignore: [box(0.4, 0, 1, 1)] }],
    ['both', { zone: [box(0, 0, 0.8, 1)], ignore: [box(0.4, 0, 1, 1)] }],
    ['a crop and a zone', { crop: { x: 0, y: 0.2, width: 0.9, height: 0.6 }, zone: [LEFT] }],
    [
      'a slanting zone',
      {
        zone: [
          [
            [0, 0],
            [0.4, 0],
            [0.3, 1],
            [0, 0.9],
          ],
        ],
      },
    ],
  ] as [string, Part][])('knows %s: noise and exposure are no change, nor what happens beside it', (_, part) => {
    for (const [width, height, format] of [
      [320, 240, 'rgb'],
      [640, 480, 'gray'],
    ] as const) {
      const scene = room(width, height, format);
      const before = noise(scene);
      expect(shareOf(before, noise(scene), part)).toBe(0);
      expect(shareOf(before, noise(painted(scene, inRight, 230)), part)).toBe(0);
      for (const gain of [0.8, 1.2]) expect(shareOf(before, noise(exposed(scene, gain)), part)).toBeLessThan(0.005);
      expect(shareOf(before, noise(painted(scene, inLeft, 230)), part)).toBeGreaterThan(0.1);
    }
  });

  it('counts shares of the zone, and looks into the smallest', () => {
    const scene = room(640, 480, 'rgb');
    const small = [box(0.501, 0.501, 0.504, 0.504)];
    expect(shareOf(scene, painted(scene, { x: 0.49, y: 0.49, width: 0.03, height: 0.03 }, 250), { zone: small })).toBe(1);
    const line: Polygon = [
      [0.1, 0.1],
      [0.9, 0.9],
      [0.9001, 0.9],
    ];
    expect(shareOf(scene, painted(scene, { x: 0, y: 0, width: 1, height: 1 }, 250), { zone: [line] })).toBe(1);
    expect(shareOf(scene, scene, { zone: [line] })).toBe(0);
    expect(shareOf(scene, painted(scene, { x: 0, y: 0, width: 0.2, height: 1 }, 250), { zone: [LEFT] })).toBeCloseTo(0.5, 1);
  });

  it.each([0.3, 0.6, 0.85])('is not misled by a privacy mask over %f of the picture', (share) => {
    const masked = (picture: Picture) => painted(picture, { x: 0, y: 0, width: share, height: 1 }, 0);
    const scene = room(320, 240, 'rgb');
    const before = masked(noisy(8, 1)(scene));
    const later = noisy(8, 2);
    for (let i = 0; i < 5; i++) expect(shareOf(before, masked(later(scene)), {})).toBe(0);
    for (const gain of [0.85, 1.15]) expect(shareOf(before, masked(later(exposed(scene, gain))), {})).toBeLessThan(0.005);
    const thing = { x: 0.88, y: 0.5, width: 0.1, height: 0.2 };
    expect(shareOf(before, masked(later(painted(scene, thing, 250))), {})).toBeGreaterThan(0.005);
  });
});

describe('watches', () => {
  let loop: WatchLoop;
  let eyes: FakeEyes;
  let camera: FakeCamera;
  let outcomes: WatchOutcome[];
  beforeEach(() => {
    vi.useFakeTimers();
    eyes = new FakeEyes();
    outcomes = [];
    camera = new FakeCamera('kitchen');
    loop = new WatchLoop(eyes, { onOutcome: (outcome) => outcomes.push(outcome) });
    loop.addCamera(camera);
    loop.start();
  });
  afterEach(async () => {
    await loop.stop(0);
    vi.useRealTimers();
  });
  const show = async (picture: Picture) => {
    camera.show(picture);
    await vi.advanceTimersByTimeAsync(20);
  };

  it('with equal zones share one look, others get their own', async () => {
    loop.put('a', spec({ question: 'a?', zone: [LEFT] }));
    loop.put('b', spec({ question: 'b?', zone: [LEFT.map(([x = 0, y = 0]) => [x, y])] }));
    loop.put('c', spec({ question: 'c?', zone: [RIGHT] }));
    loop.put('d', spec({ question: 'd?' }));
    loop.put('e', spec({ question: 'e?', ignore: [LEFT] }));
    await show(room(64, 48, 'gray'));
    const asked = eyes.looks.map(({ questions }) => questions.map(({ question }) => question).sort());
    expect(asked.sort()).toEqual([['a?', 'b?'], ['c?'], ['d?'], ['e?']]);
    const neutral = eyes.looks.map(({ image }) => image.data.filter((value) => value === NEUTRAL).length / (64 * 48));
    expect(Math.max(...neutral)).toBeLessThan(0.65);
    expect(neutral.filter((share) => share > 0.35)).toHaveLength(3);
  });

  it('are not asked about what happens beside their zone', async () => {
    const scene = room(64, 48, 'gray');
    loop.put('a', spec({ zone: [LEFT] }));
    await show(scene);
    await show(painted(scene, { x: 0.6, y: 0, width: 0.3, height: 1 }, 240));
    expect(eyes.asked).toBe(1);
    expect(loop.status().watches.a?.skipped).toMatchObject({ unchanged: 0 }); // until the next frame comes
    await show(painted(scene, { x: 0.1, y: 0, width: 0.2, height: 1 }, 240));
    expect(eyes.asked).toBe(2);
    expect(loop.status().watches.a?.skipped).toMatchObject({ unchanged: 1 });
  });

  it('that get another zone know nothing any more; with an equal one they go on', async () => {
    loop.put('a', spec({ zone: [LEFT] }));
    await show(room(64, 48, 'gray'));
    expect(loop.status().watches.a?.value).toBe(true);
    loop.put('a', spec({ zone: [LEFT], priority: 3 }));
    expect(loop.status().watches.a?.value).toBe(true);
    for (const other of [{ zone: [RIGHT] }, {}, { ignore: [RIGHT] }]) {
      loop.put('a', spec(other));
      expect(loop.status().watches.a?.value).toBeNull();
      expect(outcomes.at(-1)).toMatchObject({ status: 'stale' });
      await show(room(64, 48, 'gray', Math.floor(performance.now())));
      expect(loop.status().watches.a?.value).toBe(true);
    }
  });

  it('say so where a picture is too small for anything to be left', async () => {
    loop.put('a', spec({ zone: [box(0.5, 0, 0.55, 1)], ignore: [box(0, 0, 0.5, 1), box(0.55, 0, 1, 1)] }));
    await show(room(8, 8, 'gray'));
    expect(eyes.looks).toHaveLength(0);
    expect(outcomes.at(-1)).toMatchObject({ status: 'error', error: { code: 'ERR_IMAGE', message: expect.stringContaining('8 x 8') } });
    await show(room(400, 300, 'gray'));
    await vi.advanceTimersByTimeAsync(2000);
    await show(room(400, 300, 'gray', 2));
    expect(outcomes.at(-1)).toMatchObject({ status: 'ok' });
  });

  it('pass their zones on to who asks about them once', async () => {
    const queries = new Queries(eyes, { limit: 1 });
    const frame = camera.show(room(64, 48, 'gray'));
    const asking = queries.ask({ frame: () => frame, question: 'Why?', zone: [LEFT], deadlineMs: 1000 });
    await vi.advanceTimersByTimeAsync(10);
    await asking;
    expect(eyes.looks[0]?.image.data[63]).toBe(NEUTRAL);
    await queries.lane.stop(0);
  });
});
