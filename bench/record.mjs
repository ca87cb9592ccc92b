// What recording costs whoever records and the disk, and what reading it back takes.
import { mkdtemp, rm } from 'node:fs/promises';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { fromDist, readArguments, wholeNumber } from '../scripts/arguments.mjs';

const USAGE = `node bench/record.mjs [FOLDER] [--count 2000]      after npm run setup

Records lines of 330 bytes and frames with pictures of 40 kB into a new folder in FOLDER (the folder for temporary files), and reads them back.`;
const { values, positionals } = readArguments(USAGE, { positionals: 1, options: { count: { type: 'string' } } });
const COUNT = wholeNumber(USAGE, '--count', values.count, 2000);
const [{ Recorder }, { readRecord }] = await Promise.all(['record/recorder.js', 'record/read.js'].map(fromDist));

const outer = await mkdtemp(join(positionals[0] ?? tmpdir(), 'mipha-bench-'));
const folder = join(outer, 'record');
const picture = Buffer.alloc(40_000, 7);
picture.writeUInt16BE(0xffd8, 0);
picture.writeUInt16BE(0xffd9, picture.length - 2);

const ANSWER = { observed: true, confidence: 0.9731, text: 'yes', value: true, status: 'ok', error: null };
const FRAME = {
  decided_ms: 0,
  width: 1280,
  height: 720,
  content: 1,
  share: 0.021,
  against: 'bench-1a2b3c4d-0',
  asked: true,
  skipped: null,
  confirms: false,
};

try {
  console.log(`${cpus()[0].model.trim()}, Node ${process.versions.node}, ${COUNT} of each\n`);
  const recorder = await Recorder.open({ folder, session: 'bench', limits: { bytes: 2 ** 33, days: 14 } });
  const watch = recorder.watch('bench', { camera: 'bench', spec: {}, model: null });
  let number = 0;
  const answer = () => watch.line({ kind: 'answer', id: `bench-${number++}`, frame: `bench-1a2b3c4d-${number}`, ...times(), ...ANSWER });
  const frame = () => watch.frame({ kind: 'frame', id: `bench-1a2b3c4d-${number++}`, ...times(), ...FRAME }, picture);
  await measure('line', recorder, answer, 300);
  await measure('frame with a picture of 40 kB', recorder, frame, 30);
  const { lost } = await recorder.close();
  if (Object.keys(lost).length > 0) console.log(`lost: ${JSON.stringify(lost)}`);
  const begun = performance.now();
  let lines = 0;
  for await (const _ of readRecord(folder, { watch: 'bench' })) lines++;
  console.log(`reading back: ${((1000 * (performance.now() - begun)) / lines).toFixed(1)} µs per line, half of them with a picture`);
  const again = performance.now();
  await (await Recorder.open({ folder, session: 'again', limits: { bytes: 2 ** 33, days: 14 } })).close();
  console.log(`opening it again: ${(performance.now() - again).toFixed(0)} ms`);
} finally {
  await rm(outer, { recursive: true, force: true });
}

/** `perSecond`: as a busy node has them; the processor time is that of this process, threads included. */
async function measure(what, recorder, record, perSecond) {
  for (let n = 0; n < 100; n++) record();
  await recorder.flush();
  const cpu = process.cpuUsage();
  const begun = performance.now();
  let callMs = 0;
  for (let n = 0; n < COUNT; n++) {
    const before = performance.now();
    record();
    callMs += performance.now() - before;
    const ahead = begun + (1000 * n) / perSecond - performance.now();
    if (ahead > 1) await pause(ahead);
  }
  await recorder.flush();
  const { user, system } = process.cpuUsage(cpu);
  const waitingUs = await waiting(perSecond);
  const each = (us) => (us / COUNT).toFixed(0);
  console.log(
    `${what}, ${perSecond} a second: ${each(1000 * callMs)} µs for the caller, ${(each(user + system) - waitingUs).toFixed(0)} µs of processor time in all`,
  );
  const flat = performance.now();
  for (let n = 0; n < COUNT; n++) {
    record();
    if (n % 200 === 199) await recorder.flush();
  }
  await recorder.flush();
  console.log(`  as fast as it goes, synced after every 200: ${each(1000 * (performance.now() - flat))} µs each`);
}

/** Processor time of a loop that only waits, per round, in microseconds: the measurement's own. */
async function waiting(perSecond) {
  const cpu = process.cpuUsage();
  const rounds = Math.min(COUNT, 10 * perSecond);
  const begun = performance.now();
  for (let n = 0; n < rounds; n++) await pause(Math.max(0, begun + (1000 * n) / perSecond - performance.now()));
  const { user, system } = process.cpuUsage(cpu);
  return (user + system) / rounds;
}

function times() {
  return { at: new Date().toISOString(), mono_ms: performance.now() };
}
