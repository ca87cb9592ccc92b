/** The shipped model's own benchmark: held-out scenes of the synthetic kitchen, drawn on the spot. */
import { makeScene } from '../camera/kitchen.js';
import { askAbout } from '../camera/kitchen-questions.js';
import type { Dataset, Item } from './item.js';
import { bareQuestion } from './prompts.js';

export const HELD_OUT = 512; // seeds 1 to 512; training began at 1 000 000
const QUESTIONS = 8; // about each scene

export function kitchen(scenes = HELD_OUT): Dataset {
  const items = Array.from({ length: scenes }, (_, index) => index + 1).flatMap((seed) =>
    askAbout(makeScene(seed), seed, QUESTIONS).map(
      ({ prompt, answer, kind, name }, index): Item => ({
        id: `${seed}.${index + 1}`,
        picture: { key: String(seed), name: `scene ${seed}`, seed },
        question: bareQuestion(prompt),
        prompt,
        answer: kind === null ? { kind: 'text' } : kind === 'yes-no' ? { kind } : { kind: 'choice', options: kind },
        truth: [answer],
        categories: [name],
        group: `${seed}.${index + 1}`,
      }),
    ),
  );
  return { benchmark: 'kitchen', found: `${scenes} held-out scenes, drawn now`, files: [], items, notes: [], differs: [] };
}
