// A node under everything its users do, for as long as you like, and what memory it takes: four cameras, 24 watches, and clients that ask, cancel,
// put, delete, set, take snapshots and break off in the middle. Prints a line per interval, after a garbage collection, and at the end how much each kind
// of memory grew per minute once it had settled: after a fifth of the time, and not before what is kept for a minute is as much as it will be.
import { fork, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, connect as tcp } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { fromDist, readArguments, wholeNumber } from '../scripts/arguments.mjs';

const USAGE = `node bench/soak.mjs [--minutes 60] [--every SECONDS] [--json]      after npm run setup; needs mosquitto
--every    seconds between two lines; default: one for each minute there is, at least 5`;
const PICTURES = fileURLToPath(new URL('../test/fixtures/eval/pictures', import.meta.url));
const CAMERAS = ['kitchen', 'cellar', 'yard', 'door'];
const CLIENTS = 6;
/** What is kept longest (events, pictures) goes after a minute. */
const KEPT_MINUTES = 1.1;
/** Remembered responses grow with the number of requests: kept so short, they do not show whether a busy machine let more through than a moment ago. */
const DEDUPE_MS = 5000;

if (process.send !== undefined && process.argv[2] === 'node') {
  await node(process.argv[3]);
} else {
  const { values } = readArguments(USAGE, { options: { minutes: { type: 'string' }, every: { type: 'string' }, json: { type: 'boolean' } } });
  const minutes = wholeNumber(USAGE, '--minutes', values.minutes, 60);
  await soak(minutes, wholeNumber(USAGE, '--every', values.every, Math.max(5, minutes)), values.json === true);
}

/** The node, in a process of its own; every message asks for its memory. */
async function node(url) {
  const [{ WATCHES }, { SHIPPED_MODEL }, { configOf }, { Log }, { modelLoader }, { Service }] = await Promise.all(
    ['cli/demo-watches.js', 'cli/options.js', 'service/config/config.js', 'service/log/log.js', 'service/model/model.js', 'service/service.js'].map(
      fromDist,
    ),
  );
  const uris = [
    'synthetic://kitchen?change_ms=700',
    'synthetic://kitchen?change_ms=300',
    `images://${PICTURES}?fps=5&loop=true`,
    'synthetic://kitchen',
  ];
  const watches = CAMERAS.flatMap((camera) =>
    Object.entries(WATCHES).map(([id, { question, answer }]) => [
      `${camera}-${id}`,
      { camera, question, answer, interval_ms: 500, change_percent: 0, agreement: { n: 2, of: 3 } },
    ]),
  );
  const loaded = configOf({
    node: 'soak',
    mqtt: { url },
    requests: { dedupe_ms: DEDUPE_MS },
    http: { enabled: false },
    log: { level: 'fatal' },
    cameras: Object.fromEntries(CAMERAS.map((id, i) => [id, { uri: uris[i], images: true }])),
    watches: Object.fromEntries(watches),
  });
  const service = new Service({
    loaded,
    load: async () => loaded,
    loadModel: modelLoader(SHIPPED_MODEL),
    log: new Log(loaded.config.log),
    version: 'soak',
  });
  await service.start();
  process.on('message', () => {
    globalThis.gc();
    globalThis.gc();
    const { rss, heapUsed, external, arrayBuffers } = process.memoryUsage();
    process.send({ rss, heapUsed, external, arrayBuffers });
  });
  process.on('SIGTERM', () => void service.stop().then(() => process.exit(0)));
  process.send('started');
}

async function soak(minutes, every, json) {
  await fromDist('service/service.js'); // says what to run where nothing is compiled yet
  const broker = await startBroker();
  const child = fork(fileURLToPath(import.meta.url), ['node', broker.url], { execArgv: ['--expose-gc'] });
  let over = false;
  const died = new Promise((_, reject) => child.once('exit', (code, signal) => over || reject(new Error(`the node ended: ${code ?? signal}`))));
  const answer = () => Promise.race([died, new Promise((resolve) => child.once('message', resolve))]);
  const done = { asked: 0, ok: 0, error: 0, broken: 0 };
  try {
    await answer();
    const clients = Array.from({ length: CLIENTS }, (_, i) => client(broker.url, i, done, () => over));
    const samples = [];
    const begun = performance.now();
    for (let next = every * 1000; next <= minutes * 60_000; next += every * 1000) {
      await Promise.race([died, pause(Math.max(0, begun + next - performance.now()))]);
      const reply = answer();
      child.send('memory');
      const memory = await reply;
      const minute = (performance.now() - begun) / 60_000;
      samples.push({ minute, ...memory });
      if (!json)
        console.log(
          `${minute.toFixed(1).padStart(6)} min  ${words(memory)}   ${done.asked} asked, ${done.ok} ok, ${done.error} refused, ${done.broken} broken off`,
        );
    }
    over = true;
    await Promise.all(clients);
    const settledAt = Math.max(minutes / 5, KEPT_MINUTES);
    const settled = samples.filter(({ minute }) => minute >= settledAt);
    const growth = Object.fromEntries(['rss', 'heapUsed', 'external', 'arrayBuffers'].map((kind) => [kind, slope(settled, kind)]));
    if (json) console.log(JSON.stringify({ samples, growth, ...done }));
    else console.log(`growth per minute after ${settledAt.toFixed(1)} minutes: ${words(growth)}`);
  } finally {
    over = true;
    child.kill('SIGTERM');
    await new Promise((resolve) => (child.exitCode === null && child.signalCode === null ? child.once('exit', resolve) : resolve()));
    broker.stop();
  }
}

