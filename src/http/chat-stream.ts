/** An answer as server-sent events, while it is written. */
import type { ChatAnswer } from './answerer.js';
import type { Completion } from './completion.js';
import { isUnexpected, problemOf } from './problem.js';

/** Pieces of text between whoever writes and whoever sends. */
export class Pieces implements AsyncIterable<string> {
  private readonly waiting: string[] = [];
  private wake = () => {};
  private ended = false;

  push(piece: string): void {
    this.waiting.push(piece);
    this.wake();
  }

  end(): void {
    this.ended = true;
    this.wake();
  }

  get none(): boolean {
    return this.waiting.length === 0;
  }

  /** Resolves when there is one, or no more will come. */
  async some(): Promise<void> {
    while (this.waiting.length === 0 && !this.ended) await new Promise<void>((resolve) => (this.wake = resolve));
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<string, void, undefined> {
    for (;;) {
      await this.some();
      const pieces = this.waiting.splice(0);
      if (pieces.length === 0) return;
      yield pieces.join(''); // what came while nobody read goes out at once
    }
  }
}

export interface StreamOptions {
  completion: Completion;
  usage: boolean;
  /** What is not written in pieces comes in one. */
  whole: boolean;
  onFault: (error: unknown) => void;
}

export async function* events(
  pieces: Pieces,
  answered: Promise<ChatAnswer>,
  { completion, usage, whole, onFault }: StreamOptions,
): AsyncGenerator<string> {
  yield event(completion.piece({ role: 'assistant', content: '' }));
  for await (const piece of pieces) yield event(completion.piece({ content: piece }));
  try {
    const answer = await answered;
    if (whole) yield event(completion.piece({ content: answer.text }, answer));
    yield event(completion.last(answer));
    if (usage) yield event(completion.usage(answer));
    yield 'data: [DONE]\n\n';
  } catch (error) {
    const problem = problemOf(error);
    if (isUnexpected(problem)) onFault(error);
    yield event(problem.body());
  }
}

/** One at a time, when there is room; `left` when nobody reads any more. */
export function asStream(texts: AsyncGenerator<string>, left: () => void): ReadableStream<Uint8Array> {
  const encoder = new TextEncoder();
  return new ReadableStream<Uint8Array>({
    async pull(controller) {
      const { done, value } = await texts.next();
      if (done === true) controller.close();
      else controller.enqueue(encoder.encode(value));
    },
    cancel: left,
  });
}

function event(data: unknown): string {
  return `data: ${JSON.stringify(data)}\n\n`;
}
