/**
 * The thread of the record: encodes pictures and writes to the disk, so that neither takes the thread that answers any time. See thread.ts, which is
 * the other end.
 */
import { type MessagePort, parentPort, workerData } from 'node:worker_threads';
import { jpegOf, loadEncoder } from '../../camera/jpeg.js';
import { itemOf } from '../../record/items.js';
import { Recorder } from '../../record/recorder.js';
import { within } from '../../watch/within.js';
import { RecordIntake } from './intake.js';
import type { FromThread, Report, ThreadSettings, ToThread } from './messages.js';

const REPORT_MS = 1000; // after what comes, at the latest: a disk that stands still ends no round

const port = parentPort as MessagePort;
const { folder, session, limits, lockName, quality, withdrawn, epochMs } = workerData as ThreadSettings;
const clock = { now: () => Number(process.hrtime.bigint()) / 1e6 - epochMs, date: () => new Date() };
const tell = (message: FromThread) => port.postMessage(message);

let isOpen = false;
const onRound = () => {
  if (isOpen) report();
};
await loadEncoder();
const recorder = await Recorder.open({ folder, session, limits, lockName, clock, onRound, onTrouble: () => queueMicrotask(onRound) });
const intake = new RecordIntake({
  hand: (watch, item) => recorder.hand(watch, item),
  encode: async (pixels) => (await jpegOf(pixels, { maxSidePx: Math.max(pixels.width, pixels.height), quality })).data,
  withdrawn: () => Number(Atomics.load(withdrawn, 0)),
});
let received = 0;
let timer: NodeJS.Timeout | undefined;

function reportNow(status = recorder.status()): Report {
  const waiting = new Map(intake.pending());
  const pending = recorder.pending().map(([watch, { frames, lines, untold }]): Report['pending'][number] => {
    const before = waiting.get(watch);
    return [watch, { frames: frames + (before?.frames ?? 0), lines: lines + (before?.lines ?? 0), untold }];
  });
  return { ...status, received, picturesDropped: intake.droppedPictures, pending };
}

function report(): void {
  clearTimeout(timer);
  timer = undefined;
  tell({ kind: 'report', report: reportNow() });
}

async function handle(message: ToThread): Promise<void> {
  switch (message.kind) {
    case 'item':
      intake.hand(message.watch, itemOf(message.text, message.isFrame), message.picture);
      break;
    case 'picture': {
      const { memory, bytes, ...size } = message.pixels;
      await intake.picture(message.name, { ...size, data: new Uint8Array(memory, 0, bytes) });
      tell({ kind: 'encoded', slot: message.slot });
      break;
    }
    case 'stop':
      intake.stop(message.watch);
      break;
    case 'lost':
      recorder.addLoss(message.watch, message.reason, message.loss);
      break;
    case 'flush':
      await intake.end();
      await recorder.flush();
      report();
      tell({ kind: 'flushed' });
      break;
    case 'close': {
      const end = performance.now() + message.budgetMs;
      await within(intake.end(), message.budgetMs / 2);
      const status = await recorder.close(end - performance.now());
      isOpen = false;
      clearTimeout(timer);
      tell({ kind: 'closed', report: reportNow(status) });
      port.close();
      break;
    }
  }
}

port.on('message', (messages: ToThread[]) => {
  received += messages.length;
  for (const message of messages) void handle(message);
  timer ??= setTimeout(report, REPORT_MS);
});
isOpen = true;
report();
tell({ kind: 'opened' });
