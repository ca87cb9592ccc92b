import { afterEach, expect, it } from 'vitest';
import { Outbox } from '../../src/mqtt/outbox.js';
import type { Wire } from '../../src/mqtt/wire.js';
import { counts } from '../support/counts.js';
import { runSequences } from '../support/sequences.js';
import { makeOperations, settingOf, World } from './outbox-model.js';

const realNow = performance.now;
afterEach(() => {
  performance.now = realNow;
});

it(
  'the outbox keeps every promise of its model, whatever happens in whatever order',
  async () => {
    await runSequences(counts(2000, 100_000), {
      make: makeOperations,
      async run(operations, seed) {
        const world = new World(settingOf(seed));
        performance.now = world.now;
        for (const operation of operations) world.do(operation);
        await world.end();
        performance.now = realNow;
      },
    });
  },
  counts(60_000, 1_200_000),
);

it('a state that is forgotten, restated and then acknowledged ends nothing', () => {
  const acknowledgements: ((refusal: Error | null) => void)[] = [];
  const wire: Wire = {
    protocol: '5',
    maxPacketBytes: 1e6,
    receiveMaximum: 65_535,
    backlogBytes: 0,
    breakOff() {},
    async subscribe() {},
    async unsubscribe() {},
    offersShared: true,
    publish: (_, done) => acknowledgements.push(done),
  };
  const box = new Outbox({ maxPacketBytes: 1e6, onRefused: () => {} });
  box.attach(wire);
  box.restore(() => {});
  box.release();
  box.forget('watch/x/state');
  box.restate();
  acknowledgements.shift()?.(null);
  expect(box.stats().queued).toBe(acknowledgements.length);
});
