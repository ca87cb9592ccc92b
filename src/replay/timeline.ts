/** What was recorded of one life of a watch, in the order of time, read only as far ahead as an answer lies behind its frame. */
import type { AnswerLine, RecordLine, StartLine } from '../record/lines.js';
import type { Recorded } from '../record/read.js';

/** A line, and the path of the picture of a frame. */
export type Step = Pick<Recorded, 'line' | 'picture'>;

/** An answer comes within so many lines of its frame, or never: nothing is kept longer. */
const FARTHEST = 1000;

/** One `start` and what follows it, up to the next. */
export class Timeline {
  private readonly ahead: Step[] = [];
  private readonly answers = new Map<string, AnswerLine>(); // of lines in `ahead` and of the last frame given
  private ended = false;

  constructor(
    readonly start: StartLine,
    private readonly source: AsyncIterator<Recorded>,
    /** Gets the `start` that ends this one. */
    private readonly onNext: (next: Recorded) => void,
  ) {}

  /** Null: no more. */
  async next(): Promise<Step | null> {
    const step = this.ahead.shift() ?? (await this.read());
    if (step?.line.kind === 'answer' && step.line.frame !== null) this.answers.delete(step.line.frame);
    return step;
  }

  /** What was answered about a frame, if that comes after what next() has given; null when it was not recorded. */
  async answerTo(frame: string): Promise<AnswerLine | null> {
    for (;;) {
      const known = this.answers.get(frame);
      if (known !== undefined) return known;
      if (this.ahead.length >= FARTHEST) return null;
      const step = await this.read();
      if (step === null) return null;
      this.ahead.push(step);
      if (isAnswer(step.line) && step.line.frame !== null) this.answers.set(step.line.frame, step.line);
    }
  }

  private async read(): Promise<Step | null> {
    if (this.ended) return null;
    const { done, value } = await this.source.next();
    if (done === true || value.line.kind === 'start') {
      this.ended = true;
      if (done !== true) this.onNext(value);
      return null;
    }
    return value;
  }
}

/** That a look gave, or why it gave none; what merely expired is no answer to a frame. */
function isAnswer(line: RecordLine): line is AnswerLine {
  return line.kind === 'answer' && line.status !== 'stale';
}

/** Each life of the watch in turn; one must be read to its end before the next is. */
export async function* timelines(lines: AsyncIterable<Recorded>): AsyncGenerator<Timeline, void, undefined> {
  const source = lines[Symbol.asyncIterator]();
  let first = await source.next();
  while (first.done !== true) {
    const { line } = first.value;
    if (line.kind !== 'start') {
      first = await source.next(); // a record whose beginning was deleted
      continue;
    }
    let next: IteratorResult<Recorded, unknown> = { done: true, value: undefined };
    const timeline = new Timeline(line, source, (value) => {
      next = { done: false, value };
    });
    yield timeline;
    while ((await timeline.next()) !== null);
    first = next as IteratorResult<Recorded>;
  }
}
