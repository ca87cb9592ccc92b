/**
 * A lower bound of MM-Vet that needs no judge, our own and comparable with nothing published: whether the elements that its truth names with <AND> and
 * <OR> stand in the answer, word for word.
 */
import { vqaText } from './vqa-text.js';

/** 0 to 1: the best of the alternatives; of one, the share of its elements that the answer contains as whole words. */
export function containment(answer: string, truth: string): number {
  const said = ` ${vqaText(answer)} `;
  const alternatives = truth.split('<OR>').map((alternative) => {
    const elements = alternative.split('<AND>').map(vqaText);
    const found = elements.filter((element) => element !== '' && said.includes(` ${element} `));
    return found.length / elements.length;
  });
  return Math.max(...alternatives);
}
