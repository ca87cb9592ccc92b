/**
 * How old a segment is, though the wall clock may jump: before a device has the time of its network it may be decades off.
 *
 * Time that the recorder itself saw go by is certain: sessions measure it with monotonic clocks, and a segment is at least as old as all that was
 * recorded after it. Time in which nothing ran is known from the wall clock alone. That is believed only once it has agreed with the monotonic clock for a
 * day, for which a clock without its network's time seldom gets to run; and never about segments of the present session, whose age is certain.
 */
import type { Segment } from './segment.js';

const DAY_MS = 86_400_000;
const SETTLED_MS = DAY_MS;
const JUMP_MS = 10_000; // between two looks; a clock that is adjusted in small steps goes less astray

export interface RecordClock {
  /** Milliseconds that never jump, as performance.now(). */
  now(): number;
  /** The wall clock. */
  date(): Date;
}

export class WallClock {
  private lastOffsetMs: number;
  private steadySinceMs: number;

  constructor(private readonly clock: RecordClock) {
    this.steadySinceMs = clock.now();
    this.lastOffsetMs = this.offset();
  }

  /** Milliseconds since 1970; null: it cannot be believed. To be called every few minutes. */
  look(): number | null {
    const offset = this.offset();
    if (!(Math.abs(offset - this.lastOffsetMs) <= JUMP_MS)) this.steadySinceMs = this.clock.now();
    this.lastOffsetMs = offset;
    return this.clock.now() - this.steadySinceMs >= SETTLED_MS ? offset + this.clock.now() : null;
  }

  private offset(): number {
    return this.clock.date().getTime() - this.clock.now();
  }
}

export interface Present {
  session: string;
  nowMs: number;
  /** Since when this session is there. */
  openedMs: number;
  wallMs: number | null;
}

/** How many of the oldest segments (they come oldest first) had their newest line before so many days. */
export function expired(segments: readonly Segment[], days: number, { session, nowMs, openedMs, wallMs }: Present): number {
  const last = segments.at(-1)?.last;
  let ranSince = last?.session === session ? nowMs - last.mono_ms : nowMs - openedMs;
  let count = segments.length;
  for (; count > 0; count--) {
    const segment = segments[count - 1] as Segment;
    if (ranSince > days * DAY_MS) return count;
    if (wallMs !== null && segment.last?.session !== session && wallMs - latestOf(segments, count) > days * DAY_MS) return count;
    const before = segments[count - 2]?.last;
    const gap = before && before.session === segment.first?.session ? Math.max(0, segment.first.mono_ms - before.mono_ms) : 0;
    ranSince += segment.ran_ms + gap;
  }
  return 0;
}

/** By the order of recording a segment is no older than any before it, whatever its own times say. */
function latestOf(segments: readonly Segment[], count: number): number {
  return segments.slice(0, count).reduce((latest, segment) => Math.max(latest, Date.parse(segment.latest ?? '')), Number.NEGATIVE_INFINITY);
}
