/** What happens in the synthetic kitchen: one thing after the other, each scene one that makeScene could have drawn. */
import { COLORS, makeScene, pick, random, type Scene, SHAPES, type Thing } from './kitchen.js';

const SLOTS = [0, 1, 2, 3]; // places on the table, 72 pixels apart
const FIRST_SLOT = 52; // pixels from the left
const SLOT_WIDTH = 72;

/** Which scenes may come: `one` cup in each, or `any` number. */
export type Cups = 'one' | 'any';

type Step = (scene: Scene) => Partial<Scene> | undefined; // undefined: not possible now

/** An endless walk from the first scene at or after `seed` that the rule on cups allows; each scene differs from the one before in one thing. */
export function* kitchenStory(seed: number, cups: Cups): Generator<Scene, never> {
  const rand = random(seed ^ 0x5ce7e);
  let scene = firstScene(seed, cups);
  const isFixedCup = ({ shape }: Thing) => cups === 'one' && shape === 'cup';
  const shapes = cups === 'one' ? SHAPES.filter((shape) => shape !== 'cup') : SHAPES;

  const steps: Step[] = [
    ({ lampOn }) => ({ lampOn: !lampOn }),
    ({ doorOpen }) => ({ doorOpen: !doorOpen }),
    ({ person }) => ({
      person:
        person === null || rand() < 0.3
          ? pick(
              rand,
              (['left', 'right'] as const).filter((side) => side !== person),
            )
          : null,
    }),
    ({ objects }) => {
      const free = SLOTS.filter((slot) => !objects.some((thing) => slotOf(thing) === slot));
      if (free.length === 0) return undefined;
      const x = FIRST_SLOT + pick(rand, free) * SLOT_WIDTH + (rand() - 0.5) * 20;
      const added: Thing = { shape: pick(rand, shapes), color: pick(rand, COLORS), x, size: 0.85 + rand() * 0.3 };
      return { objects: [...objects, added].sort((a, b) => a.x - b.x) };
    },
    ({ objects }) => {
      const removable = objects.filter((thing) => !isFixedCup(thing));
      if (removable.length === 0) return undefined;
      const removed = pick(rand, removable);
      return { objects: objects.filter((thing) => thing !== removed) };
    },
    ({ objects }) => {
      if (objects.length === 0) return undefined;
      const painted = pick(rand, objects);
      const color = pick(
        rand,
        COLORS.filter((other) => other !== painted.color),
      );
      return { objects: objects.map((thing) => (thing === painted ? { ...thing, color } : thing)) };
    },
  ];

  for (;;) {
    yield scene;
    let change: Partial<Scene> | undefined;
    while (change === undefined) change = pick(rand, steps)(scene);
    scene = { ...scene, ...change };
  }
}

function firstScene(seed: number, cups: Cups): Scene {
  for (let next = seed; ; next++) {
    const scene = makeScene(next);
    if (cups === 'any' || scene.objects.filter(({ shape }) => shape === 'cup').length === 1) return scene;
  }
}

function slotOf({ x }: Thing): number {
  return Math.round((x - FIRST_SLOT) / SLOT_WIDTH);
}
