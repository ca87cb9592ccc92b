// The camera loop, measured: a whole node with a camera and six watches; the broker and who subscribes to it have a process each.
// Prints: answers and latency with the shipped model, stage by stage; the share of the processor that everything but the model takes; what a 720p
// frame costs without a model; memory over many frames.
import { fork } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { fromDist, oneOf, readArguments, wholeNumber } from '../scripts/arguments.mjs';
import { stagesOf, traced } from './loop/stages.mjs';

const USAGE = `node bench/loop.mjs [SECONDS] [FRAMES] [--part model|instant|memory] [--broker URL]      after npm run setup; needs GStreamer

Measures a whole node: SECONDS (20) for each part with a 720p camera, with the shipped model and with one that takes no time, then memory over
FRAMES (10000) that were asked about. All parts, or the one named; through a broker of its own, or the one at URL.`;

const CAMERA = 'gst:videotestsrc is-live=true pattern=ball ! video/x-raw,width=1280,height=720,framerate=30/1';
const PICTURES = fileURLToPath(new URL('../test/fixtures/eval/pictures', import.meta.url));

const [part, ...rest] = process.argv.slice(2);
const CHILDREN = ['broker', 'subscriber', 'part'];
const isChild = process.send !== undefined && CHILDREN.includes(part);
const OPTIONS = { part: { type: 'string' }, broker: { type: 'string' } };
const given = isChild ? { positionals: [], values: {} } : readArguments(USAGE, { positionals: 2, options: OPTIONS });
const [SECONDS, FRAMES] = [20, 10_000].map((fallback, i) => wholeNumber(USAGE, ['SECONDS', 'FRAMES'][i], given.positionals[i], fallback));
const ONLY = oneOf(USAGE, '--part', given.values.part, [undefined, 'model', 'instant', 'memory']);
const modules = [
  'cli/demo-watches.js',
  'cli/options.js',
  'mqtt/broker.js',
  'mqtt/follow.js',
  'service/config/config.js',
  'service/log/log.js',
  'service/model/model.js',
  'service/service.js',
];
const [{ WATCHES }, { SHIPPED_MODEL }, { startBroker }, { follow }, { configOf }, { Log }, { modelLoader }, { Service }] = await Promise.all(
  modules.map(fromDist),
);

if (isChild && part === 'broker') {
  process.send((await startBroker()).url); // until it is killed
} else if (isChild && part === 'subscriber') {
  await subscribe(rest[0]); // until it is killed
} else if (isChild) {
  await { withModel, at720p, memory }[rest[0]](...rest.slice(1).map((word) => (Number.isNaN(Number(word)) ? word : Number(word))));
} else {
  await main(SECONDS, FRAMES);
}

/** Each part in a process of its own: what one leaves behind must not weigh on the next. */
async function main(seconds, frames) {
  const broker = given.values.broker === undefined ? fork(fileURLToPath(import.meta.url), ['broker']) : null;
  const url = given.values.broker ?? (await messageOf(broker));
  console.log(`${cpus()[0].model.trim()}, ${cpus().length} threads, Node ${process.versions.node}\n`);
  const wanted = (name) => ONLY === undefined || ONLY === name;
  try {
    if (wanted('model')) await run('withModel', url, seconds);
    if (wanted('instant'))
      for (const side of [384, 1280]) for (const asking of ['default', 'always']) await run('at720p', url, seconds, side, asking);
    if (wanted('memory')) await run('memory', url, frames);
  } finally {
    broker?.kill('SIGKILL');
  }
}

function messageOf(child) {
  return new Promise((resolve) => child.once('message', resolve));
}

/** Another program that follows all results: tells when each came, once it is asked. */
async function subscribe(url) {
  const arrived = [];
  await follow({ url, protocol: '3.1.1', maxPacketBytes: 1e6 }, ['mipha/v1/bench/watch/+/result'], (_topic, payload, retained) => {
    const atNs = process.hrtime.bigint(); // the same clock in all processes
    if (payload.length === 0 || retained) return;
    const { status, session, watch, frame, timing } = JSON.parse(payload.toString());
    if (status === 'ok') arrived.push({ session, watch, frame: frame.id, ageMs: frame.age_ms, timing, atNs: `${atNs}` });
  });
  process.on('message', () => process.send(arrived.splice(0)));
  process.send('subscribed');
}

