/** What of a watch's outcomes is told as an event. */
import { expect, it } from 'vitest';
import { Events } from '../../src/watch/events.js';
import { nothingKnown } from '../../src/watch/outcome.js';
import type { Value } from '../../src/watch/spec.js';
import { spec } from './stage.js';

const told = (...outcomes: (Value | null | 'broken')[]) => {
  const events = new Events();
  return outcomes.map((given) => {
    const status = given === 'broken' ? 'error' : given === null ? 'stale' : 'ok';
    const event = events.of({ ...nothingKnown('w', spec({})), status, value: given === 'broken' ? null : given });
    return event && `${event.type} ${event.previous}`;
  });
};

it('the first value is none, each other one is', () => {
  expect(told(true, true, false, false, true)).toEqual([null, null, 'cleared true', null, 'triggered false']);
  expect(told('one', 'two', 2)).toEqual([null, 'changed one', 'changed two']);
});

it('a value that comes back after an outage is none, another one is', () => {
  expect(told(true, null, true, null, false)).toEqual([null, null, null, null, 'cleared true']);
});

it('an error is told once, until something is answered or expires', () => {
  expect(told('broken', 'broken', true, 'broken', null, 'broken')).toEqual(['error null', null, null, 'error true', null, 'error true']);
});
