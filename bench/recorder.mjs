// What recording costs a node, above all the thread that answers everybody: six watches on a 720p camera at 30 frames a second whose picture never stands still, with and without a record.
import { EventEmitter } from 'node:events';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import sharp from 'sharp';
import { fromDist, readArguments, wholeNumber } from '../scripts/arguments.mjs';

const USAGE = `node bench/recorder.mjs [FOLDER] [--seconds 10]      after npm run setup

Records into a new folder in FOLDER (the folder for temporary files), each case for that long, without and with a record in turn, five times each.`;
const { values, positionals } = readArguments(USAGE, { positionals: 1, options: { seconds: { type: 'string' } } });
const SECONDS = wholeNumber(USAGE, '--seconds', values.seconds, 10);
const [{ WatchLoop }, { RecordKeeper }, { configOf }] = await Promise.all(
  ['watch/loop.js', 'service/recording/keeper.js', 'service/config/config.js'].map(fromDist),
);

const [WIDTH, HEIGHT, FPS, PAIRS] = [1280, 720, 30, 5];
const BOXES = [0, 1, 2, 3, 4, 5].map((n) => ({ x: 0.1 * n, y: 0.05 * n, width: 0.5, height: 0.7 }));
const CASES = {
  'defaults, all watches look at the whole picture': BOXES.map(() => ({})),
  'defaults, a crop each': BOXES.map((crop) => ({ crop })),
  'every frame asked about, all watches look at the whole picture': BOXES.map(() => ({ interval_ms: 0, change_percent: 0 })),
};

/** A kitchen that shakes and whose camera has noise. */
async function pictures() {
  const picture = sharp(fileURLToPath(new URL('../examples/kitchen.png', import.meta.url))).removeAlpha();
  const { data } = await picture
    .resize(WIDTH + 64, HEIGHT, { fit: 'cover' })
    .raw()
    .toBuffer({ resolveWithObject: true });
  return Array.from({ length: 16 }, (_, n) => {
    const out = Buffer.alloc(WIDTH * HEIGHT * 3);
    for (let y = 0; y < HEIGHT; y++) {
      const begin = (y * (WIDTH + 64) + ((n * 11) % 64)) * 3;
      data.copy(out, y * WIDTH * 3, begin, begin + WIDTH * 3);
    }
    for (let i = n; i < out.length; i += 3) out[i] = Math.min(255, out[i] + ((i * 7919) % 5));
    return out;
  });
}

class Camera extends EventEmitter {
  id = 'bench';
  frames = 0;
  slot = { newest: () => this.newest };

  show(data) {
    const content = this.frames++;
    const times = { monotonicMs: performance.now(), at: new Date() };
    this.newest = { id: `bench-1a2b3c4d-${content}`, ...times, width: WIDTH, height: HEIGHT, format: 'rgb', data, content };
    this.emit('frame', this.newest);
  }
}

async function measure(folder, watches, record) {
  const { config } = configOf({
    node: 'bench',
    recorder: { folder },
    cameras: { bench: { uri: 'synthetic://kitchen', images: true } },
    watches: Object.fromEntries(watches.map((more, n) => [`w${n}`, { camera: 'bench', question: `Is ${n} there?`, record, ...more }])),
  });
  const alert = (message) => message !== null && console.log(`  ${message}`);
  const keeper = new RecordKeeper({ session: 'bench', model: () => ({ name: 'none', hash: '0' }), alert });
  await keeper.apply(config);
  const loop = new WatchLoop(instantEyes(), {
    onOutcome: (outcome) => keeper.answered(outcome),
    onEvent: (event) => keeper.told(event),
    get onDecision() {
      return keeper.onDecision;
    },
  });
  for (const [id, spec] of Object.entries(config.watches)) loop.put(id, spec);
  const camera = new Camera();
  loop.addCamera(camera);
  loop.start();
  const play = async (seconds) => {
    const begun = performance.now();
    for (let n = 0; n < seconds * FPS; n++) {
      camera.show(PICTURES[n % PICTURES.length]);
      await pause(Math.max(0, begun + (1000 * (n + 1)) / FPS - performance.now()));
    }
  };
  await play(2);
  const before = { main: mainMs(), cpu: cpuMs(), frames: camera.frames };
  await play(SECONDS);
  const frames = camera.frames - before.frames;
  const cost = { main: (mainMs() - before.main) / frames, cpu: (cpuMs() - before.cpu) / frames };
  await loop.stop(1000);
  await keeper.close(10_000);
  return { ...cost, status: keeper.status() };
}

function instantEyes() {
  const timings = { queueMs: 0, preprocessMs: 0, visionMs: 0, prefillMs: 0, decodeMs: 0, totalMs: 0 };
  let answers = 0;
  const ask = async () => ({
    text: 'x',
    confidence: 1,
    finish: 'stop',
    tokens: { prompt: 1, reused: 0, answer: 1 },
    timings,
    value: answers++ % 60 < 30,
  });
  return { look: async () => ({ timings, ask, stream: ask, dispose: async () => {} }) };
}

/** Processor time of the thread of the event loop. */
function mainMs() {
  return Number(readFileSync(`/proc/self/task/${process.pid}/schedstat`, 'utf8').split(' ')[0]) / 1e6;
}

function cpuMs() {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

console.log(
  `${cpus()[0].model.trim()}, ${cpus().length} threads, Node ${process.versions.node}; per frame, medians of ${PAIRS} pairs of ${SECONDS} s\n`,
);
const PICTURES = await pictures();
const outer = await mkdtemp(join(positionals[0] ?? tmpdir(), 'mipha-bench-'));
const median = (values) => values.toSorted((a, b) => a - b)[PAIRS >> 1];
try {
  let count = 0;
  for (const [name, watches] of Object.entries(CASES)) {
    const runs = { off: [], on: [] };
    for (let pair = 0; pair < PAIRS; pair++) {
      for (const [key, record] of [
        ['off', false],
        ['on', true],
      ])
        runs[key].push(await measure(join(outer, `${count++}`), watches, record));
    }
    const [off, on] = [runs.off, runs.on].map((all) => ({ main: median(all.map(({ main }) => main)), cpu: median(all.map(({ cpu }) => cpu)) }));
    const more = median(runs.on.map(({ main }, pair) => main - runs.off[pair].main));
    const { bytes, lost } = runs.on[0].status;
    const dropped = runs.on.map(({ status }) => status.picturesDropped);
    console.log(`${name}`);
    console.log(`  event loop   ${off.main.toFixed(2)} ms without, ${on.main.toFixed(2)} ms with a record: ${more.toFixed(2)} ms more (limit: 1)`);
    console.log(`  all threads  ${off.cpu.toFixed(2)} ms without, ${on.cpu.toFixed(2)} ms with`);
    console.log(
      `  on the disk  ${(bytes / 1e6 / (SECONDS + 2)).toFixed(2)} MB/s; pictures not encoded ${dropped.join(', ')}; lost ${JSON.stringify(lost)}\n`,
    );
  }
} finally {
  await rm(outer, { recursive: true, force: true });
}
