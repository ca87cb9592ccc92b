import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { expect, it } from 'vitest';
import { packageRoot } from '../../src/addon/load.js';
import { counts } from '../support/counts.js';
import { addon, endless, load, NANO, picture, question } from './raw-engine.js';

const none = { engines: 0, views: 0, conversations: 0, jobs: 0 };

/** Plain JavaScript for children and workers: `engine`, an endless `ask()` and a `look()`. */
const PRELUDE = `
  const addon = require(${JSON.stringify(join(packageRoot(), 'build/Release/mipha_edge.node'))});
  const options = { folder: ${JSON.stringify(NANO)}, manifest: require('node:fs').readFileSync(${JSON.stringify(`${NANO}/manifest.json`)}, 'utf8'), backend: 'cpu', cacheTokens: 0, cpu: { threads: 1, isa: '', streamWeights: false }, prefix: Int32Array.of(1, 2, 3),
    vocabulary: new Uint8Array(555).fill(65), vocabularyOffsets: Uint32Array.from({ length: 556 }, (_, i) => i) };
  const ask = (engine, more = {}) => engine.ask({ view: -1, ids: Int32Array.of(4, 5), maxTokens: 500, stopIds: new Int32Array(), temperature: 100, topP: 1, seed: 1, ...more });
  const look = (engine) => engine.look({ data: new Uint8Array(300 * 200), width: 300, height: 200, stride: 300, format: 'gray' }, {});
`;

/** Runs a script in a process of its own, to its end. */
async function child(script: string) {
  const body = `${PRELUDE}; (async () => { const engine = await addon.load(options).done; ${script} })();`;
  const process_ = spawn(process.execPath, ['-e', body], { stdio: ['ignore', 'pipe', 'pipe'] });
  let stdout = '';
  let stderr = '';
  process_.stdout.on('data', (chunk) => (stdout += chunk));
  process_.stderr.on('data', (chunk) => (stderr += chunk));
  const [code, signal] = await new Promise<[number | null, string | null]>((resolve) => process_.on('close', (...end) => resolve(end)));
  return { code, signal, stdout, stderr };
}

const clean = { code: 0, signal: null, stdout: '', stderr: '' };

it('a process may exit in the middle of a decode', async () => {
  expect(await child(`let n = 0; ask(engine, { onToken: () => { if (++n === 5) process.exit(0); } });`)).toEqual(clean);
});

it('a process may exit with many jobs of all kinds waiting', async () => {
  const script = `for (let i = 0; i < 30; i++) { ask(engine); look(engine); engine.converse(-1); } setTimeout(() => process.exit(0), 20);`;
  expect(await child(script)).toEqual(clean);
});

it('a process may exit while it loads', async () => {
  expect(await child(`addon.load(options, () => process.exit(0)); addon.load(options);`)).toEqual(clean);
});

it('a loaded engine with nothing to do does not keep the process', async () => {
  expect(await child(`await ask(engine, { maxTokens: 3 }).done; await look(engine).done;`)).toEqual(clean);
});

it('a job under way keeps the process until it is done', async () => {
  const { code, stdout } = await child(`ask(engine, { maxTokens: 100 }).done.then((outcome) => console.log(outcome.ids.length));`);
  expect([code, stdout]).toEqual([0, '100\n']);
});

it('what onToken or onProgress throw is an uncaught exception, and the job goes on', async () => {
  const script = `
    const caught = [];
    process.on('uncaughtException', (error) => caught.push(error.message));
    const outcome = await ask(engine, { maxTokens: 3, onToken: (id) => { throw new Error('token'); } }).done;
    const other = await addon.load(options, (stage, fraction) => { if (stage === 'prefix') throw new Error(stage + fraction); }).done;
    console.log(outcome.ids.length, caught.join());`;
  expect(await child(script)).toEqual({ ...clean, stdout: '3 token,token,token,prefix0,prefix1\n' });
});

it('and without a handler it ends the process as any other exception does', async () => {
  const { code, signal, stderr } = await child(`ask(engine, { onToken: () => { throw new Error('nobody catches this'); } });`);
  expect([code, signal]).toEqual([1, null]);
  expect(stderr).toContain('nobody catches this');
});

const inWorker = (script: string) =>
  new Worker(`const { parentPort } = require('node:worker_threads'); ${PRELUDE}; (async () => { ${script} })();`, { eval: true });

