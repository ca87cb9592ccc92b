/** The calls that everything one can put questions to has in common; what differs is where a question is asked. */
import { callSite, checkKeys, optionError } from '../errors.js';
import { following } from '../signals.js';
import { type Answer, type AnswerOptions, type AskOptions, Question, type SchemaOptions } from './answer.js';
import { AnswerStream } from './answer-stream.js';
import type { ValueOf } from './answer-type.js';
import { CALL_KEYS, Call, type CallOptions, checkSignal } from './call.js';
import type { Engine, Place } from './engine.js';

/** One of several questions. */
export type QuestionSpec<T = unknown> = (AnswerOptions<T> | SchemaOptions) & { question: string };

/** Per question the answer of its type. */
export type Answers<Q extends readonly QuestionSpec[]> = {
  -readonly [K in keyof Q]: Answer<Q[K] extends { as: infer As } ? ValueOf<As> : string>;
};

export abstract class Asker {
  constructor(protected readonly engine: Engine) {}

  /** Throws ERR_DISPOSED. */
  protected abstract place(question: string, call: Call): Place;

  /** `left`: whether a cancelled answer is wanted as far as it came. */
  protected put<T>(question: Question<T>, place: Place, call: Call, onToken?: (id: number) => void, left?: () => boolean): Promise<Answer<T>> {
    return this.engine.ask(question, place, call, onToken, left);
  }

  /** `cancel` ends the others. */
  protected async putAll(questions: readonly Question<unknown>[], call: Call, cancel: (error: unknown) => void): Promise<Answer<unknown>[]> {
    const running = questions.map(async (question) => {
      try {
        return await this.engine.ask(question, this.place(question.text, call), call);
      } catch (error) {
        cancel(error);
        throw error;
      }
    });
    await Promise.allSettled(running);
    call.signal?.throwIfAborted();
    return await Promise.all(running);
  }

  /**
   * Asks one question. Throws ERR_OPTION, ERR_CONTEXT_FULL, ERR_MEMORY, ERR_DEADLINE, ERR_DISPOSED; `signal.reason` when aborted.
   * With `as` the value is of that type, see AnswerOptions.
   */
  ask(question: string, options: SchemaOptions & CallOptions): Promise<Answer<unknown>>;
  ask<T = string>(question: string, options?: AskOptions<T>): Promise<Answer<T>>;
  async ask<T>(question: string, options: AskOptions<T> | (SchemaOptions & CallOptions) = {}): Promise<Answer<T>> {
    const site = callSite(this.ask);
    const asked = new Question<T>('ask', question, options);
    const call = new Call('ask', options, site);
    return await this.put(asked, this.place(asked.text, call), call);
  }

  /**
   * One free-text answer in pieces, each shown as soon as nothing can change it. Leaving the loop early cancels the rest; aborting makes the loop throw
   * `signal.reason` at its next turn, whatever has been written already.
   */
  stream(question: string, options: Omit<AskOptions, 'as'> = {}): AnswerStream {
    const site = callSite(this.stream);
    checkKeys('stream', options, ['maxTokens', 'temperature', 'topP', 'seed', ...CALL_KEYS]);
    const asked = new Question<string>('stream', question, options);
    checkSignal('stream.signal', options.signal);
    return new AnswerStream(this.engine.tokenizer, options.signal, (signal) => {
      const call = new Call('stream', { ...options, signal }, site);
      const place = this.place(asked.text, call);
      return (onToken, left) => this.put(asked, place, call, onToken, left);
    });
  }

  /**
   * Several questions at once. They share the rows of the view, each read of the weights in prefill, and every decode step; what that saves
   * depends on the machine, `mipha bench` prints it.
   * The answers come in the order of the questions; the first failure cancels the others and rejects.
   */
  async askAll<const Q extends readonly QuestionSpec[]>(questions: Q, options: CallOptions = {}): Promise<Answers<Q>> {
    const site = callSite(this.askAll);
    checkKeys('askAll', options, CALL_KEYS);
    if (!Array.isArray(questions)) throw optionError('askAll.questions', 'an array of questions', questions);
    const asked = questions.map((spec: QuestionSpec, index) => {
      checkKeys(`askAll.questions[${index}]`, spec, ['question', 'as', 'maxTokens', 'temperature', 'topP', 'seed']);
      const { question, ...rest } = spec;
      return new Question(`askAll.questions[${index}]`, question, rest, []);
    });
    checkSignal('askAll.signal', options.signal);
    const { controller, unlink } = following(options.signal);
    try {
      const call = new Call('askAll', { ...options, signal: controller.signal }, site);
      return (await this.putAll(asked, call, (error) => controller.abort(error))) as Answers<Q>;
    } finally {
      unlink();
    }
  }
}
