/** Questions that know the ones before. The cache keeps every turn, so each costs only what is new. */
import { optionError } from '../errors.js';
import { isWellFormed } from '../spelling.js';
import type { Answer, Question } from './answer.js';
import { Asker } from './asker.js';
import type { Call, CallOptions } from './call.js';
import type { Engine, Place } from './engine.js';
import type { Turn } from './prompt.js';

export interface ConverseOptions extends CallOptions {
  /** Turns that it begins with, oldest first, as if they had been asked and answered here. Default: none. */
  history?: readonly Turn[] | undefined;
}

/** Throws ERR_OPTION. */
export function checkHistory(history: unknown): readonly Turn[] {
  if (history === undefined) return [];
  if (!Array.isArray(history)) throw optionError('converse.history', 'an array of turns', history);
  return history.map((turn: Partial<Turn> | null, index) => {
    const { question, answer } = turn ?? {};
    for (const [name, text] of Object.entries({ question, answer })) {
      const option = `converse.history[${index}].${name}`;
      if (typeof text !== 'string' || text.trim() === '') throw optionError(option, 'words', text);
      if (!isWellFormed(text)) throw optionError(option, 'whole characters, no half of a surrogate pair', text);
    }
    return { question: question as string, answer: answer as string };
  });
}

/**
 * ask(), stream() and askAll() as on a View, one at a time: ERR_BUSY while the one before is being answered. A call that fails, and a stream that is
 * left early, leave the history as it was. askAll() puts every question after the present history, so none knows of the others, one after the other;
 * then all of them are turns, in their order.
 */
export class Conversation extends Asker implements AsyncDisposable {
  private readonly turns: Turn[];
  private busy = false;
  private disposed = false;

  constructor(
    engine: Engine,
    private readonly handle: number,
    private readonly at: (question: string, history: readonly Turn[]) => Place,
    history: readonly Turn[] = [],
  ) {
    super(engine);
    this.turns = [...history];
  }

  /** The finished turns, oldest first. */
  get history(): readonly Turn[] {
    return [...this.turns];
  }

  /** Gives the cache rows back. Further calls do nothing. */
  async dispose(): Promise<void> {
    if (this.disposed) return;
    this.disposed = true;
    this.engine.releaseConversation(this.handle);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose();
  }

  protected override place(question: string, call: Call): Place {
    this.engine.checkAlive(call);
    if (this.disposed) throw call.error('ERR_DISPOSED', 'The conversation has been disposed');
    if (this.busy) throw call.error('ERR_BUSY', 'The conversation is still answering the question before');
    return { ...this.at(question, this.turns), conversation: this.handle };
  }

  protected override async put<T>(
    question: Question<T>,
    place: Place,
    call: Call,
    onToken?: (id: number) => void,
    left?: () => boolean,
  ): Promise<Answer<T>> {
    this.busy = true;
    try {
      const answer = await super.put(question, place, call, onToken, left);
      if (answer.finish !== 'cancelled') this.remember(question, answer);
      return answer;
    } finally {
      this.busy = false;
    }
  }

  protected override async putAll(questions: readonly Question<unknown>[], call: Call): Promise<Answer<unknown>[]> {
    const places = questions.map((question) => this.place(question.text, call));
    this.busy = true;
    try {
      const answers: Answer<unknown>[] = [];
      for (const [index, question] of questions.entries()) answers.push(await super.put(question, places[index] as Place, call));
      for (const [index, answer] of answers.entries()) this.remember(questions[index] as Question<unknown>, answer);
      return answers;
    } finally {
      this.busy = false;
    }
  }

  private remember(question: Question<unknown>, answer: Answer<unknown>): void {
    this.turns.push({ question: question.text, answer: answer.text });
  }
}
