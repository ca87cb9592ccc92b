/** GQA: lower-case, without the dots at its end; then it must be the answer to the letter. */

export function gqaAnswer(answer: string): string {
  return answer.replace(/\.+$/, '').toLowerCase();
}
