/** Two runs of the tests may share a folder that they compile into: one at a time does. */
import { mkdirSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { MiphaError } from '../../src/errors.js';
import { lock } from '../../src/lock.js';

/** Waits until no other process compiles into `folder`, which is made where it is not there, and says so, then does `work`. */
export async function alone(folder: string, work: () => void): Promise<void> {
  mkdirSync(folder, { recursive: true });
  for (let waiting = false; ; waiting = true) {
    try {
      const { release } = await lock(folder, 'compiles there');
      try {
        return work();
      } finally {
        await release();
      }
    } catch (error) {
      if (!(error instanceof MiphaError && error.code === 'ERR_BUSY')) throw error;
      if (!waiting) console.warn(`${error.message}: waiting for it`);
      await sleep(200);
    }
  }
}
