/** MME: yes or no among the first four letters; null for anything else. */

export function mmeAnswer(answer: string): boolean | null {
  const begin = [...answer.toLowerCase()].slice(0, 4).join('');
  if (begin.includes('yes')) return true;
  return begin.includes('no') ? false : null;
}
