import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import type { Frame } from '../../src/camera/frame.js';
import { makeScene, renderScene, type Scene } from '../../src/camera/kitchen.js';
import { Mipha } from '../../src/index.js';
import { WatchLoop } from '../../src/watch/loop.js';
import type { WatchOutcome } from '../../src/watch/outcome.js';
import { pictureOf } from '../../src/watch/part.js';
import type { Watched } from '../../src/watch/posts.js';
import { Queries } from '../../src/watch/queries.js';
import { NANO } from '../support/nano.js';
import { FakeCamera, spec } from './stage.js';

/** Waits until the condition holds, at most for so long. */
async function until(condition: () => boolean, ms = 20_000): Promise<void> {
  const end = performance.now() + ms;
  while (!condition()) {
    if (performance.now() > end) throw new Error(`not within ${ms} ms: ${condition}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

describe('the shipped model', () => {
  let mipha: Mipha;
  beforeAll(async () => {
    mipha = await Mipha.load(NANO);
  });
  afterAll(async () => {
    await mipha.dispose();
  });

  it('follows what happens in the kitchen, and answers who asks beside', async () => {
    const camera = new FakeCamera('kitchen');
    const outcomes: WatchOutcome[] = [];
    const loop = new WatchLoop(mipha, { onOutcome: (outcome) => outcomes.push(outcome) });
    const queries = new Queries(mipha, { limit: 4 });
    const agreement = { n: 2, of: 3 };
    const quick = { interval_ms: 20, agreement };
    loop.addCamera(camera satisfies Watched);
    loop.put('lamp', spec({ ...quick, question: 'Is the lamp on?' }));
    loop.put('door', spec({ ...quick, question: 'Is the door open?' }));
    loop.put('objects', spec({ ...quick, question: 'How many objects are on the table?', answer: { type: 'number', min: 0, max: 9 } }));
    loop.put('scene', spec({ interval_ms: 500, question: 'Describe the scene.', answer: { type: 'text', max_chars: 200 } }));
    loop.start();
    const believed = () => {
      const { lamp, door, objects } = loop.status().watches;
      return { lamp: lamp?.value, door: door?.value, objects: objects?.value };
    };
    const told = ({ lampOn, doorOpen, objects }: Scene) => ({ lamp: lampOn, door: doorOpen, objects: objects.length });
    let scene = makeScene(5);
    for (const change of [{}, { lampOn: !scene.lampOn }, { doorOpen: !scene.doorOpen }, { lampOn: scene.lampOn }, { objects: [] }]) {
      scene = { ...scene, ...change };
      const picture = await renderScene(scene);
      await until(() => {
        camera.show(picture);
        return JSON.stringify(believed()) === JSON.stringify(told(scene));
      });
      const pieces: string[] = [];
      const ask = (question: string) =>
        queries.ask({
          frame: () => camera.newest as Frame,
          question,
          deadlineMs: 30_000,
          onText: (piece) => pieces.push(piece),
        });
      const [description, lamp] = await Promise.all([
        ask('Describe the scene.'),
        queries.ask({
          frame: () => camera.newest as Frame,
          question: 'Is the lamp on?',
          answer: { type: 'boolean' },
          deadlineMs: 30_000,
        }),
      ]);
      expect(lamp.value).toBe(scene.lampOn);
      expect(pieces.join('')).toBe(description.text);
      expect(description.text).toContain(scene.lampOn ? 'lamp is on' : 'lamp is off');
    }
    await loop.stop(10_000);
    await queries.lane.stop(10_000);
    const answered = new Set(outcomes.map(({ watch }) => watch));
    const last = outcomes.splice(-answered.size); // that nothing is known any more
    expect(last.map(({ watch, status }) => [watch, status]).sort()).toEqual([...answered].sort().map((watch) => [watch, 'stale']));
    expect(outcomes.filter(({ status }) => status !== 'ok')).toEqual([]);
    const changes = outcomes.filter(({ watch, changed }) => watch === 'lamp' && changed).map(({ value }) => value);
    expect(changes).toEqual([makeScene(5).lampOn, !makeScene(5).lampOn, makeScene(5).lampOn]);
    const sample = outcomes.find(({ watch }) => watch === 'lamp') as WatchOutcome;
    expect(sample.confidence).toBeGreaterThan(0.5);
    expect(sample.timing?.totalMs).toBeGreaterThan(sample.timing?.visionMs ?? Number.POSITIVE_INFINITY);
    expect(sample.tokens?.in).toBeGreaterThan(50);
    expect(mipha.status()).toMatchObject({ views: 0, queued: 0, active: 0 });
  });

  it('says what has changed since another watch told something, and since a moment ago: a cup', async () => {
    const camera = new FakeCamera('kitchen');
    const told: string[] = [];
    const loop = new WatchLoop(mipha, {
      onOutcome: () => {},
      onEvent: ({ type, previous, compare, outcome }) => {
        if (type !== 'error') told.push(`${outcome.watch} ${previous} → ${outcome.value}`);
        if (outcome.watch !== 'lamp') seen.push([compare?.frame.id ?? '', outcome.frame?.id ?? '']);
      },
    });
    const seen: [string, string][] = [];
    const objects = { question: 'How many objects are on the table?', answer: { type: 'number', min: 0, max: 9 }, interval_ms: 20 } as const;
    loop.addCamera(camera);
    loop.put('lamp', spec({ question: 'Is the lamp on?', interval_ms: 20 }));
    loop.put('since', spec({ ...objects, compare: { event: 'lamp' } }));
    loop.put('ago', spec({ ...objects, compare: { ago_ms: 1000 } }));
    loop.start();
    const cup = { shape: 'cup', color: 'red', x: 160, size: 1 } as const;
    const dark: Scene = { ...makeScene(5), lampOn: false, person: null, objects: [] };
    const lit = { ...dark, lampOn: true };
    const shown = new Map<string, Scene>();
    const showUntil = async (scene: Scene, condition: () => boolean) => {
      const picture = await renderScene(scene);
      await until(() => {
        shown.set(camera.show(picture).id, scene);
        return condition();
      });
    };
    await showUntil(dark, () => loop.status().watches.ago?.value === 0 && loop.status().watches.lamp?.value === false);
    await showUntil(lit, () => told.includes('lamp false → true'));
    await new Promise((resolve) => setTimeout(resolve, 1100));
    await showUntil({ ...lit, objects: [cup] }, () => told.length >= 3);
    expect(told.sort()).toEqual(['ago 0 → 1', 'lamp false → true', 'since 0 → 1']);
    for (const [then, now] of seen) expect([shown.get(then)?.objects.length, shown.get(now)?.objects]).toEqual([0, [cup]]);
    await loop.stop(10_000);
    expect(mipha.status()).toMatchObject({ views: 0, queued: 0, active: 0 });
  });

  it('sees a crop as it sees the crop cut out', async () => {
    const camera = new FakeCamera('kitchen');
    const outcomes: WatchOutcome[] = [];
    const loop = new WatchLoop(mipha, { onOutcome: (outcome) => outcomes.push(outcome) });
    loop.addCamera(camera);
    const crop = { x: 0.05, y: 0.1, width: 0.62, height: 0.8 };
    loop.put('scene', spec({ question: 'Describe the scene.', answer: { type: 'text', max_chars: 200 }, crop }));
    loop.start();
    const picture = await renderScene(makeScene(12));
    camera.show(picture);
    await until(() => outcomes.length > 0);
    await loop.stop(1000);
    const [x, y, width, height] = [16, 24, 198, 192];
    const data = Buffer.concat(
      Array.from({ length: height }, (_, row) => picture.data.subarray(((y + row) * 320 + x) * 3, ((y + row) * 320 + x + width) * 3)),
    );
    await using view = await mipha.look({ data, width, height, format: 'rgb' });
    expect(outcomes[0]?.answer).toBe((await view.ask('Describe the scene.')).text);
  });

  it('answers about what its zones leave as if all were to be seen', async () => {
    const box = (left: number, top: number, right: number, bottom: number) => [
      [left, top],
      [right, top],
      [right, bottom],
      [left, bottom],
    ];
    const camera = new FakeCamera('kitchen');
    const lamp = { ask: 'Is the lamp on?', is: ({ lampOn }: Scene) => lampOn };
    const door = { ask: 'Is the door open?', is: ({ doorOpen }: Scene) => doorOpen };
    const person = { ask: 'Is there a person?', is: ({ person: side }: Scene) => side !== null };
    const parts = [
      { part: { zone: [box(0, 0, 0.32, 0.42)] }, questions: [lamp] },
      { part: { ignore: [box(0, 0, 0.32, 0.5)] }, questions: [door, person] },
      { part: { ignore: [box(0, 0.62, 1, 1)] }, questions: [lamp, door, person] },
      { part: { zone: [box(0, 0, 0.56, 1)] }, questions: [lamp, person] },
    ];
    const wrong: string[] = [];
    for (let seed = 5000; seed < 5020; seed++) {
      const scene = makeScene(seed);
      const frame = camera.show(await renderScene(scene));
      for (const { part, questions } of parts) {
        await using view = await mipha.look(pictureOf(frame, part));
        for (const { ask, is } of questions) {
          const { value } = await view.ask(ask, { as: z.boolean() });
          if (value !== is(scene)) wrong.push(`${seed}: ${ask} ${JSON.stringify(part)}`);
        }
      }
    }
    expect(wrong).toEqual([]);
  });
});
