/** VQA accuracy: how far an answer agrees with several people's. */
import { vqaText } from './vqa-text.js';

/**
 * 0 to 1. Each person in turn is left out, and the answer is right as far as three of the others gave it: of ten people 0, 1, 2, 3, 4 agreeing give
 * 0, 0.3, 0.6, 0.9, 1. People are left out by place: two who say the same are two.
 */
export function vqaAccuracy(answer: string, people: readonly string[]): number {
  const said = vqaText(answer);
  const agreeing = people.filter((person) => vqaText(person) === said).length;
  const others = people.length - agreeing;
  const thirds = agreeing * Math.min(3, agreeing - 1) + others * Math.min(3, agreeing); // whole numbers: a sum of thirds would depend on its order
  return people.length === 0 ? 0 : thirds / (3 * people.length);
}
