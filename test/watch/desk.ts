/** An Events on a clock of its own. */
import type { z } from 'zod';
import type { Frame } from '../../src/camera/frame.js';
import { VirtualClock } from '../../src/replay/virtual-clock.js';
import type { Suppressed, WatchEvent } from '../../src/watch/event.js';
import { Events } from '../../src/watch/events.js';
import { LocalTime } from '../../src/watch/local-time.js';
import { nothingKnown } from '../../src/watch/outcome.js';
import type { Value, WatchSpec, watchSpecSchema } from '../../src/watch/spec.js';
import { spec } from './stage.js';

export type Rules = NonNullable<z.input<typeof watchSpecSchema>['events']>;
export type Seen = Value | null | 'broken';

export const NOON = Date.parse('2026-06-10T12:00:00Z');
/** An Events on a clock of its own, which is told one outcome after the other; answers hold for a day. Log: seconds since the start and what was told. */
export class Desk {
  readonly clock = new VirtualClock(0);
  readonly log: string[] = [];
  readonly told: WatchEvent[] = [];
  readonly suppressed: Suppressed[] = [];
  wanted = 0;
  held = 0;
  readonly events: Events;
  frames = 0;
  private rules: WatchSpec;

  constructor(rules: Rules = {}, begin = NOON, zone = 'UTC') {
    this.clock.setDate(new Date(begin), 0);
    this.rules = spec({ events: rules });
    this.events = new Events(this.rules, this.clock, new LocalTime(zone), {
      event: (event) => {
        this.told.push(event);
        this.log.push(`${this.second} ${event.type} ${event.previous}`);
      },
      suppressed: (suppressed) => {
        this.suppressed.push(suppressed);
        this.log.push(`${this.second} ${suppressed.reason}: ${suppressed.type}`);
      },
      wanted: () => this.wanted++,
    });
  }

  get second(): number {
    return this.clock.now() / 1000;
  }

  frame(): Frame {
    const id = `f-${++this.frames}`;
    const hold = () => {
      this.held++;
      return () => void this.held--;
    };
    const at = this.clock.date();
    return { id, monotonicMs: this.clock.now(), at, width: 1, height: 1, format: 'gray', data: new Uint8Array(1), content: this.frames, hold };
  }

  see(given: Seen, { observed = given, ttlS = 86_400 }: { observed?: Seen; ttlS?: number } = {}): this {
    const frame = given === null ? null : this.frame();
    const status = given === 'broken' ? 'error' : given === null ? 'stale' : 'ok';
    const base = nothingKnown('w', this.rules, this.clock.now());
    const seen = frame === null ? null : { ...frame, crop: null };
    const value = given === 'broken' ? null : given;
    this.events.settle(); // as a watch does
    this.events.observe(
      { ...base, status, value, observed: observed === 'broken' ? null : observed, frame: seen },
      frame,
      this.clock.now() + ttlS * 1000,
    );
    return this;
  }

  /** Until this second; a wall clock that jumps is put there first. */
  until(second: number): this {
    while (this.clock.step(second * 1000));
    return this;
  }

  change(rules: Rules, more: Partial<WatchSpec> = {}): this {
    this.rules = { ...spec({ events: rules }), ...more };
    this.events.change(this.rules);
    return this;
  }

  /** A second question is asked about a frame of now, and answered. */
  opine(agrees: boolean, ttlS = 30): boolean {
    const frame = this.frame();
    if (!this.events.wants(frame)) return false;
    this.events.ask().settle(agrees ? { confidence: 0.75, frame: frame.id, untilMs: this.clock.now() + ttlS * 1000 } : null);
    return true;
  }

  /** No timer is left, and no frame held. */
  get idle(): boolean {
    return !this.clock.step(Number.MAX_SAFE_INTEGER) && this.held === 0;
  }
}
