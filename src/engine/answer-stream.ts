/** An answer while it is written. */
import { following, onAbort } from '../signals.js';
import type { Answer } from './answer.js';
import { TextStream } from './text.js';
import type { Tokenizer } from './tokenizer.js';

/** Puts the question; what it throws, it throws before anything is under way. */
type Start = (signal: AbortSignal) => (onToken: (id: number) => void, left: () => boolean) => Promise<Answer>;

/** Iterate for the pieces (once); `answer` settles when the answer is complete, or was left early (`finish` is then `cancelled`). */
export class AnswerStream implements AsyncIterable<string>, AsyncDisposable {
  readonly answer: Promise<Answer>;
  private readonly pieces: string[] = [];
  private readonly controller: AbortController;
  private wake = () => {};
  private ended = false;
  private left = false;

  constructor(
    tokenizer: Tokenizer,
    private readonly signal: AbortSignal | undefined,
    start: Start,
  ) {
    const { controller, unlink } = following(signal);
    this.controller = controller;
    const ask = started(() => start(controller.signal), unlink);
    const text = new TextStream(tokenizer);
    let shown = 0;
    const show = (piece: string) => {
      if (piece === '' || this.ended) return;
      shown += piece.length;
      this.pieces.push(piece);
      this.wake();
    };
    const run = async (): Promise<Answer> => {
      try {
        const answer = await ask(
          (id) => show(text.push(id)),
          () => this.left,
        );
        show(answer.text.slice(shown));
        return answer;
      } finally {
        unlink();
        this.ended = true;
        this.wake();
      }
    };
    this.answer = run();
    this.answer.catch(() => {}); // who iterates gets the error there, and need not look here
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<string, void, undefined> {
    const unlink = onAbort(this.signal, () => this.wake());
    try {
      for (;;) {
        this.signal?.throwIfAborted();
        const piece = this.pieces.shift();
        if (piece !== undefined) yield piece;
        else if (this.ended) break;
        else await new Promise<void>((resolve) => (this.wake = resolve));
      }
      await this.answer;
    } finally {
      unlink();
      await this[Symbol.asyncDispose]();
    }
  }

  /** Cancels what is not written yet and waits until the engine has let go of it. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.ended && !this.controller.signal.aborted) {
      this.left = true;
      this.controller.abort();
    }
    await this.answer.catch(() => {});
  }
}

function started<T>(start: () => T, undo: () => void): T {
  try {
    return start();
  } catch (error) {
    undo();
    throw error;
  }
}
