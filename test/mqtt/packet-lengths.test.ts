import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { generate } from 'mqtt-packet';
import { expect, it } from 'vitest';
import { makePacketLengths } from '../../src/mqtt/packet-lengths.js';
import { Remembered } from '../../src/mqtt/remembered.js';

setFlagsFromString('--expose-gc');
const gc = runInNewContext('gc') as () => void;

/** Bytes that are still there afterwards. */
function kept(work: () => unknown): number {
  gc();
  const before = process.memoryUsage().arrayBuffers;
  const held = work();
  gc();
  const after = process.memoryUsage().arrayBuffers;
  return held === null ? 0 : after - before;
}

/** What a node does between two packets: Buffers of Node's pool that nobody keeps. */
const meanwhile = () => Buffer.from('x'.repeat(3000));

it('packets of every length leave nothing behind', () => {
  makePacketLengths();
  const grown = kept(() => {
    for (let length = 10; length < 4000; length++) {
      meanwhile();
      generate({ cmd: 'publish', topic: 't', payload: Buffer.alloc(length), qos: 0, retain: false, dup: false });
    }
  });
  expect(grown).toBeLessThan(1e6); // 10 MB where each length is made when it is first needed
});

it('a remembered response holds its own bytes and no others', () => {
  const remembered = new Remembered({ count: 5000, bytes: 1e8 });
  const until = performance.now() + 1e6;
  const grown = kept(() => {
    for (let i = 0; i < 1000; i++) {
      meanwhile();
      remembered.put(`${i}`, { payload: Buffer.from('x'.repeat(400)), until, world: null });
    }
    return remembered;
  });
  expect(remembered.size).toBe(1000);
  expect(grown).toBeLessThan(1e6); // 3 MB and more as slices of the pool
});
