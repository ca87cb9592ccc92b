/** What a subscriber of the demo sees: one line per frame, every answer as it came over MQTT beside what was drawn. */
import { type Result, resultSchema, stateOf } from '../mqtt/messages.js';
import type { Topics } from '../mqtt/topics.js';

type Value = Result['value'];

const COLUMN = 14;

/** A frame whose messages are on their way. */
interface Expected {
  frameId: string;
  truth: Map<string, Value>; // by watch
  results: Map<string, Result>;
  states: number; // scalar messages that came
  done: () => void;
}

export class DemoScreen {
  right = 0;
  total = 0;
  #expected: Expected | null = null;

  constructor(
    private readonly topics: Topics,
    private readonly session: string,
    private readonly watches: readonly string[],
    private readonly print: (line: string) => void,
    private readonly colors: boolean,
  ) {}

  header(): void {
    this.print([' frame', ...this.watches.map((watch) => watch.padEnd(COLUMN)), '   seen in'].join('  '));
  }

  /** Resolves when everything about this frame has come back from the broker. */
  expect(frameId: string, truth: Map<string, Value>): Promise<void> {
    return new Promise((done) => {
      this.#expected = { frameId, truth, results: new Map(), states: 0, done };
    });
  }

  /** One message as the broker delivered it. Retained ones are from before, and another demo may be talking on the same broker. */
  receive(topic: string, payload: string, retained: boolean): void {
    const name = this.topics.parse(topic);
    const expected = this.#expected;
    if (name === null || retained || expected === null) return;
    if (name.leaf === 'state') {
      const result = expected.results.get(name.watch);
      if (result === undefined || stateOf(result.value) !== payload) return;
      expected.states++;
    } else {
      const result = parseResult(payload);
      if (result?.session !== this.session || result.frame.id !== expected.frameId) return;
      expected.results.set(name.watch, result);
    }
    if (expected.results.size < this.watches.length || expected.states < this.watches.length) return;
    this.#expected = null;
    this.#line(expected);
    expected.done();
  }

  #line({ frameId, truth, results }: Expected): void {
    const cells = this.watches.map((watch) => {
      const received = results.get(watch)?.value;
      const drawn = truth.get(watch);
      this.total++;
      if (received === drawn) {
        this.right++;
        return this.#paint(32, `${received} ✓`);
      }
      return this.#paint(31, `${received} ✗ ${drawn}`);
    });
    const slowest = Math.max(...[...results.values()].map(({ timing }) => timing.total_ms));
    this.print([frameId.padStart(6), ...cells, `${slowest.toFixed(0).padStart(7)} ms`].join('  '));
  }

  #paint(color: number, text: string): string {
    const padded = text.padEnd(COLUMN);
    return this.colors ? `\x1b[${color}m${padded}\x1b[0m` : padded;
  }
}

function parseResult(payload: string): Result | null {
  try {
    return resultSchema.parse(JSON.parse(payload));
  } catch {
    return null;
  }
}