function run(...args) {
  const running = fork(fileURLToPath(import.meta.url), ['part', ...args.map(String)]);
  return new Promise((resolve, reject) => {
    running.on('exit', (code) => (code === 0 ? resolve() : reject(new Error(`${args[0]} ended with status ${code}`))));
  });
}

/** A 720p camera, scaled in its pipeline to what the model sees; every frame shows something new, and all six watches are asked about it. */
async function withModel(url, seconds) {
  const engineThreads = new Set();
  const loadModel = async (...args) => {
    const before = threads();
    const model = await modelLoader(SHIPPED_MODEL)(...args);
    for (const thread of threads()) if (!before.has(thread)) engineThreads.add(thread);
    return model;
  };
  const subscriber = fork(fileURLToPath(import.meta.url), ['subscriber', url]);
  await messageOf(subscriber);
  const arrivals = () => {
    subscriber.send('arrived?');
    return messageOf(subscriber);
  };
  const trace = traced(WATCHES);
  const node = await start(url, { uri: CAMERA, loadModel, trace });
  try {
    node.camera.prependListener('frame', trace.captured);
    if (!(await isOnline(node.camera))) return;
    await pause(2000);
    await arrivals(); // of before
    const begun = { ms: performance.now(), cpu: cpuMs(), engine: threadsMs(engineThreads), looks: node.looks() };
    await pause(seconds * 1000);
    const ms = performance.now() - begun.ms;
    const cpu = cpuMs() - begun.cpu;
    const engine = threadsMs(engineThreads) - begun.engine;
    const looks = node.looks() - begun.looks;
    const answers = (await arrivals()).filter(({ session }) => session === node.session);
    console.log(`shipped model, 1280 x 720 camera at 30 fps, every frame asked about by six watches, ${(ms / 1000).toFixed(0)} s:`);
    console.log(`  through the gate   ${((looks * 1000) / ms).toFixed(1)} frames/s, ${((answers.length * 1000) / ms).toFixed(0)} answers/s`);
    console.log(`  ms of each answer, from capture to a subscriber:\n${stagesOf(trace, answers)}`);
    const other = cpu - engine;
    console.log(
      `  processor   ${((100 * cpu) / ms).toFixed(0)} % of one core, of which not the model ${((100 * other) / cpu).toFixed(1)} %, ${(other / looks).toFixed(2)} ms per frame\n`,
    );
  } finally {
    subscriber.kill('SIGKILL');
    await node.stop();
  }
}

/** A 720p camera without a model: pipe, comparison with the frame before, gate, looks that cost nothing, and six results published per look. */
async function at720p(url, seconds, side, asking) {
  const node = await start(url, { uri: CAMERA, side, loadModel: async () => instantModel(), always: asking === 'always' });
  try {
    if (!(await isOnline(node.camera))) return;
    await pause(2000);
    const begun = { ms: performance.now(), cpu: cpuMs(), child: childMs(), frames: node.camera.status().frames, looks: node.looks() };
    await pause(seconds * 1000);
    const frames = node.camera.status().frames - begun.frames;
    const looks = node.looks() - begun.looks;
    const fps = (frames * 1000) / (performance.now() - begun.ms);
    console.log(
      `no model, 1280 x 720 camera, frames of ${side} pixels a side, ${fps.toFixed(1)} fps, ${looks} of ${frames} asked about by six watches:`,
    );
    console.log(`  processor   ${((cpuMs() - begun.cpu) / frames).toFixed(2)} ms per frame in this process (limit: 5)`);
    console.log(`              ${((childMs() - begun.child) / frames).toFixed(2)} ms per frame in GStreamer, drawing the test picture included\n`);
  } finally {
    await node.stop();
  }
}

