// A record of a node, lived again: what that takes from the node beside it, and how many times faster than it was recorded.
import { fork, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { fromDist, readArguments, wholeNumber } from '../scripts/arguments.mjs';

const USAGE = `node bench/replay.mjs [MINUTES] [--rounds 5] [--seconds 10]      after npm run setup

A node records mipha-nano before the synthetic kitchen for MINUTES (2), six watches. As often as --rounds says it is measured alone, and beside a replay of
that with another question, for --seconds each, in turn. Then it is stopped, and what one watch has on record is replayed with three kinds of settings.`;
const MAIN = fileURLToPath(new URL('../dist/cli/main.js', import.meta.url));
const CAMERA = 'synthetic://kitchen?change_ms=250';

if (process.send !== undefined && process.argv[2] === 'node') {
  await node(process.argv[3], process.argv[4], process.argv[5] === 'always');
} else {
  const { values, positionals } = readArguments(USAGE, { positionals: 1, options: { rounds: { type: 'string' }, seconds: { type: 'string' } } });
  const minutes = wholeNumber(USAGE, 'MINUTES', positionals[0], 2);
  await measure(minutes, wholeNumber(USAGE, '--rounds', values.rounds, 5), wholeNumber(USAGE, '--seconds', values.seconds, 10));
}

/** The node, in a process of its own. Sends the latency of every answer as it is published, in milliseconds since the capture of its frame. */
async function node(url, folder, always) {
  const [{ WATCHES }, { SHIPPED_MODEL }, { follow }, { configOf }, { Log }, { modelLoader }, { Service }] = await Promise.all(
    [
      'cli/demo-watches.js',
      'cli/options.js',
      'mqtt/follow.js',
      'service/config/config.js',
      'service/log/log.js',
      'service/model/model.js',
      'service/service.js',
    ].map(fromDist),
  );
  const asking = always ? { interval_ms: 0, change_percent: 0 } : {};
  const loaded = configOf({
    node: 'bench',
    mqtt: { url, protocol: '3.1.1', discovery: { enabled: false } },
    http: { enabled: false },
    log: { level: 'fatal' },
    recorder: { folder },
    cameras: { kitchen: { uri: CAMERA, images: true } },
    watches: Object.fromEntries(
      Object.entries(WATCHES).map(([id, { question, answer }]) => [id, { camera: 'kitchen', question, answer, record: id === 'lamp', ...asking }]),
    ),
  });
  const log = new Log(loaded.config.log);
  const service = new Service({ loaded, load: async () => loaded, loadModel: modelLoader(SHIPPED_MODEL), log, version: 'bench' });
  const captured = new Map();
  await follow({ url, protocol: '3.1.1', maxPacketBytes: 1e6 }, ['mipha/v1/bench/watch/+/result'], (_topic, payload, retained) => {
    const { session, status, frame } = payload.length === 0 || retained ? {} : JSON.parse(payload.toString());
    if (session === service.session && status === 'ok') process.send(performance.now() - captured.get(frame.id));
  });
  await service.start();
  service.cameras.get('kitchen').on('frame', ({ id, monotonicMs }) => captured.set(id, monotonicMs));
  process.on('SIGTERM', () => void service.stop().then(() => process.exit(0)));
}

async function measure(minutes, rounds, seconds) {
  const { startBroker } = await fromDist('mqtt/broker.js');
  console.log(
    `${cpus()[0].model.trim()}, ${cpus().length} threads, Node ${process.versions.node}; ${rounds} times ${seconds} s, medians of the times\n`,
  );
  const broker = await startBroker();
  for (const asking of ['defaults', 'always']) {
    const folder = mkdtempSync(join(tmpdir(), 'mipha-bench-beside-'));
    const child = fork(fileURLToPath(import.meta.url), ['node', broker.url, folder, asking]);
    const latencies = [];
    child.on('message', (ms) => latencies.push(ms));
    const time = async () => {
      await pause(1000); // what went before is over, or under way
      latencies.length = 0;
      await pause(seconds * 1000);
      const sorted = latencies.filter(Number.isFinite).sort((a, b) => a - b);
      const at = (share) => sorted[Math.floor(share * (sorted.length - 1))] ?? Number.NaN;
      return { p50: at(0.5), p95: at(0.95), rate: sorted.length / seconds };
    };
    try {
      await pause(minutes * 60_000);
      const runs = { alone: [], beside: [] };
      for (let round = 0; round < rounds; round++) {
        runs.alone.push(await time());
        const stop = await startReplay(folder);
        runs.beside.push(await time());
        await stop();
      }
      console.log(asking === 'always' ? 'every frame asked about by six watches' : 'six watches with their defaults');
      for (const [name, all] of Object.entries(runs)) {
        const [p50, p95, rate] = ['p50', 'p95', 'rate'].map((key) => median(all.map((run) => run[key])).toFixed(1));
        console.log(`  ${name === 'alone' ? 'alone          ' : 'beside a replay'}  p50 ${p50} ms, p95 ${p95} ms, ${rate} answers/s`);
      }
      await end(child);
      await replays(folder);
    } finally {
      await end(child);
      rmSync(folder, { recursive: true });
    }
  }
  await broker.close();
}

async function end(child) {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill('SIGTERM');
  await once(child, 'exit');
}

/** Nothing else is at work. */
async function replays(folder) {
  const [{ Mipha }, { readRecord }, { replay }, { shippedModel }] = await Promise.all(
    ['index.js', 'record/read.js', 'replay/replay.js', 'shipped.js'].map(fromDist),
  );
  const mipha = await Mipha.load(shippedModel);
  const row = async (name, change) => {
    const cpu = process.cpuUsage();
    const begun = performance.now();
    const lines = readRecord(folder, { watch: 'lamp' });
    const { days, questions, computed } = await replay({ watch: 'lamp', lines, change, revision: mipha.revision, model: async () => mipha });
    const tookMs = performance.now() - begun;
    const { user, system } = process.cpuUsage(cpu);
    const times = (ms) => ((days * 86_400_000) / ms).toFixed(0).padStart(6);
    console.log(
      `  ${name.padEnd(26)} ${String(questions.now).padStart(5)} questions, ${String(computed).padStart(5)} computed;${times(tookMs)} x real time, ${times((user + system) / 1000)} x of processor time`,
    );
  };
  try {
    await row('settings on record', (before) => before);
    await row('two of three must agree', (before) => ({ ...before, agreement: { n: 2, of: 3 } }));
    await row('another question', (before) => ({ ...before, question: 'Is the door open?' }));
  } finally {
    await mipha.dispose();
  }
  console.log();
}

/** One that asks the model as fast as it can for longer than anybody looks; under way when this resolves, until what it gives is called. */
async function startReplay(folder) {
  const often = ['--set', 'interval_ms=100', '--set', 'reask_ms=100'];
  const args = [MAIN, 'replay', 'lamp', '--record', folder, '--question', 'Is the door open?', ...often];
  const running = spawn(process.execPath, args, { stdio: ['ignore', 'ignore', 'pipe'] });
  const [said] = await once(running.stderr.setEncoding('utf8'), 'data');
  if (!said.includes('%')) throw new Error(said);
  running.stderr.resume();
  return async () => {
    if (running.exitCode !== null) throw new Error('the replay was over before it had been looked at: record for longer');
    await end(running);
  };
}

function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[sorted.length >> 1];
}
