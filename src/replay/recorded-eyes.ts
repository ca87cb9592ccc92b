/** The model of a replay: an answer on record is given again after the time it took; what was never asked, the model is asked now. */
import type { Answer } from '../engine/answer.js';
import type { RawImage } from '../engine/image.js';
import { type ErrorCode, MiphaError } from '../errors.js';
import type { AnswerLine, OpinionLine } from '../record/lines.js';
import type { Eyes, Sight } from '../watch/outcome.js';
import type { VirtualClock } from './virtual-clock.js';

/** What a replay needs of a model: an Eyes is more. */
export interface ReplayModel {
  look(image: RawImage): Promise<Pick<Sight, 'ask' | 'dispose'>>;
}

export interface Script {
  /**
   * What the record has about the frame that is looked at. Null: nothing that holds for this question, so the model must be asked. `never`: it was
   * asked then too, and nothing came of it. Called once for each question, before the others.
   */
  recorded: (question: string) => Promise<AnswerLine | OpinionLine | 'never' | null>;
  /** What the model answered to that in an earlier run that was interrupted. */
  kept: () => KeptAnswer | null;
  keep: (answer: KeptAnswer) => void;
  /** How long a question takes that the record has no answer to, in milliseconds of the replay's clock. */
  usualMs: () => number;
}

/** Of an answer, what matters to a watch. */
export type KeptAnswer = Pick<Answer<unknown>, 'text' | 'value' | 'confidence' | 'finish'>;

type AskOptions = NonNullable<Parameters<Sight['ask']>[1]>;

const NO_TIME = { queueMs: 0, preprocessMs: 0, visionMs: 0, prefillMs: 0 };

export class RecordedEyes implements Eyes {
  reused = 0;
  asked = 0;
  /** Of this machine, for the answers that it computed. */
  machineMs = 0;
  private readonly computing = new Set<Promise<unknown>>();
  private lost = 0;

  constructor(
    private readonly clock: VirtualClock,
    private readonly script: Script,
    /** Called when it is first needed. */
    private readonly model: () => Promise<ReplayModel>,
  ) {}

  /** Resolves when nothing is computed any more and everybody who waited for it has gone on: time may pass. */
  async settled(): Promise<void> {
    do {
      await Promise.allSettled(this.computing);
      await new Promise((resolve) => setImmediate(resolve));
    } while (this.computing.size > 0);
  }

  /** Something is being asked that nothing came of then. */
  get isLost(): boolean {
    return this.lost > 0;
  }

  async look(image: RawImage): Promise<Sight> {
    const beganMs = this.clock.now();
    let seen: ReturnType<ReplayModel['look']> | null = null;
    const look = () => (seen ??= this.timed(async () => await (await this.model()).look(image)));
    return {
      timings: NO_TIME,
      ask: async <T>(question: string, options?: Parameters<Sight['ask']>[1]) => {
        const given = (options ?? {}) as AskOptions;
        const answer = await this.compute(this.answer<T>(question, given, look, beganMs));
        if (answer === 'never') return await this.nothing(given.signal);
        await this.until(answer.atMs, given.signal);
        return answer.give();
      },
      stream: () => {
        throw new Error('a watch does not stream');
      },
      dispose: async () => {
        if (seen !== null) await this.compute((seen as ReturnType<ReplayModel['look']>).then((sight) => sight.dispose()));
      },
    };
  }

  /** The answer, and when it comes. */
  private async answer<T>(
    question: string,
    { as }: AskOptions,
    look: () => ReturnType<ReplayModel['look']>,
    beganMs: number,
  ): Promise<{ atMs: number; give: () => Answer<T> } | 'never'> {
    const recorded = await this.script.recorded(question);
    if (recorded === 'never') return 'never';
    if (recorded !== null) {
      this.reused++;
      const atMs = recorded.mono_ms > beganMs ? recorded.mono_ms : beganMs + this.script.usualMs(); // of a picture that is shown once more
      return { atMs, give: () => again<T>(recorded) };
    }
    this.asked++;
    const { script } = this;
    let answer = script.kept();
    if (answer === null) {
      const sight = await look();
      const { text, value, confidence, finish } = await this.timed(() => sight.ask(question, { as }));
      answer = { text, value, confidence, finish };
      script.keep(answer);
    }
    return { atMs: beganMs + script.usualMs(), give: () => answerOf<T>(answer) };
  }

  /** Rejects when the question is given up. */
  private async nothing(signal: AbortSignal | undefined): Promise<never> {
    this.lost++;
    try {
      return await new Promise<never>((_, reject) => {
        const abort = () => reject(signal?.reason);
        signal?.addEventListener('abort', abort, { once: true });
        if (signal?.aborted) abort();
      });
    } finally {
      this.lost--;
    }
  }

  /** Rejects when the question is given up before. */
  private until(atMs: number, signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      const abort = () => {
        cancel();
        reject(signal?.reason);
      };
      const cancel = this.clock.at(atMs, () => {
        signal?.removeEventListener('abort', abort);
        resolve();
      });
      signal?.addEventListener('abort', abort, { once: true });
      if (signal?.aborted) abort();
    });
  }

  private async timed<T>(work: () => Promise<T>): Promise<T> {
    const began = performance.now();
    try {
      return await work();
    } finally {
      this.machineMs += performance.now() - began;
    }
  }

  private compute<T>(work: Promise<T>): Promise<T> {
    this.computing.add(work);
    return work.finally(() => this.computing.delete(work));
  }
}

/** As it was given then. Throws what was thrown then. */
function again<T>({ error, observed, confidence, text }: AnswerLine | OpinionLine): Answer<T> {
  if (error !== null) {
    const { code, message, retryable } = error as { code: ErrorCode; message: string; retryable: boolean };
    throw new MiphaError(code, message, { retryable });
  }
  return answerOf({ text, value: observed, confidence, finish: 'stop' });
}

function answerOf<T>(kept: KeptAnswer): Answer<T> {
  return { ...kept, value: kept.value as T, tokens: { prompt: 0, reused: 0, answer: 0 }, timings: { ...NO_TIME, decodeMs: 0, totalMs: 0 } };
}
