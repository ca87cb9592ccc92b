// Records into FOLDER until it is killed, or as it is told: node child.mjs MODE FOLDER SESSION [...]. Uses dist/.
import { readFile, rm, writeFile } from 'node:fs/promises';
import { setTimeout as pause } from 'node:timers/promises';
import { Recorder } from '../../dist/record/recorder.js';

const [mode, folder, session, flag, ms] = process.argv.slice(2);
const limits = { bytes: 1 << 30, days: 14, segmentBytes: 150_000 };
const recorder = await Recorder.open({ folder, session, limits });
const door = recorder.watch('door', { camera: 'front', spec: {}, timezone: 'UTC', model: null });
let number = 0;

function record(bytes) {
  const times = { at: new Date().toISOString(), mono_ms: performance.now() };
  const picture = Buffer.alloc(bytes, number);
  picture.writeUInt16BE(0xffd8, 0);
  picture.writeUInt16BE(0xffd9, bytes - 2);
  const more = { width: 1, height: 1, share: null, against: null, asked: true, skipped: null, confirms: false, decided_ms: 0 };
  door.frame({ kind: 'frame', id: `${session}-${number}`, content: number, ...times, ...more }, picture);
  const value = { observed: true, value: true, confidence: 1, text: 'x'.repeat(number % 700), status: 'ok', error: null };
  door.line({ kind: 'answer', id: `${session}-${number}`, frame: `${session}-${number}`, ...times, ...value });
  number++;
}

if (mode === 'endless') {
  for (;;) {
    for (let n = 0; n < 7; n++) record(100 + ((number * 7919) % 30_000));
    if (number % 3 !== 0) await pause(number % 5);
    else {
      await recorder.flush();
      process.stdout.write(`${number}\n`); // so many are on the disk
    }
  }
}

if (mode === 'blocked') {
  for (let n = 0; n < 30; n++) record(40_000);
  await recorder.flush();
  await writeFile(flag, '');
  const begun = performance.now();
  let [longestCallMs, longestOtherMs, longestTickMs, tick] = [0, 0, 0, begun];
  while (performance.now() - begun < Number(ms)) {
    const before = performance.now();
    record(40_000);
    longestCallMs = Math.max(longestCallMs, performance.now() - before);
    const other = performance.now();
    await readFile(new URL(import.meta.url)); // through the same threads
    longestOtherMs = Math.max(longestOtherMs, performance.now() - other);
    await pause(5);
    longestTickMs = Math.max(longestTickMs, performance.now() - tick);
    tick = performance.now();
  }
  const { trouble, queued } = recorder.status();
  await rm(flag);
  await recorder.flush();
  const { lost } = await recorder.close();
  console.log(JSON.stringify({ number, longestCallMs, longestOtherMs, longestTickMs, trouble, queued, lost }));
}
