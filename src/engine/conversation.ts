/** Questions that know the ones before. The cache keeps every turn, so each costs only what is new. */
import { callSite } from '../errors.js';
import { type Answer, type AskOptions, Question } from './answer.js';
import { Call } from './call.js';
import type { Engine, Place } from './engine.js';
import type { Turn } from './prompt.js';

export class Conversation implements AsyncDisposable {
  private readonly turns: Turn[] = [];
  private busy = false;
  private disposed = false;

  constructor(
    private readonly engine: Engine,
    private readonly handle: number,
    private readonly at: (question: string, history: readonly Turn[]) => Place,
  ) {}

  /** The finished turns, oldest first. */
  get history(): readonly Turn[] {
    return [...this.turns];
  }

  /** As View.ask(); also ERR_BUSY while the question before is being answered. A call that fails leaves the history as it was. */
  async ask<T = string>(question: string, options: AskOptions<T> = {}): Promise<Answer<T>> {
    const site = callSite(this.ask);
    const asked = new Question('ask', question, options);
    const call = new Call('ask', options, site);
    this.engine.checkAlive(call);
    if (this.disposed) throw call.error('ERR_DISPOSED', 'The conversation has been disposed');
    if (this.busy) throw call.error('ERR_BUSY', 'The conversation is still answering the question before');
    this.busy = true;
    try {
      const place = this.at(asked.text, this.turns);
      const answer = await this.engine.ask(asked, { ...place, conversation: this.handle }, call);
      this.turns.push({ question: asked.text, answer: answer.text });
      return answer;
    } finally {
      this.busy = false;
    }
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
}
