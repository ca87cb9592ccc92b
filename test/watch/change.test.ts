import { describe, expect, it } from 'vitest';
import { COLORS, makeScene, renderScene, type Scene, SHAPES } from '../../src/camera/kitchen.js';
import { blocksOf } from '../../src/watch/blocks.js';
import { changedShare } from '../../src/watch/change.js';
import { rectOf } from '../../src/watch/crop.js';
import { Inspection } from '../../src/watch/inspection.js';
import { counts } from '../support/counts.js';
import { exposed, FakeCamera, noisy, type Picture, painted, room } from './stage.js';

const DEFAULT_SHARE = 0.005; // change_percent 0.5
type Crop = { x: number; y: number; width: number; height: number };

function share(before: Picture, now: Picture, crop?: Crop): number {
  const pair = (picture: Picture) => {
    const whole = blocksOf(picture, rectOf(picture, undefined));
    return { whole, part: crop === undefined ? whole : blocksOf(picture, rectOf(picture, crop)) };
  };
  return changedShare(pair(before), pair(now));
}

/** Squares of this share of the crop, all over it. */
function squares(of: number, crop: Crop = { x: 0, y: 0, width: 1, height: 1 }): Crop[] {
  const side = Math.sqrt(of);
  const places = [0.02, 0.31, 0.57, 0.81];
  const all = places.flatMap((x) =>
    places.map((y) => ({ x: crop.x + x * crop.width, y: crop.y + y * crop.height, width: side * crop.width, height: side * crop.height })),
  );
  const diagonal = all.filter((_, i) => i % 5 === 0);
  return [...diagonal, ...all.filter((place) => !diagonal.includes(place))].slice(0, counts(2, 16));
}

describe.each([
  [1280, 720, 'rgb'],
  [640, 480, 'gray'],
  [320, 240, 'rgb'],
  [160, 120, 'gray'],
] as const)('a scene of %i x %i in %s', (width, height, format) => {
  const scene = room(width, height, format);

  it('is unchanged under noise', () => {
    for (const sigma of [0, 2, 8]) {
      const noise = noisy(sigma);
      const before = noise(scene);
      for (let i = 0; i < counts(1, 8); i++) expect(share(before, noise(scene))).toBe(0);
    }
  });

  it('is unchanged when the exposure steps by a fifth, noise or not', () => {
    for (const sigma of [0, 8]) {
      const noise = noisy(sigma);
      for (const gain of [0.8, 0.9, 1.1, 1.2]) {
        expect(share(noise(scene), noise(exposed(scene, gain))), `gain ${gain}, noise ${sigma}`).toBeLessThan(DEFAULT_SHARE);
        expect(share(noise(exposed(scene, gain)), noise(scene)), `gain 1 / ${gain}, noise ${sigma}`).toBeLessThan(DEFAULT_SHARE);
      }
    }
  });

  it('has changed when a fiftieth of it has, wherever, under noise and exposure', () => {
    const noise = noisy(8);
    const before = noise(scene);
    for (const at of squares(0.02)) {
      const level = scene.data[
        (Math.round((at.y + at.height / 2) * height) * width + Math.round((at.x + at.width / 2) * width)) * (format === 'rgb' ? 3 : 1)
      ] as number;
      const other = level > 128 ? level - 60 : level + 60;
      expect(share(before, noise(painted(scene, at, other))), `at ${at.x}, ${at.y}`).toBeGreaterThanOrEqual(DEFAULT_SHARE);
      expect(share(before, noise(exposed(painted(scene, at, other), 1.1))), `at ${at.x}, ${at.y}`).toBeGreaterThanOrEqual(DEFAULT_SHARE);
    }
  });

  it('has changed in a crop when a fiftieth of the crop has', () => {
    const crop = { x: 0.3, y: 0.4, width: 0.35, height: 0.3 };
    const noise = noisy(8);
    const before = noise(scene);
    for (const at of squares(0.02, crop)) expect(share(before, noise(painted(scene, at, 250)), crop)).toBeGreaterThanOrEqual(DEFAULT_SHARE);
    const outside = { x: 0.7, y: 0.1, width: 0.2, height: 0.2 };
    expect(share(before, noise(painted(scene, outside, 250)), crop)).toBe(0);
    for (const gain of [0.8, 1.2]) expect(share(before, noise(exposed(scene, gain)), crop)).toBeLessThan(DEFAULT_SHARE);
  });

  it('has changed altogether when the camera turns, the light goes out, or lightning strikes', () => {
    expect(share(scene, room(width, height, format, 2))).toBeGreaterThan(0.1);
    expect(share(scene, exposed(scene, 0.3))).toBeGreaterThan(0.8);
    expect(share(scene, { ...scene, data: scene.data.map((value) => Math.min(255, value + 110)) })).toBeGreaterThan(0.8);
  });
});

