/** A node under everything its users do at once stays as large as it is. The whole of it is bench/soak.mjs, for an hour or a night. */
import { spawnSync } from 'node:child_process';
import { expect, it } from 'vitest';
import { ROOT } from '../cli/run.js';
import { counts } from '../support/counts.js';
import { describeWith } from '../support/programs.js';

const MINUTES = counts(0, 3);
/** Bytes per minute once what is kept for a minute is as much as it will be. Where something is kept for each packet length or response, buffers grow by 1.5 MB. */
const MOST = { heapUsed: 1e6, arrayBuffers: 0.5e6 };

describeWith(['mosquitto'], 'a node that is used by many for minutes', () => {
  it.skipIf(MINUTES === 0)(
    'stays as large as it is',
    () => {
      const args = ['bench/soak.mjs', '--minutes', String(MINUTES), '--every', '10', '--json'];
      const { status, stdout, stderr } = spawnSync(process.execPath, args, { cwd: ROOT, encoding: 'utf8' });
      expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
      const { growth, asked, ok, broken } = JSON.parse(stdout) as { growth: typeof MOST; asked: number; ok: number; broken: number };
      expect(growth.heapUsed).toBeLessThan(MOST.heapUsed);
      expect(growth.arrayBuffers).toBeLessThan(MOST.arrayBuffers);
      expect(Math.min(asked / 10, ok, broken)).toBeGreaterThan(10); // it was no empty exercise
    },
    (MINUTES + 2) * 60_000,
  );
});