/** The shipped model, pictures of a folder as fast as they are read. */
async function memory(url, frames) {
  const node = await start(url, { uri: `images://${PICTURES}?fps=0&loop=true`, loadModel: modelLoader(SHIPPED_MODEL) });
  try {
    const begun = performance.now();
    console.log(`memory over ${frames} frames that were asked about:`);
    for (const share of [0.1, 0.25, 0.5, 0.75, 1]) {
      while (node.looks() < share * frames) await pause(50);
      globalThis.gc?.();
      console.log(`  ${String(node.looks()).padStart(6)} frames   ${(process.memoryUsage.rss() / 1e6).toFixed(0)} MB resident`);
    }
    console.log(`  ${((node.looks() * 1000) / (performance.now() - begun)).toFixed(1)} frames/s`);
  } finally {
    await node.stop();
  }
}

async function start(url, { uri, side, loadModel, trace, always = true }) {
  const watches = Object.entries(WATCHES).map(([id, { question, answer }]) => [
    id,
    { camera: 'bench', question, answer, ...(always ? { interval_ms: 0, change_percent: 0 } : {}) },
  ]);
  const loaded = configOf({
    node: 'bench',
    mqtt: { url, protocol: '3.1.1', discovery: { enabled: false } },
    http: { enabled: false },
    log: { level: 'fatal' },
    cameras: { bench: { uri, ...(side === undefined ? {} : { frame_side_px: side }) } },
    watches: Object.fromEntries(watches),
  });
  let looks = 0;
  const counting = async (...args) => {
    const model = await loadModel(...args);
    const look = model.look.bind(model);
    model.look = (...seen) => {
      looks++;
      return trace === undefined ? look(...seen) : trace.look(look, ...seen);
    };
    return model;
  };
  const service = new Service({ loaded, load: async () => loaded, loadModel: counting, log: new Log(loaded.config.log), version: 'bench' });
  await service.start();
  return {
    session: service.session,
    camera: service.cameras.get('bench'),
    looks: () => looks,
    stop: async () => await service.stop(),
  };
}

async function isOnline(camera) {
  for (let i = 0; i < 100 && camera.state !== 'online'; i++) await pause(100);
  if (camera.state !== 'online') console.log(`not measured: ${camera.status().error}\n`);
  return camera.state === 'online';
}

function instantModel() {
  const timings = { queueMs: 0, preprocessMs: 0, visionMs: 0, prefillMs: 0, decodeMs: 0, totalMs: 0 };
  let answers = 0;
  const answer = { text: 'x', confidence: 1, finish: 'stop', tokens: { prompt: 1, reused: 0, answer: 1 }, timings };
  const ask = async () => ({ ...answer, value: answers++ % 2 === 0 });
  const seen = { timings, ask, stream: ask, dispose: async () => {} };
  return {
    name: 'none',
    revision: '0',
    imageSize: 384,
    status: () => ({ backend: 'none', memory: [], passedOver: [] }),
    look: async () => seen,
    dispose: async () => {},
  };
}

function cpuMs() {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

function threads() {
  return new Set(readdirSync('/proc/self/task'));
}

/** User and system time of these threads, from the kernel's clock ticks of 10 ms. */
function threadsMs(ids) {
  return [...ids].reduce((sum, id) => sum + statMs(`/proc/self/task/${id}/stat`), 0);
}

/** Of the GStreamer processes below this one. */
function childMs() {
  return readdirSync('/proc')
    .filter((entry) => /^\d+$/.test(entry))
    .reduce((sum, pid) => sum + statMs(`/proc/${pid}/stat`, 'gst-launch-1.0'), 0);
}

function statMs(path, name) {
  let stat;
  try {
    stat = readFileSync(path, 'utf8');
  } catch {
    return 0; // gone
  }
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const counts = name === undefined || (stat.includes(`(${name})`) && Number(fields[1]) === process.pid);
  return counts ? 10 * (Number(fields[11]) + Number(fields[12])) : 0;
}