it('each worker thread has engines of its own', async () => {
  const script = `const engine = await addon.load(options).done; const { view } = await look(engine).done;
    const { ids } = await ask(engine, { view, maxTokens: 20 }).done; parentPort.postMessage([...ids]); await engine.dispose();`;
  const answers = await Promise.all(
    [1, 2, 3].map(async () => {
      const worker = inWorker(script);
      const ended = new Promise<number>((resolve) => worker.on('exit', resolve));
      const ids = await new Promise<number[]>((resolve, reject) => worker.on('message', resolve).on('error', reject));
      expect(await ended).toBe(0);
      return ids;
    }),
  );
  expect(answers[0]?.length).toBe(20);
  expect(answers[1]).toEqual(answers[0]);
  expect(answers[2]).toEqual(answers[0]);
  expect(addon.handles()).toMatchObject(none);
});

it('a worker may be terminated while it decodes, looks and loads', async () => {
  const script = `const engine = await addon.load(options).done;
    for (let i = 0; i < 12; i++) ask(engine, { onToken: () => parentPort.postMessage('token') });
    for (let i = 0; i < 4; i++) look(engine);
    addon.load(options);`;
  for (let round = 0; round < 10; round++) {
    const worker = inWorker(script);
    let tokens = 0;
    await new Promise<void>((resolve, reject) =>
      worker
        .on('message', () => {
          if (++tokens > round) resolve();
        })
        .on('error', reject),
    );
    await worker.terminate();
    expect(addon.handles()).toMatchObject(none);
  }
});

it('loads and disposals leave nothing', async () => {
  const cycle = async () => {
    const engine = await load();
    const { view } = await engine.look(picture(), {}).done;
    await engine.ask(question({ view })).done;
    await engine.converse(view);
    await engine.dispose();
  };
  for (let i = 0; i < counts(10, 40); i++) await cycle();
  const before = process.memoryUsage().rss;
  for (let i = 0; i < counts(40, 160); i++) await cycle();
  expect(addon.handles()).toMatchObject(none);
  // One engine of the shipped model holds more than 8 MB: leaking even a tenth of each would show.
  expect(process.memoryUsage().rss - before).toBeLessThan(16e6);
}, 120_000);

it('a storm of cancellations settles each job once', async () => {
  const engine = await load();
  const { view } = await engine.look(picture(), {}).done;
  const finishes: string[] = [];
  const jobs = Array.from({ length: 400 }, (_, i) => engine.ask(endless({ view, maxTokens: 300, ids: Int32Array.of(i, 7), priority: i % 3 })));
  const looks = Array.from({ length: 20 }, () => engine.look(picture(), {}));
  for (const [i, job] of jobs.entries()) {
    job.done.then((outcome) => finishes.push(outcome.finish));
    if (i % 7 === 0) await new Promise((resolve) => setImmediate(resolve));
    job.cancel();
    job.cancel();
  }
  for (const job of looks) job.cancel();
  await Promise.all([...jobs, ...looks].map((job) => job.done));
  expect(finishes.length).toBe(400);
  expect(finishes.every((finish) => finish === 'cancelled')).toBe(true);
  for (const job of looks) {
    const outcome = await job.done;
    if (!outcome.cancelled) engine.releaseView(outcome.view);
  }
  expect(engine.status()).toMatchObject({ queued: 0, active: 0, views: 1 });
  expect((await engine.ask(question({ view })).done).ids.length).toBeGreaterThan(0);
  await engine.dispose();
  expect(addon.handles()).toMatchObject(none);
});

it('dispose in the middle of everything settles all of it first', async () => {
  for (let round = 0; round < 10; round++) {
    const engine = await load();
    const settled: string[] = [];
    const jobs = Array.from({ length: 20 }, () => engine.ask(endless()).done.then(({ finish }) => settled.push(finish)));
    const looks = Array.from({ length: 3 }, () => engine.look(picture(), {}).done.then(() => settled.push('look')));
    const talk = engine.converse(-1).then(
      () => settled.push('conversation'),
      () => settled.push('conversation'),
    );
    for (let turn = 0; turn < round; turn++) await new Promise((resolve) => setImmediate(resolve));
    await engine.dispose();
    await Promise.all([...jobs, ...looks, talk]);
    expect(settled.length).toBe(24);
    expect(addon.handles()).toMatchObject(none);
  }
});

it('an engine that is forgotten without dispose goes with its environment', async () => {
  expect(await child(`for (let i = 0; i < 3; i++) await addon.load(options).done;`)).toEqual(clean);
});
