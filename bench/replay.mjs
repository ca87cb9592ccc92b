// A recorded day, lived again: how many times faster than it was recorded, with the settings on record and with others.
import { mkdtempSync, rmSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fromDist, readArguments, wholeNumber } from '../scripts/arguments.mjs';

const USAGE = `node bench/replay.mjs [MINUTES]      after npm run setup

Records mipha-nano before the synthetic kitchen for MINUTES (10), one watch, a question a second, on a clock of its own; then replays it.`;

const { positionals } = readArguments(USAGE, { positionals: 1 });
const minutes = wholeNumber(USAGE, 'MINUTES', positionals[0], 10);
const [
  { kitchenStory },
  { jpegOf },
  { renderScene },
  { Mipha },
  { readRecord },
  { Recorder },
  { Film },
  { RecordedEyes },
  { replay },
  { VirtualClock },
  { Recording },
  { shippedModel },
  { WatchLoop },
  { watchSpecSchema },
] = await Promise.all(
  [
    'camera/animation.js',
    'camera/jpeg.js',
    'camera/kitchen.js',
    'index.js',
    'record/read.js',
    'record/recorder.js',
    'replay/film.js',
    'replay/recorded-eyes.js',
    'replay/replay.js',
    'replay/virtual-clock.js',
    'service/recording.js',
    'shipped.js',
    'watch/loop.js',
    'watch/spec.js',
  ].map(fromDist),
);
const CHANGE_MS = 4000;
const FRAME_MS = 200;
const spec = watchSpecSchema.parse({ camera: 'kitchen', question: 'Is the lamp on?', change_percent: 0 });

const folder = mkdtempSync(join(tmpdir(), 'mipha-bench-replay-'));
const mipha = await Mipha.load(shippedModel);
try {
  await record();
  const row = async (name, change) => {
    const cpu = process.cpuUsage();
    const begun = performance.now();
    const report = await replay({
      watch: 'lamp',
      lines: readRecord(folder, { watch: 'lamp' }),
      change,
      revision: mipha.revision,
      model: async () => mipha,
    });
    const tookMs = performance.now() - begun;
    const { user, system } = process.cpuUsage(cpu);
    const dayMs = report.days * 86_400_000;
    const times = (ms) => (dayMs / ms).toFixed(0).padStart(6);
    console.log(
      `${name.padEnd(28)} ${String(report.questions.now).padStart(5)} questions, ${String(report.computed).padStart(5)} computed;${times(tookMs)} x real time, ${times((user + system) / 1000)} x of processor time`,
    );
  };
  console.log(
    `${minutes} minutes, a change every ${CHANGE_MS / 1000} s, ${1000 / FRAME_MS} frames a second, a question a second; ${cpus()[0].model}`,
  );
  await row('settings on record', (before) => before);
  await row('two of three must agree', (before) => ({ ...before, agreement: { n: 2, of: 3 } }));
  await row('another question', (before) => ({ ...before, question: 'Is the door open?' }));
} finally {
  await mipha.dispose();
  rmSync(folder, { recursive: true });
}

async function record() {
  const clock = new VirtualClock(0);
  clock.setDate(new Date(), 0);
  const script = { recorded: async () => null, kept: () => null, keep: () => {}, usualMs: () => 40 };
  const eyes = new RecordedEyes(clock, script, async () => mipha);
  const recorder = await Recorder.open({ folder, session: 'bench', limits: { bytes: 1e10, days: 100 } });
  const recording = new Recording({
    open: (watch, start) => recorder.watch(watch, start),
    model: { name: mipha.name, hash: mipha.revision },
    timezone: 'UTC',
    encode: async (frame) => (await jpegOf(frame, { maxSidePx: 4096, quality: 90 })).data,
  });
  const loop = new WatchLoop(eyes, {
    clock,
    onDecision: (decision) => recording.decided(decision),
    onOutcome: (outcome) => recording.answered(outcome),
    onEvent: (event) => recording.told(event),
  });
  const camera = new Film('kitchen');
  loop.addCamera(camera);
  loop.put('lamp', spec);
  loop.start();
  const story = kitchenStory(5, 'any');
  for (let content = 0; clock.now() < minutes * 60_000; ) {
    const picture = await renderScene(story.next().value);
    for (const end = clock.now() + CHANGE_MS; clock.now() < end; ) {
      const untilMs = clock.now() + FRAME_MS;
      do await eyes.settled();
      while (clock.step(untilMs));
      camera.show({ id: `kitchen-${content}`, monotonicMs: clock.now(), at: clock.date(), format: 'rgb', content: content++, ...picture });
    }
  }
  await eyes.settled();
  await recording.end();
  await recorder.close(60_000);
}
