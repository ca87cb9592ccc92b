// Many nodes asked as one: what a second and a third node bring, what one slow node costs, and how large a pool of 200 nodes is.
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { cpus } from 'node:os';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { connectAsync } from 'mqtt';
import { fromDist, readArguments, wholeNumber } from '../scripts/arguments.mjs';

const USAGE = `node bench/pool.mjs [--seconds 10] [--rounds 3]      after npm run setup

Asks one, two and three nodes, processes whose model takes 50 ms, for so many seconds each; three nodes and three of which one takes five times as long,
beside each other; then opens a pool on a broker with 200 nodes of 10 watches.`;
const MODEL_MS = 50;
const SLOWER = 5;
const PER_S = 12;
const NODES = 200;
const WATCHES = 10;
const CHOICES = 2000;
const QUESTION = { camera: 'kitchen', question: 'Is the lamp on?', answer: { type: 'boolean' }, max_age_ms: 60_000 };

const self = fileURLToPath(import.meta.url);
const parts = { broker, node, large };
const [part, ...rest] = process.argv.slice(2);
if (process.send !== undefined && Object.hasOwn(parts, part)) await parts[part](...rest);
else await main();

async function main() {
  const { values } = readArguments(USAGE, { options: { seconds: { type: 'string' }, rounds: { type: 'string' } } });
  const seconds = wholeNumber(USAGE, '--seconds', values.seconds, 10);
  const rounds = wholeNumber(USAGE, '--rounds', values.rounds, 3);
  console.log(`${cpus()[0].model.trim()}, ${cpus().length} threads, Node ${process.versions.node}\n`);
  const children = [];
  let pool;
  const child = async (...args) => {
    const one = fork(self, args);
    children.push(one);
    return (await once(one, 'message'))[0];
  };
  try {
    const url = await child('broker');
    for (let i = 1; i <= 3; i++) await child('node', url, `node-${i}`, MODEL_MS);
    await child('node', url, 'slow-1', SLOWER * MODEL_MS);
    const { openPool } = await fromDist('pool/index.js');
    pool = await openPool({ url, protocol: '3.1.1' });
    const ofCount = (count) => ['node-1', 'node-2', 'node-3'].slice(0, count);
    const rates = [1, 2, 3].map(() => []);
    for (let round = 0; round < rounds; round++) {
      for (const count of [1, 2, 3]) rates[count - 1].push((await ask(pool, ofCount(count), { seconds, atOnce: 4 * count })).length / seconds);
    }
    const one = median(rates[0]);
    for (const [i, all] of rates.entries()) {
      console.log(`${i + 1} nodes: ${median(all).toFixed(1)} answers/s, ${((100 * median(all)) / one / (i + 1)).toFixed(1)} % of linear`);
    }
    const ratios = [];
    for (let round = 0; round < rounds; round++) {
      const even = p95(await ask(pool, ofCount(3), { seconds, perSecond: PER_S }));
      const uneven = p95(await ask(pool, ['node-1', 'node-2', 'slow-1'], { seconds, perSecond: PER_S }));
      console.log(`${PER_S} questions a second: p95 ${even.toFixed(0)} ms of three, ${uneven.toFixed(0)} ms with one of them ${SLOWER} times slower`);
      ratios.push(uneven / even);
    }
    console.log(`ratio: ${median(ratios).toFixed(2)}`);
    await retainMany(url);
    const { bytes, chooseUs, openMs } = await child('large', url);
    console.log(`pool of ${NODES} nodes with ${NODES * WATCHES} watches: ${(bytes / 1e6).toFixed(0)} MB, open after ${openMs.toFixed(0)} ms`);
    console.log(`a choice: p50 ${chooseUs[0].toFixed(0)} µs, p95 ${chooseUs[1].toFixed(0)} µs`);
  } finally {
    await pool?.close();
    for (const one of children) one.kill('SIGKILL');
  }
}