function words(memory) {
  return Object.entries(memory)
    .map(([kind, bytes]) => `${kind} ${(bytes / 1e6).toFixed(2)} MB`)
    .join(', ');
}

/** Median of the slopes between all pairs (Theil and Sen), in bytes per minute: one odd sample does not move it. */
function slope(samples, kind) {
  const slopes = samples.flatMap((a, i) => samples.slice(i + 1).map((b) => (b[kind] - a[kind]) / (b.minute - a.minute)));
  return slopes.sort((a, b) => a - b)[slopes.length >> 1] ?? 0;
}

/** One user after the other: comes, does things, and leaves politely or not. */
async function client(url, number, done, over) {
  const { connectAsync } = await import('mqtt');
  const root = 'mipha/v1/soak';
  for (let life = 0; !over(); life++) {
    const mqtt = await connectAsync(url, { protocolVersion: 5, reconnectPeriod: 0, clientId: `soak-${number}-${life}` }).catch(() => null);
    if (mqtt === null) {
      await pause(200);
      continue;
    }
    mqtt.on('error', () => {});
    const replies = `${root}/response/soak-${number}`;
    mqtt.on('message', (topic, payload) => {
      if (topic !== replies) return;
      const { status } = JSON.parse(payload.toString());
      if (status === 'ok' || status === 'error') done[status]++;
    });
    const request = (verb, body, transaction = randomUUID()) => {
      done.asked++;
      mqtt.publish(`${root}/request/${verb}`, JSON.stringify({ ...body, transaction, reply_to: replies }), { qos: 1 }, () => {});
      return transaction;
    };
    await mqtt.subscribeAsync([replies, `${root}/watch/#`], { qos: 1 }).catch(() => {});
    for (let step = 0; step < 20 && !over(); step++) {
      const camera = CAMERAS[(number + step) % CAMERAS.length];
      switch ((step + life) % 8) {
        case 0:
          request('query', { camera, question: 'Is the lamp on?', answer: { type: 'boolean' }, deadline_ms: 2000 });
          break;
        case 1:
          request('query', { camera, question: 'What is on the table?', partial: true, max_tokens: 20, deadline_ms: 500 });
          break;
        case 2:
          request('cancel', { target: request('query', { camera, question: 'What is on the table?', max_tokens: 30 }) });
          break;
        case 3:
          request('watch/put', { watch: `mine-${number}`, spec: { camera, question: `Is there a ball? ${life % 5}` } });
          break;
        case 4:
          request('watch/delete', { watch: `mine-${number}` });
          break;
        case 5:
          request('snapshot', { camera, max_side_px: 320 });
          break;
        case 6:
          mqtt.publish(`${root}/watch/${camera}-lamp/interval/set`, `${0.4 + (step % 3) / 10}`, { qos: 1 });
          break;
        default:
          request(step % 2 === 0 ? 'health' : 'announce', {});
      }
      await pause(60 + 20 * number);
    }
    if (life % 2 === 0) await mqtt.endAsync().catch(() => {});
    else {
      done.broken++;
      request('query', { camera: CAMERAS[0], question: 'What is on the table?' });
      mqtt.stream.destroy(); // in the middle of it
      await mqtt.endAsync(true).catch(() => {});
    }
  }
}

/** A mosquitto of our own on a free port of loopback. */
async function startBroker() {
  const program = ['/usr/sbin/mosquitto', '/usr/local/sbin/mosquitto'].find((path) => existsSync(path)) ?? 'mosquitto';
  const folder = mkdtempSync(join(tmpdir(), 'mipha-soak-'));
  const port = await new Promise((resolve) => {
    const probe = createServer().listen(0, '127.0.0.1', () => {
      const { port } = probe.address();
      probe.close(() => resolve(port));
    });
  });
  writeFileSync(join(folder, 'mosquitto.conf'), `listener ${port} 127.0.0.1\nallow_anonymous true\nset_tcp_nodelay true\n`);
  const running = spawn(program, ['-c', join(folder, 'mosquitto.conf')], { stdio: 'ignore' });
  const failed = new Promise((_, reject) => running.once('error', () => reject(new Error('mosquitto is needed: sudo apt-get install -y mosquitto'))));
  const listens = async () => {
    for (let attempt = 0; attempt < 200; attempt++) {
      const there = await new Promise((resolve) => {
        const socket = tcp(port, '127.0.0.1', () => resolve(true)).on('error', () => resolve(false));
        socket.on('connect', () => socket.destroy());
      });
      if (there) return;
      await pause(25);
    }
    throw new Error('mosquitto does not listen');
  };
  await Promise.race([failed, listens()]);
  return {
    url: `mqtt://127.0.0.1:${port}`,
    stop() {
      running.kill('SIGKILL');
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
