/** Two runs of the tests at once compile into one folder, one after the other. */
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, it, onTestFinished } from 'vitest';
import { lock } from '../../src/lock.js';
import { alone } from '../support/alone.js';

it('waits for who compiles there, then leaves the folder to others, also after a failure', async () => {
  const root = mkdtempSync(join(tmpdir(), 'mipha-alone-'));
  onTestFinished(() => rmSync(root, { recursive: true }));
  const folder = join(root, 'build');
  await expect(
    alone(folder, () => {
      throw new Error('does not compile');
    }),
  ).rejects.toThrow('does not compile');

  const other = await lock(folder, 'compiles there');
  let compiled = false;
  const waiting = alone(folder, () => {
    compiled = true;
  });
  await sleep(500);
  expect(compiled).toBe(false);
  await other.release();
  await waiting;
  expect(compiled).toBe(true);
  expect(existsSync(join(folder, 'lock'))).toBe(false);
});