/** Milliseconds of each answer: with `atOnce` always so many under way, with `perSecond` asked at random times. */
async function ask(pool, nodes, { seconds, atOnce, perSecond }) {
  const end = performance.now() + 1000 * seconds;
  const times = [];
  const one = async () => {
    const begun = performance.now();
    await pool.ask(QUESTION, { nodes, deadlineMs: 60_000 });
    if (performance.now() < end || perSecond !== undefined) times.push(performance.now() - begun);
  };
  const asked = [];
  if (perSecond === undefined) {
    const asker = async () => {
      while (performance.now() < end) await one();
    };
    for (let i = 0; i < atOnce; i++) asked.push(asker());
  } else {
    while (performance.now() < end) {
      asked.push(one());
      await pause((-Math.log(1 - Math.random()) * 1000) / perSecond);
    }
  }
  await Promise.all(asked);
  return times;
}

async function broker() {
  const { startBroker } = await fromDist('mqtt/broker.js');
  process.send((await startBroker()).url); // until it is killed
}

/** A whole node whose model only takes its time. */
async function node(url, id, ms) {
  const [{ configOf }, { Log }, { Service }] = await Promise.all(
    ['service/config/config.js', 'service/log/log.js', 'service/service.js'].map(fromDist),
  );
  const loaded = configOf({
    node: id,
    mqtt: { url, protocol: '3.1.1', discovery: { enabled: false } },
    http: { enabled: false },
    log: { level: 'fatal' },
    cameras: { kitchen: { uri: 'synthetic://kitchen?fps=2' } },
    watches: {},
  });
  const timings = { queueMs: 0, preprocessMs: 0, visionMs: 0, prefillMs: 0, decodeMs: 0, totalMs: 0 };
  const tokens = { prompt: 1, reused: 0, answer: 1 };
  const view = {
    timings,
    imageTokens: 64,
    ask: () => pause(Number(ms), { text: 'yes', value: true, confidence: 1, finish: 'stop', tokens, timings }),
    dispose: async () => {},
  };
  const model = {
    ...{ name: 'timed', revision: '0', imageSize: 112, context: 512 },
    status: () => ({ backend: 'timed', memory: [], passedOver: [] }),
    look: async () => view,
    dispose: async () => {},
  };
  const service = new Service({ loaded, load: async () => loaded, loadModel: async () => model, log: new Log(loaded.config.log), version: '0.0.0' });
  await service.start();
  while (service.cameras.get('kitchen')?.slot.newest() === undefined) await pause(20);
  process.send('ready');
}

async function retainMany(url) {
  const client = await connectAsync(url);
  const common = { v: 1, ts: new Date().toISOString(), session: 'bench' };
  const watches = Array.from({ length: WATCHES }, (_, i) => ({ id: `watch-${i}`, camera: 'front', question: 'Is there a person near the press?' }));
  const cameras = [{ id: 'front', enabled: true }];
  const queue = { waiting: 0, limit: 16, rejected: 0, usual_ms: 40 };
  for (let i = 0; i < NODES; i++) {
    const id = `large-${i}`;
    const models = [{ id: 'mipha-3b', rev: 'r1', state: 'ready' }];
    const info = { ...common, node: id, version: '0.1.0', labels: { line: String(i % 10) }, draining: false, models, cameras, watches };
    const load = { ...common, node: id, queue, busy_ratio: 0.1, draining: false };
    for (const [leaf, payload] of Object.entries({ info: JSON.stringify(info), load: JSON.stringify(load), availability: 'online' })) {
      await client.publishAsync(`mipha/v1/${id}/${leaf}`, payload, { qos: 1, retain: true });
    }
  }
  await client.endAsync();
}

/** Alone in its process, as in a program that only asks. */
async function large(url) {
  const { openPool } = await fromDist('pool/index.js');
  const begun = performance.now();
  const pool = await openPool({ url, protocol: '3.1.1', nodes: 'large-*' });
  const openMs = performance.now() - begun;
  const times = [];
  for (let i = 0; i < CHOICES; i++) {
    const began = performance.now();
    pool.nodes.pick({ camera: 'front', labels: [['line', '7']], watch: 'watch-3' }, new Set(), began, Math.random);
    times.push(1000 * (performance.now() - began));
  }
  process.send({ bytes: process.memoryUsage().rss, chooseUs: [median(times), p95(times)], openMs });
}

function median(values) {
  return [...values].sort((a, b) => a - b)[values.length >> 1];
}
function p95(values) {
  return [...values].sort((a, b) => a - b)[Math.floor(0.95 * values.length)];
}
