import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { generate } from 'mqtt-packet';
import { expect, it } from 'vitest';
import { makePacketLengths } from '../../src/mqtt/packet-lengths.js';
import { Remembered } from '../../src/mqtt/remembered.js';

setFlagsFromString('--expose-gc');
const gc = runInNewContext('gc') as () => void;

/** Bytes of all Buffers; what is free is given back beside the program, some time after the collection. */
async function buffers(): Promise<number> {
  let least = Number.POSITIVE_INFINITY;
  for (let i = 0; i < 10; i++) {
    gc();
    await new Promise((resolve) => setTimeout(resolve, 10));
    least = Math.min(least, process.memoryUsage().arrayBuffers);
  }
  return least;
}

/** Bytes that are still there afterwards, while what `work` returned is held. */
async function kept(work: () => unknown): Promise<number> {
  const before = await buffers();
  const held = [work()];
  const grown = (await buffers()) - before;
  return held.length === 1 ? grown : 0;
}

/** What a node does between two packets: Buffers of Node's pool that nobody keeps. */
const meanwhile = () => Buffer.from('x'.repeat(3000));

it('packets of every length leave nothing behind', async () => {
  makePacketLengths();
  const grown = await kept(() => {
    for (let length = 10; length < 4000; length++) {
      meanwhile();
      generate({ cmd: 'publish', topic: 't', payload: Buffer.alloc(length), qos: 0, retain: false, dup: false });
    }
  });
  expect(grown).toBeLessThan(1e6); // 10 MB where each length is made when it is first needed
});

it('a remembered response holds its own bytes and no others', async () => {
  const remembered = new Remembered({ count: 5000, bytes: 1e8 });
  const until = performance.now() + 1e6;
  const grown = await kept(() => {
    for (let i = 0; i < 1000; i++) {
      meanwhile();
      remembered.put(`${i}`, { payload: Buffer.from('x'.repeat(400)), until, world: null });
    }
    return remembered;
  });
  expect(remembered.size).toBe(1000);
  expect(grown).toBeLessThan(1e6); // 3 MB and more as slices of the pool
});
