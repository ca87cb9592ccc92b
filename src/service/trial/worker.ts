/**
 * The thread of a trial: reads the record, decodes pictures and lives the day again, so that none of it takes the thread that answers any time. The model
 * is that of the node, at the other end: trial.ts.
 */
import { type MessagePort, parentPort, workerData } from 'node:worker_threads';
import { optionError } from '../../errors.js';
import { yieldThisThread } from '../../priority.js';
import { readLabels } from '../../record/labels.js';
import { readRecord } from '../../record/read.js';
import { changed } from '../../replay/changes.js';
import type { KeptAnswer, ReplayModel } from '../../replay/recorded-eyes.js';
import { replay } from '../../replay/replay.js';
import type { ReplayReport } from '../../replay/report.js';
import { answerType } from '../../watch/answer-type.js';
import type { AnswerSpec, WatchSpec } from '../../watch/spec.js';
import type { FromTrial, ToTrial, TrialSettings } from './messages.js';

const { watch, folder, changes, since, positive, revision } = workerData as TrialSettings;
const port = parentPort as MessagePort;
const tell = (message: FromTrial) => port.postMessage(message);
const ending = new AbortController();
const waiting = new Map<number, { resolve: (answer: KeptAnswer) => void; reject: (reason: unknown) => void }>();
let asked = 0;
/** Of the questions that may be asked, the kind of their answers. */
let specs: AnswerSpec[] = [];

const model: ReplayModel = {
  look: async (image) => {
    let isSent = false;
    return {
      ask: async (question, options) => {
        ending.signal.throwIfAborted();
        const id = ++asked;
        const answer = specs.find((spec) => answerType(spec) === options?.as);
        if (answer === undefined) throw new Error('a question whose kind of answer is not known');
        tell({ kind: 'ask', id, image: isSent ? null : image, question, answer });
        isSent = true;
        const kept = await new Promise<KeptAnswer>((resolve, reject) => waiting.set(id, { resolve, reject }));
        return { ...kept, tokens: { prompt: 0, reused: 0, answer: 0 }, timings: NO_TIME } as never;
      },
      dispose: async () => tell({ kind: 'seen' }),
    };
  },
};
const NO_TIME = { queueMs: 0, preprocessMs: 0, visionMs: 0, prefillMs: 0, decodeMs: 0, totalMs: 0 };

function specOf(before: WatchSpec): WatchSpec {
  const spec = changed(before, Object.entries(changes));
  specs = [spec.answer, { type: 'boolean' }]; // the second question's
  return spec;
}

async function live(): Promise<ReplayReport> {
  const { labels } = await readLabels(folder, watch);
  const endMs = Date.now();
  let first: number | undefined;
  let told = -1;
  const onProgress = (at: Date) => {
    first ??= at.getTime();
    const percent = Math.floor((100 * (at.getTime() - first)) / Math.max(1, endMs - first));
    if (percent <= told) return;
    told = percent;
    tell({ kind: 'progress', share: Math.min(1, percent / 100) });
  };
  const report = await replay({
    ...{ watch, labels, revision, positive, signal: ending.signal, onProgress, change: specOf },
    lines: readRecord(folder, { watch, ...(since && { since }) }),
    model: async () => model,
  });
  if (report.lives === 0) throw optionError('watch', 'a watch with something recorded in this time', watch);
  return report;
}

port.on('message', (message: ToTrial) => {
  if (message.kind === 'end') {
    ending.abort();
    for (const { reject } of waiting.values()) reject(ending.signal.reason);
  } else waiting.get(message.id)?.resolve(message.answer);
  if (message.kind === 'answer') waiting.delete(message.id);
});
yieldThisThread();
await live()
  .then(
    (report) => tell({ kind: 'report', report }),
    (error: unknown) => tell({ kind: 'failed', message: error instanceof Error ? error.message : String(error) }),
  )
  .finally(() => port.close());
