/** Other settings tried on what was recorded, by the node's own model when nobody else wants it. */
import { Worker } from 'node:worker_threads';
import type { CallOptions } from '../../engine/call.js';
import type { RawImage } from '../../engine/image.js';
import { MiphaError } from '../../errors.js';
import type { KeptAnswer } from '../../replay/recorded-eyes.js';
import type { ReplayReport } from '../../replay/report.js';
import { answerType } from '../../watch/answer-type.js';
import type { Eyes, Sight } from '../../watch/outcome.js';
import type { Spare } from '../../watch/spare.js';
import { within } from '../../watch/within.js';
import type { FromTrial, ToTrial, TrialQuestion, TrialSettings } from './messages.js';

export interface TrialOptions {
  model: Eyes;
  spare: Spare;
  signal: AbortSignal;
  onProgress: (share: number) => void;
  /** For tests: what runs in the thread. */
  program?: URL;
}

const HEAP_MB = 256;
const GRACE_MS = 2000;
/** Where sources are run as they are, which only tests do, the thread is that of dist: it has no loader for sources. */
const PROGRAM = new URL(import.meta.url.endsWith('.ts') ? '../../../dist/service/trial/worker.js' : './worker.js', import.meta.url);

/** Settles when its thread is gone. Rejects with `signal.reason`, ERR_OPTION in the words of the settings, and what the model throws. */
export async function runTrial(
  settings: TrialSettings,
  { model, spare, signal, onProgress, program = PROGRAM }: TrialOptions,
): Promise<ReplayReport> {
  signal.throwIfAborted();
  const ending = new AbortController();
  const eyes = new SpareEyes(model, spare, AbortSignal.any([signal, ending.signal]));
  const worker = new Worker(program, { workerData: settings, execArgv: [], name: 'trial', resourceLimits: { maxOldGenerationSizeMb: HEAP_MB } });
  const gone = new Promise<void>((resolve) => worker.once('exit', () => resolve()));
  const send = (message: ToTrial) => worker.postMessage(message);
  let abort = () => {};
  try {
    return await new Promise<ReplayReport>((resolve, reject) => {
      abort = () => reject(signal.reason);
      signal.addEventListener('abort', abort, { once: true });
      worker.on('message', (message: FromTrial) => {
        if (message.kind === 'progress') onProgress(message.share);
        else if (message.kind === 'seen') eyes.forget();
        else if (message.kind === 'ask') eyes.ask(message).then((answer) => send({ kind: 'answer', id: message.id, answer }), reject);
        else if (message.kind === 'report') resolve(message.report);
        else reject(new MiphaError('ERR_OPTION', message.message));
      });
      worker.on('error', reject);
      worker.on('exit', () => reject(new MiphaError('ERR_INTERNAL', 'The thread of the trial has ended')));
    });
  } finally {
    signal.removeEventListener('abort', abort);
    ending.abort();
    eyes.forget();
    send({ kind: 'end' });
    await within(gone, GRACE_MS); // by itself: a picture may be half decoded
    await worker.terminate();
  }
}

/** One picture at a time, looked at again when somebody else needed the engine meanwhile. */
class SpareEyes {
  private image: RawImage | null = null;
  private seen: Sight | null = null;
  private stop = () => {};
  private last: Promise<unknown> = Promise.resolve();

  constructor(
    private readonly model: Eyes,
    private readonly spare: Spare,
    private readonly signal: AbortSignal,
  ) {}

  /** One after the other. */
  ask(question: TrialQuestion): Promise<KeptAnswer> {
    const answer = this.last.then(() => this.answer(question));
    this.last = answer.catch(() => {});
    return answer;
  }

  /** The rows of the cache belong to others again. */
  forget(): void {
    this.stop();
    const { seen } = this;
    this.seen = null;
    void seen?.dispose().catch(() => {}); // only an engine that is gone, and the view with it
  }

  private async answer({ image, question, answer: spec }: TrialQuestion): Promise<KeptAnswer> {
    if (image !== null) {
      this.forget();
      this.image = image;
    }
    return await this.spare.run(async (call) => {
      this.seen ??= await this.look(call);
      const { text, value, confidence, finish } = await this.seen.ask(question, { as: answerType(spec), ...call });
      return { text, value, confidence, finish };
    }, this.signal);
  }

  private async look(call: Pick<CallOptions, 'signal' | 'priority'>): Promise<Sight> {
    const seen = await this.model.look(this.image as RawImage, call);
    if (call.signal?.aborted !== true) {
      this.stop = this.spare.onTaken(() => this.forget());
      return seen;
    }
    await seen.dispose();
    throw call.signal.reason;
  }
}
