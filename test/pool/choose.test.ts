import { describe, expect, it } from 'vitest';
import { choose } from '../../src/pool/choose.js';
import { Nodes } from '../../src/pool/nodes.js';
import { randomFrom, retain } from './retained.js';

const QUEUE = { limit: 16, rejected: 0 };

function nodesWith(queues: Record<string, { waiting?: number; usual_ms?: number | null }>): Nodes {
  const nodes = new Nodes('mipha', () => true);
  for (const [id, { waiting = 0, usual_ms = 40 }] of Object.entries(queues)) retain(nodes, id, { queue: { ...QUEUE, waiting, usual_ms } });
  return nodes;
}

/** How often each was chosen. */
function drawn(nodes: Nodes, times: number, not: string[] = [], nowMs = performance.now()): Record<string, number> {
  const random = randomFrom(7);
  const counts: Record<string, number> = {};
  for (let i = 0; i < times; i++) {
    const { id = 'nobody' } = nodes.pick({ camera: 'front' }, new Set(not), nowMs, random) ?? {};
    counts[id] = (counts[id] ?? 0) + 1;
  }
  return counts;
}

describe('the choice of two', () => {
  it('spreads over equal nodes, and takes the one that would answer sooner', () => {
    const equal = drawn(nodesWith({ a: {}, b: {}, c: {} }), 3000);
    for (const id of ['a', 'b', 'c']) expect(equal[id]).toBeGreaterThan(800);
    const { a = 0, b = 0, c = 0 } = drawn(nodesWith({ a: { waiting: 2 }, b: {}, c: { usual_ms: 200 } }), 3000);
    expect(b).toBeGreaterThan(1800);
    expect(c).toBeLessThan(150);
    expect(a).toBeGreaterThan(800); // of a and c it is the sooner one
    expect(c).toBeGreaterThan(10); // now and then, to measure it again
  });

  it('takes a node that has not measured anything for one like the others', () => {
    const { new: fresh = 0 } = drawn(nodesWith({ a: {}, b: {}, new: { usual_ms: null } }), 3000);
    expect(fresh).toBeGreaterThan(800);
  });

  it('counts what the pool itself has sent since the node told of its queue', () => {
    const nodes = nodesWith({ a: {}, b: {} });
    const [a] = nodes.all();
    for (let i = 0; i < 3; i++) a?.sent();
    expect(a?.queue).toBe(3);
    retain(nodes, 'a', { queue: { ...QUEUE, waiting: 3, usual_ms: 40 } }); // the same three
    expect(a?.queue).toBe(3);
    a?.ended();
    expect(a?.queue).toBe(2);
    expect(drawn(nodes, 1000).b).toBeGreaterThan(900);
  });

  it('takes silent ones only if there is nobody else, and full ones when what they said of it is old', () => {
    const nodes = nodesWith({ a: { waiting: 16 }, b: {}, c: {} });
    const nowMs = performance.now();
    nodes.get('b')?.suspect(nowMs);
    expect(drawn(nodes, 100)).toEqual({ c: 100 });
    expect(drawn(nodes, 100, ['c'])).toEqual({ b: 100 });
    expect(drawn(nodes, 100, ['b', 'c'])).toEqual({ nobody: 100 });
    expect(drawn(nodes, 100, ['c'], nowMs + 2500)).toEqual({ a: 100 });
    nodes.get('c')?.full(nowMs, 300);
    expect(drawn(nodes, 100, ['a', 'b'], nowMs + 200)).toEqual({ nobody: 100 });
    expect(drawn(nodes, 100, ['a', 'b'], nowMs + 400)).toEqual({ c: 100 });
    expect(choose([], Math.random)).toBeUndefined();
  });
});

describe('what nodes retain', () => {
  it('is read, forgotten, and doubted while the broker is away', () => {
    const nodes = nodesWith({ a: {}, b: {} });
    const [a, b] = nodes.all();
    const say = (topic: string, text: string) => nodes.take(`mipha/v1/${topic}`, Buffer.from(text));
    expect(say('a/availability', 'online')).toBeNull();
    expect(say('a/availability', 'offline')).toEqual({ node: a, kind: 'lost' });
    expect(say('a/availability', 'online')).toEqual({ node: a, kind: 'news' });
    retain(nodes, 'a', { session: 'second', queue: { ...QUEUE, waiting: 5, usual_ms: 9 } });
    expect(a?.queue).toBe(5);
    say('a/load', JSON.stringify({ session: 'first', busy_ratio: 0, queue: { ...QUEUE, waiting: 9, usual_ms: 1 } }));
    expect(a?.queue).toBe(5); // of an earlier life
    for (const text of ['', '{', '{}', '[]', 'null', '{"session":1}']) {
      say('a/info', text);
      say('a/load', text);
    }
    expect(nodes.unreadable).toBe(10);
    expect([a?.state(0), a?.queue]).toEqual(['ready', 5]);

    nodes.doubt();
    say('b/availability', 'online');
    expect(nodes.settle()).toEqual([a]);
    expect([a?.state(0), b?.state(0)]).toEqual(['offline', 'ready']);
    expect(nodes.settle()).toEqual([]);
    say('a/info', '');
    expect(nodes.all()).toEqual([b]);
  });

  it('is bounded: a stranger who invents nodes does not fill the memory', () => {
    const nodes = new Nodes('mipha', (id) => id !== 'unwanted');
    for (let i = 0; i < 5000; i++) nodes.take(`mipha/v1/n${i}/availability`, Buffer.from('online'));
    nodes.take('mipha/v1/unwanted/availability', Buffer.from('online'));
    expect(nodes.all().length).toBe(4096);
    expect(nodes.unreadable).toBe(5000 - 4096);
  });
});