describe('a crop', () => {
  const scene = room(320, 240, 'rgb');

  it('that a light fills shows the light, though its picture only got brighter as a whole', () => {
    const lamp = { x: 0.4, y: 0.4, width: 0.06, height: 0.08 };
    const off = painted(scene, lamp, 120);
    expect(share(off, painted(scene, lamp, 145), lamp)).toBe(1);
    expect(share(off, painted(scene, lamp, 95), lamp)).toBe(1);
  });

  it('of one pixel works', () => {
    const dot = { x: 0.5, y: 0.5, width: 0.001, height: 0.001 };
    expect(share(scene, painted(scene, { x: 0.49, y: 0.49, width: 0.02, height: 0.02 }, 250), dot)).toBe(1);
    expect(share(scene, scene, dot)).toBe(0);
  });
});

describe('colours', () => {
  it('count, though they are equally bright', () => {
    const scene = room(320, 240, 'rgb');
    const at = { x: 0.4, y: 0.6, width: 0.15, height: 0.15 };
    expect(share(painted(scene, at, [210, 47, 47]), painted(scene, at, [47, 95, 210]))).toBeGreaterThanOrEqual(DEFAULT_SHARE);
  });
});

describe('the kitchen', () => {
  /** What may happen in it, one thing at a time. */
  function happenings(scene: Scene): Scene[] {
    const [first, ...others] = scene.objects;
    const colors =
      first === undefined
        ? []
        : COLORS.filter((color) => color !== first.color).map((color) => ({ ...scene, objects: [{ ...first, color }, ...others] }));
    const shapes =
      first === undefined
        ? []
        : SHAPES.filter((shape) => shape !== first.shape).map((shape) => ({ ...scene, objects: [{ ...first, shape }, ...others] }));
    return [
      { ...scene, lampOn: !scene.lampOn },
      { ...scene, doorOpen: !scene.doorOpen },
      { ...scene, person: scene.person === null ? 'left' : null },
      ...(first === undefined ? [] : [{ ...scene, objects: others }]),
      ...colors,
      ...shapes,
    ];
  }

  it('shows everything that happens in it as a change, and its light as none', async () => {
    for (let seed = 0; seed < counts(2, 25); seed++) {
      const scene = { ...makeScene(seed), light: 1 };
      const before: Picture = await renderScene(scene);
      for (const after of happenings(scene)) {
        expect(share(before, await renderScene(after)), JSON.stringify([scene, after])).toBeGreaterThanOrEqual(DEFAULT_SHARE);
      }
      for (const light of [0.85, 1.15]) expect(share(before, await renderScene({ ...scene, light }))).toBeLessThan(DEFAULT_SHARE);
    }
  });
});

describe('another camera mode', () => {
  it('is another picture', () => {
    expect(share(room(320, 240, 'rgb'), room(320, 240, 'gray'))).toBe(1);
    expect(share(room(1280, 720, 'gray'), room(40, 30, 'gray'))).toBe(1);
  });
});

describe('what watches share', () => {
  it('is worked out once per frame and crop', () => {
    const camera = new FakeCamera('kitchen');
    const crop = { x: 0, y: 0, width: 0.5, height: 0.5 };
    const first = new Inspection(camera.show(room(64, 48, 'rgb')));
    expect(first.pair({ crop })).toBe(first.pair({ crop: { ...crop } }));
    expect(first.pair({ crop }).whole).toBe(first.pair().part);
    const second = new Inspection(camera.show(room(64, 48, 'rgb', 2)));
    expect(second.changedSince(first.pair({ crop }), { crop })).toBe(second.changedSince(first.pair({ crop }), { crop: { ...crop } }));
  });

  it('costs little at 1280 x 720', () => {
    const noise = noisy(8);
    const scene = room(1280, 720, 'rgb');
    const pictures = [noise(scene), noise(scene), noise(scene)];
    const before = blocksOf(pictures[0] as Picture, rectOf(scene, undefined));
    const times = Array.from({ length: 60 }, (_, i) => {
      const begin = performance.now();
      const now = blocksOf(pictures[i % 3] as Picture, rectOf(scene, undefined));
      changedShare({ whole: before, part: before }, { whole: now, part: now });
      return performance.now() - begin;
    }).sort((a, b) => a - b);
    expect(times[15]).toBeLessThan(5); // 0.5 ms on an idle machine
  });
});
