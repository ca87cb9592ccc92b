/** POPE: the first sentence says no where one of its words is "No", "no" or "not"; anything else is a yes, an empty answer too. */

export function popeSaysYes(answer: string): boolean {
  const dot = answer.indexOf('.');
  const sentence = dot < 0 ? answer : answer.slice(0, dot);
  return !sentence
    .replaceAll(',', '')
    .split(' ')
    .some((word) => word === 'No' || word === 'no' || word === 'not');
}

/** Whether that reading is a default: neither yes nor no was said. */
export function popeIsUnclear(answer: string): boolean {
  return popeSaysYes(answer) && !/\byes\b/i.test(answer);
}
