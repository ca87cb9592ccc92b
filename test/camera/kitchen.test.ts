import { readFile } from 'node:fs/promises';
import sharp from 'sharp';
import { describe, expect, it } from 'vitest';
import { drawScene, HEIGHT, makeScene, random, renderScene, type Scene, WIDTH } from '../../src/camera/kitchen.js';
import { askAbout } from '../../src/camera/kitchen-questions.js';
import { counts } from '../support/counts.js';

const EVAL = new URL('../fixtures/eval/', import.meta.url);
const lines = (await readFile(new URL('qa.jsonl', EVAL), 'utf8')).trim().split('\n');
const cases = lines.map((line) => JSON.parse(line) as { picture: string; seed: number; qa: [string, string][] });

describe('kitchen', () => {
  it('draws the held-out pictures pixel for pixel', async () => {
    expect(cases.map(({ seed }) => seed)).toEqual(Array.from({ length: 512 }, (_, i) => i + 1));
    const different: number[] = [];
    for (const { picture, seed } of cases.slice(0, counts(32, 512))) {
      const frame = await renderScene(makeScene(seed));
      const expected = await sharp(await readFile(new URL(picture, EVAL)))
        .raw()
        .toBuffer();
      if (!expected.equals(frame.data)) different.push(seed);
    }
    expect(different).toEqual([]);
  });

  it('gives the held-out questions and answers', async () => {
    for (const { seed, qa } of cases) expect(askAbout(makeScene(seed), seed, qa.length).map(({ prompt, answer }) => [prompt, answer])).toEqual(qa);
  });

  it('is a raw RGB frame of the stated size', async () => {
    const frame = await renderScene(makeScene(7));
    expect([frame.width, frame.height, frame.format]).toEqual([WIDTH, HEIGHT, 'rgb']);
    expect(frame.data.length).toBe(WIDTH * HEIGHT * 3);
  });

  it('shows every part of the scene', () => {
    const scene: Scene = { ...makeScene(1), lampOn: false, doorOpen: false, person: null, objects: [] };
    const drawn = new Set([
      drawScene(scene),
      drawScene({ ...scene, lampOn: true }),
      drawScene({ ...scene, doorOpen: true }),
      drawScene({ ...scene, person: 'left' }),
      drawScene({ ...scene, person: 'right' }),
      drawScene({ ...scene, objects: [{ shape: 'cup', color: 'red', x: 52, size: 1 }] }),
    ]);
    expect(drawn.size).toBe(6);
  });

  it('takes any integer as a seed and stays within [0, 1)', () => {
    for (const seed of [0, -1, 2 ** 32 + 5]) {
      const rand = random(seed);
      for (let i = 0; i < 1000; i++) {
        const value = rand();
        expect(value >= 0 && value < 1).toBe(true);
      }
    }
    expect(random(2 ** 32 + 5)()).toBe(random(5)());
  });
});
