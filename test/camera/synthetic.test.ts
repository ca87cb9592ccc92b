import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import type { Picture } from '../../src/camera/frame.js';
import { COLORS, makeScene, renderScene, type Scene, SHAPES } from '../../src/camera/kitchen.js';
import { openSource } from '../../src/camera/source.js';
import { counts } from '../support/counts.js';
import { take } from './support.js';

const open = (query: string) => openSource(`synthetic://kitchen${query}`, { sidePx: 112 });
const scenes = (pictures: Picture[]) => pictures.map(({ truth }) => truth as Scene);
const cups = ({ objects }: Scene) => objects.filter(({ shape }) => shape === 'cup').length;
const digest = ({ data }: Picture) => createHash('sha256').update(data).digest('hex');

describe('synthetic://kitchen', () => {
  it('shows what its truth says, at the size the model was trained on', async () => {
    const pictures = await take(open('?seed=3&fps=0&change_ms=100'), 10);
    for (const picture of pictures) {
      expect([picture.width, picture.height, picture.format]).toEqual([320, 240, 'rgb']);
      expect(digest(picture)).toBe(digest(await renderScene(picture.truth as Scene)));
    }
    expect(scenes(pictures)[0]).toEqual(makeScene(3));
  });

  it('is the same for the same seed, each time it is opened, and another for another', async () => {
    const source = open('?seed=5&fps=0&change_ms=100');
    const once = await take(source, 30);
    expect((await take(source, 30)).map(digest)).toEqual(once.map(digest));
    expect((await take(open('?seed=6&fps=0&change_ms=100'), 30)).map(digest)).not.toEqual(once.map(digest));
  });

  it('changes one thing every change_ms, and draws only then', async () => {
    const pictures = await take(open('?fps=0&change_ms=500'), 40); // without a pace, ten pictures are a second of the kitchen
    const shown = scenes(pictures);
    const changes = shown.flatMap((scene, i) => (i > 0 && scene !== shown[i - 1] ? [i] : []));
    expect(changes).toEqual([5, 10, 15, 20, 25, 30, 35]);
    for (const at of changes) {
      const [before, after] = [shown[at - 1] as Scene, shown[at] as Scene];
      const differing = (Object.keys(before) as (keyof Scene)[]).filter((key) => JSON.stringify(before[key]) !== JSON.stringify(after[key]));
      expect(differing.length).toBe(1);
      expect((pictures[at - 1] as Picture).data).not.toBe((pictures[at] as Picture).data);
    }
    expect((pictures[1] as Picture).data).toBe((pictures[0] as Picture).data);
  });

  it('stays a world that makeScene could have drawn, and everything in it happens', async () => {
    const seen = new Set<string>();
    for (const scene of scenes(await take(open('?seed=9&fps=0&change_ms=100'), 600))) {
      const slots = scene.objects.map(({ x }) => Math.floor((x - 16) / 72));
      expect(scene.objects.length).toBeLessThanOrEqual(4);
      expect(slots).toEqual([...new Set(slots)].sort());
      for (const { shape, color, x, size } of scene.objects) {
        expect(SHAPES).toContain(shape);
        expect(COLORS).toContain(color);
        expect(Math.abs(x - 52 - 72 * Math.round((x - 52) / 72))).toBeLessThanOrEqual(10);
        expect(size >= 0.85 && size < 1.15).toBe(true);
      }
      seen.add(`lamp ${scene.lampOn}`).add(`door ${scene.doorOpen}`).add(`person ${scene.person}`).add(`objects ${scene.objects.length}`);
    }
    expect([...seen].sort()).toEqual(
      ['door false', 'door true', 'lamp false', 'lamp true', 'person left', 'person null', 'person right']
        .concat([0, 1, 2, 3, 4].map((n) => `objects ${n}`))
        .sort(),
    );
  });

  it('keeps exactly one cup where asked, of every colour', async () => {
    const shown = scenes(await take(open('?seed=1&cup=one&fps=0&change_ms=100'), counts(250, 1500)));
    expect(new Set(shown.map(cups))).toEqual(new Set([1]));
    const colors = new Set(shown.flatMap(({ objects }) => objects.filter(({ shape }) => shape === 'cup').map(({ color }) => color)));
    expect(colors).toEqual(new Set(COLORS));
    expect(new Set(shown.map(({ objects }) => objects.length))).toEqual(new Set([1, 2, 3, 4]));
  });

  it('keeps its pace, and passes over pictures where the reader is slow', async () => {
    const began = performance.now();
    await take(open('?fps=20'), 11);
    expect(performance.now() - began).toBeGreaterThan(490);
    let dropped = 0;
    const shown: Scene[] = [];
    for await (const { truth } of open('?fps=100&change_ms=10').open(new AbortController().signal, () => dropped++)) {
      shown.push(truth as Scene);
      if (shown.length === 4) break;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    expect(dropped).toBeGreaterThan(20);
    // What is seen is what is due now, not what was missed: the walk went on meanwhile.
    const walk = scenes(await take(open('?fps=0&change_ms=100'), 400)).map((scene) => JSON.stringify(scene));
    expect(walk.indexOf(JSON.stringify(shown[3]))).toBeGreaterThan(20);
  });

  it('ends soon after it is told to', async () => {
    const controller = new AbortController();
    setTimeout(() => controller.abort(), 50);
    const began = performance.now();
    await take(open('?fps=0.1'), 100, controller.signal);
    expect(performance.now() - began).toBeLessThan(5000);
  });
});
