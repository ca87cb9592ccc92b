import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { Worker } from 'node:worker_threads';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { NativeAutomaton, NativeConstraint, NativeEngine } from '../../src/addon/addon.js';
import { addon, END, failure, load, question } from './raw-engine.js';

setFlagsFromString('--expose-gc');
const gc = runInNewContext('gc') as () => void;

let engine: NativeEngine;
beforeAll(async () => {
  engine = await load();
});
afterAll(() => engine.dispose());

/** One byte `first`, then any other, then `states - 3` that cannot be reached. The first may end nowhere. */
function twoBytes(first: number, states = 3): NativeAutomaton {
  const next = new Int32Array(states * 256).fill(-1);
  next[first] = 1;
  next.fill(2, 256, 512);
  const last = Uint8Array.from({ length: states }, (_, state) => Number(state === 2));
  const column = Uint8Array.from({ length: 256 }, (_, byte) => byte);
  return { states, column, next, accepting: last, group: new Int32Array(states).fill(-1), ends: new Int32Array(states), decided: last };
}

/** The first letter of an answer: ids are spelled by letter and number, see raw-engine.ts. */
const first = async (constraint: NativeConstraint) => 65 + (((await engine.ask(question({ constraint })).done).ids[0] as number) % 26);

describe('a constraint', () => {
  it('serves many questions, of several engines at once', async () => {
    const constraint = addon.constraint(twoBytes(70));
    const other = await load();
    const answers = await Promise.all([engine, engine, other, other].map((one) => one.ask(question({ constraint })).done));
    for (const { ids, finish, state } of answers) expect([ids.length, (ids[0] as number) % 26, finish, state]).toEqual([1, 70 - 65, 'stop', 2]);
    await other.dispose();
    expect(await first(constraint)).toBe(70);
  });

  it('is a copy: what happens to the automaton later is of no matter', async () => {
    const automaton = twoBytes(71);
    const constraint = addon.constraint(automaton);
    automaton.next.fill(1_000_000);
    expect(await first(constraint)).toBe(71);
  });

  it.each([
    ['no object', () => undefined as unknown as NativeAutomaton, 'automaton: expected an object'],
    ['another number of states', () => ({ ...twoBytes(65), states: 4 }), 'constraint.next: expected 1024 values, received 768'],
    ['no state', () => ({ ...twoBytes(65), states: 0 }), 'states: expected an integer from 1 to 4194304'],
    ['a column for all bytes', () => ({ ...twoBytes(65), column: new Uint8Array(256) }), 'constraint.next: expected 3 values, received 768'],
    ['too few columns', () => ({ ...twoBytes(65), column: new Uint8Array(255) }), 'constraint.column: expected 256 values, received 255'],
    [
      'a target beyond',
      () => ({ ...twoBytes(65), next: new Int32Array(768).fill(3) }),
      'constraint.next: expected -1 or a state below 3, received 3',
    ],
    ['a wrong group', () => ({ ...twoBytes(65), group: Int32Array.of(-7, 0, 0) }), 'constraint.group: expected -1 or a set id, received -7'],
    ['too few ends', () => ({ ...twoBytes(65), ends: new Int32Array(1) }), 'constraint.ends: expected 3 values, received 1'],
    ['too few marks', () => ({ ...twoBytes(65), accepting: new Uint8Array(1) }), 'constraint.accepting: expected 3 values, received 1'],
    ['an array', () => ({ ...twoBytes(65), decided: [0, 0, 1] as unknown as Uint8Array }), 'decided: expected a Uint8Array'],
  ])('is not made of %s', async (_, automaton, message) => {
    expect(await failure(() => addon.constraint(automaton()))).toMatchObject({ code: 'ERR_OPTION', message });
  });

  it.each([
    ['an automaton', twoBytes(65)],
    ['an object', {}],
    ['a number', 7],
    ['null', null],
    ['what inherits from one', Object.create(addon.constraint(twoBytes(65)))],
    ['an engine', () => engine],
  ])('is not %s', async (_, foreign) => {
    const constraint = (typeof foreign === 'function' ? foreign() : foreign) as NativeConstraint;
    const error = await failure(() => engine.ask(question({ constraint })).done);
    expect(error).toMatchObject({ code: 'ERR_OPTION', message: 'constraint: expected what constraint() has returned in this thread' });
  });

  it('does not come through to another thread', async () => {
    const echo = `const { parentPort } = require("node:worker_threads"); parentPort.on("message", (message) => parentPort.postMessage(message))`;
    const worker = new Worker(echo, {
      eval: true,
    });
    const back = new Promise<NativeConstraint>((resolve) => worker.once('message', resolve));
    worker.postMessage(addon.constraint(twoBytes(65)));
    const constraint = await back;
    expect((await failure(() => engine.ask(question({ constraint })).done)).code).toBe('ERR_OPTION');
    await worker.terminate();
  });
});

describe('the memory of constraints', () => {
  const STATES = 16_384; // 16 MiB
  const BYTES = STATES * 256 * 4;

  it('is told to the garbage collector, which frees it before it is much', async () => {
    const large = twoBytes(72, STATES);
    const before = process.memoryUsage().rss;
    let most = 0;
    for (let i = 0; i < 40; i++) {
      addon.constraint(large);
      await new Promise((resolve) => setImmediate(resolve)); // finalizers run between tasks
      most = Math.max(most, process.memoryUsage().rss - before);
    }
    expect(most).toBeLessThan(16 * BYTES);
  });

  it('does not grow with questions that each have their own', async () => {
    const large = twoBytes(73, STATES);
    const resident = async () => {
      await engine.ask(question({ constraint: addon.constraint(twoBytes(65)) })).done; // the engine lets go of the others
      gc();
      await new Promise((resolve) => setImmediate(resolve)); // finalizers run between tasks
      return process.memoryUsage().rss;
    };
    const before = await resident();
    for (let i = 0; i < 40; i++) {
      const { ids } = await engine.ask(question({ constraint: addon.constraint(large), stopIds: Int32Array.of(END) })).done;
      expect((ids[0] as number) % 26).toBe(73 - 65);
      if (i % 4 === 3) gc();
    }
    expect((await resident()) - before).toBeLessThan(8 * BYTES);
  });
});
