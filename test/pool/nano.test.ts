/** The real thing: three nodes as processes, with the shipped model, one of them killed while all are asked. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { openPool, type Pool } from '../../src/pool/index.js';
import { MAIN } from '../cli/run.js';
import { counts } from '../support/counts.js';
import { type Mosquitto, startMosquitto, until } from '../support/mosquitto.js';
import { describeWith } from '../support/programs.js';

const QUESTIONS = counts(60, 2000);
const AT_ONCE = 12;
const NAMES = ['press-1', 'press-2', 'press-3'];

describeWith(['mosquitto'], 'three processes with mipha-nano', () => {
  let broker: Mosquitto;
  let folder = '';
  let pool: Pool;
  const children = new Map<string, ChildProcess>();
  beforeAll(async () => {
    broker = await startMosquitto();
    folder = await mkdtemp(join(tmpdir(), 'mipha-fleet-'));
    for (const name of NAMES) {
      const file = join(folder, `${name}.yaml`);
      await writeFile(
        file,
        `node: ${name}
mqtt: { url: "${broker.url}", discovery: { enabled: false } }
http: { enabled: false }
log: { level: fatal }
model: { threads: 1 }
cameras: { front: { uri: "synthetic://kitchen?fps=2" } }
`,
      );
      children.set(name, spawn(process.execPath, [MAIN, 'run', '--config', file], { stdio: 'ignore' }));
    }
    pool = await openPool({ url: broker.url });
    await until(
      'all are ready',
      () => pool.status().nodes.filter(({ state, misfit, model }) => state === 'ready' && misfit === null && model?.id).length === 3,
      60_000,
    );
  });
  afterAll(async () => {
    await pool?.close();
    for (const child of children.values()) {
      if (child.exitCode !== null || child.signalCode !== null) continue;
      const ended = once(child, 'exit');
      child.kill('SIGKILL');
      await ended;
    }
    await broker.close();
    await rm(folder, { recursive: true, force: true });
  });

  it(
    'answer every question once',
    async () => {
      const question = { camera: 'front', question: 'Is the lamp on?', answer: { type: 'boolean' as const }, max_age_ms: 60_000, ttl_ms: 120_000 };
      const answers: { node: string; transaction: string | null }[] = [];
      let left = QUESTIONS;
      // as many at a time as the machine can bear, however slow it is
      const asker = async () => {
        while (left-- > 0) {
          answers.push(await pool.ask(question, { deadlineMs: 60_000 }));
          if (answers.length === Math.floor(QUESTIONS / 3)) children.get('press-2')?.kill('SIGKILL');
        }
      };
      await Promise.all(Array.from({ length: AT_ONCE }, asker));
      expect(new Set(answers.map(({ transaction }) => transaction)).size).toBe(QUESTIONS);
      expect(new Set(answers.map(({ node }) => node))).toEqual(new Set(NAMES));
      expect(answers.slice(QUESTIONS / 3 + AT_ONCE).some(({ node }) => node === 'press-2')).toBe(false);
      expect(pool.status()).toMatchObject({ answered: QUESTIONS, failed: 0, underWay: 0, unreadable: 0 });
      await until('it is known to be gone', () => pool.status().nodes.find(({ node }) => node === 'press-2')?.state === 'offline');
    },
    counts(120_000, 600_000),
  );
});
