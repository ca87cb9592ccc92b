/** What was recorded of one life of a watch, in the order of time, read only as far ahead as an answer lies behind its frame. */
import type { RecordLine, StartLine } from '../record/lines.js';
import type { Recorded } from '../record/read.js';

/** A line, and the path of the picture of a frame. */
export type Step = Pick<Recorded, 'line' | 'picture'>;

/** An answer, to either question, comes within so many lines of its frame, or never: nothing is kept longer. */
const FARTHEST = 1000;

/** One `start` and what follows it, up to the next. */
export class Timeline {
  private readonly ahead: Step[] = [];
  private ended = false;

  constructor(
    readonly start: StartLine,
    private readonly source: AsyncIterator<Recorded>,
    /** Gets the `start` that ends this one. */
    private readonly onNext: (next: Recorded) => void,
  ) {}

  /** Null: no more. */
  async next(): Promise<Step | null> {
    return this.ahead.shift() ?? (await this.read());
  }

  /** The first such line after what next() has given; null: there is none so near. */
  async find<T extends RecordLine>(isIt: (line: RecordLine) => line is T): Promise<T | null> {
    for (let at = 0; at < FARTHEST; at++) {
      if (at === this.ahead.length) {
        const step = await this.read();
        if (step === null) return null;
        this.ahead.push(step);
      }
      const { line } = this.ahead[at] as Step;
      if (isIt(line)) return line;
    }
    return null;
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
