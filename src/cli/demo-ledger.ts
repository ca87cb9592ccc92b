/** Keeps count of the demo: every answer as it came from the broker against what was drawn, and how soon the broker followed each change. */
import type { Frame } from '../camera/frame.js';
import { type Result, stateOf } from '../mqtt/messages.js';
import type { Value } from '../watch/spec.js';
import type { DemoWatch } from './demo-watches.js';

const REMEMBERED_FRAMES = 1000;

export interface DemoCounts {
  right: number;
  total: number;
  messages: number;
}

export class DemoLedger {
  right = 0;
  total = 0;
  /** Milliseconds from the capture of the first frame that showed a change to its `state` message. */
  readonly lagsMs: number[] = [];
  /** Changes that were overtaken by the next before the broker showed them. */
  missed = 0;
  readonly frames = new Set<string>(); // ids of frames that were answered about
  private messages = 0;
  private waiting: { frames: number; done: () => void } | null = null;
  private readonly truths = new Map<string, Map<string, Value>>(); // by frame, by watch
  private readonly drawn = new Map<string, Value>(); // what the last frame showed, by watch
  private readonly awaited = new Map<string, { state: string; sinceMs: number }>();

  constructor(private readonly watches: Record<string, DemoWatch>) {}

  counts(): DemoCounts {
    const { right, total, messages } = this;
    return { right, total, messages };
  }

  /** Resolves when so many frames have been answered about by every watch. */
  reached(frames: number): Promise<void> {
    return new Promise((done) => {
      this.waiting = { frames: frames * Object.keys(this.watches).length, done };
    });
  }

  /** A message came back from the broker. */
  received(): void {
    this.messages++;
  }

  captured({ id, truth: scene, monotonicMs }: Frame): void {
    if (scene === undefined) return;
    const truths = new Map(Object.entries(this.watches).map(([watch, { truth }]) => [watch, truth(scene)]));
    this.truths.set(id, truths);
    if (this.truths.size > REMEMBERED_FRAMES) this.truths.delete(this.truths.keys().next().value as string);
    for (const [watch, value] of truths) {
      const before = this.drawn.get(watch);
      this.drawn.set(watch, value);
      if (before === undefined || before === value) continue;
      if (this.awaited.has(watch)) this.missed++;
      this.awaited.set(watch, { state: stateOf(value), sinceMs: monotonicMs });
    }
  }

  /** What was drawn, or undefined for a frame that is not known (any more). */
  answered({ watch, frame, value }: Result): Value | undefined {
    if (watch === null || frame === null) return undefined;
    const truth = this.truths.get(frame.id)?.get(watch);
    if (truth === undefined) return undefined;
    this.frames.add(frame.id);
    this.total++;
    if (value === truth) this.right++;
    if (this.waiting !== null && this.total >= this.waiting.frames) this.waiting.done();
    return truth;
  }

  stated(watch: string, state: string): void {
    const change = this.awaited.get(watch);
    if (change?.state !== state) return;
    this.awaited.delete(watch);
    this.lagsMs.push(performance.now() - change.sinceMs);
  }
}
