/** The demo's camera and its six standing questions, each with the truth that only the drawing hand knows. */
import { z } from 'zod';
import { COLORS, makeScene, type Scene } from '../camera/kitchen.js';
import type { Result } from '../mqtt/messages.js';

type Value = Result['value'];

export interface DemoWatch {
  id: string;
  question: string;
  as: z.ZodType<Value>;
  type: Result['type'];
  truth(scene: Scene): Value;
}

const cups = (scene: Scene) => scene.objects.filter(({ shape }) => shape === 'cup');

export const WATCHES: DemoWatch[] = [
  { id: 'lamp', question: 'Is the lamp on?', as: z.boolean(), type: 'boolean', truth: (scene) => scene.lampOn },
  { id: 'door', question: 'Is the door open?', as: z.boolean(), type: 'boolean', truth: (scene) => scene.doorOpen },
  { id: 'person', question: 'Is there a person?', as: z.boolean(), type: 'boolean', truth: (scene) => scene.person !== null },
  {
    id: 'objects',
    question: 'How many objects are on the table?',
    as: z.int().min(0).max(9),
    type: 'number',
    truth: (scene) => scene.objects.length,
  },
  {
    id: 'balls',
    question: 'How many balls are on the table?',
    as: z.int().min(0).max(9),
    type: 'number',
    truth: (scene) => scene.objects.filter(({ shape }) => shape === 'ball').length,
  },
  { id: 'cup', question: 'What color is the cup?', as: z.enum(COLORS), type: 'enum', truth: (scene) => cups(scene)[0]?.color ?? 'none' },
];

/** Scenes from `seed` on that have exactly one cup, so that every question has an answer. */
export function* kitchenScenes(seed: number): Generator<{ seed: number; scene: Scene }> {
  for (let next = seed; ; next++) {
    const scene = makeScene(next);
    if (cups(scene).length === 1) yield { seed: next, scene };
  }
}
