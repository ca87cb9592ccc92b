import { expect, it } from 'vitest';
import { Stops } from '../../src/http/stops.js';
import { counts } from '../support/counts.js';
import { Random } from '../support/random.js';

/** All that is shown of a text that comes in these pieces. */
function shown(pieces: readonly string[], ends: readonly string[]): string {
  const stops = new Stops(ends);
  let text = '';
  for (const piece of pieces) text += stops.push(piece);
  return stops.reached ? text : text + stops.end();
}

/** The slow twin: character by character, up to where one of them is complete. */
function slowly(text: string, ends: readonly string[]): string {
  for (let length = 1; length <= text.length; length++) {
    const begins = ends.filter((end) => text.slice(0, length).endsWith(end)).map((end) => length - end.length);
    if (begins.length > 0) return text.slice(0, Math.min(...begins));
  }
  return text;
}

it.each([
  [['Hello wor', 'ld. Bye'], ['world'], 'Hello '],
  [['a', 'b', 'c'], ['abd', 'c'], 'ab'],
  [['aaa', 'b'], ['aab'], 'a'],
  [['the en', 'd'], ['ending'], 'the end'],
  [['x'], [], 'x'],
  [['👍', '👍🏽'], ['👍🏽'], '👍'],
])('%j up to %j is %j', (pieces, ends, expected) => {
  expect(shown(pieces, ends)).toBe(expected);
});

it('shows no part of a stop, however the text is cut', () => {
  const random = new Random(11);
  for (let n = 0; n < counts(3000, 50_000); n++) {
    const text = random.text(['a', 'b', 'c'], 1, 30);
    const ends = Array.from({ length: random.below(4) }, () => random.text(['a', 'b', 'c'], 1, 4));
    const whole = slowly(text, ends);
    expect([text, ends, shown([...text], ends)]).toEqual([text, ends, whole]);
    const pieces = text.match(new RegExp(`.{1,${1 + random.below(5)}}`, 'g')) ?? [];
    const coarse = shown(pieces, ends);
    // of two that end in the same piece the one that begins first
    expect(ends.some((end) => coarse.includes(end))).toBe(false);
    expect(text.startsWith(coarse)).toBe(true);
    expect(coarse.length).toBeLessThanOrEqual(whole.length);
  }
});
