/** How a loop tells how it is. */
import type { SuppressReason } from './event.js';
import { SKIP_REASONS, type SkipReason } from './outcome.js';
import type { Value } from './spec.js';
import type { Watch } from './watch.js';

export interface WatchStatus {
  camera: string;
  enabled: boolean;
  value: Value | null;
  validUntil: Date | null;
  lastAskedAt: Date | null;
  asked: number;
  answered: number;
  errors: number;
  skipped: Record<SkipReason, number>;
  /** That were told. */
  events: number;
  suppressed: Record<SuppressReason, number>;
  /** Asked less often because the board is hot, see `duty`. */
  slowed: boolean;
}

/** Sums over the watches of a camera, those that were deleted since included. */
export interface CameraTally {
  lastAskedAt: Date | null;
  looks: number;
  asked: number;
  skipped: Record<SkipReason, number>;
}

export interface LoopStatus {
  state: 'idle' | 'looking' | 'stopped';
  /** How long the present look and its questions have taken; null when idle. */
  lookingMs: number | null;
  /** Share of the last minute that the engine was used, 0 to 1. */
  busyRatio: number;
  watches: Record<string, WatchStatus>;
  cameras: Record<string, CameraTally>;
}

export function statusOf({ value, validUntil, lastAskedAt, asked, answered, errors, spec, gate, events }: Watch): WatchStatus {
  const { camera, enabled } = spec;
  return {
    camera,
    enabled,
    value,
    validUntil,
    lastAskedAt,
    asked,
    answered,
    errors,
    skipped: { ...gate.skipped },
    events: events.count,
    suppressed: { ...events.suppressed },
    slowed: gate.duty.isSlowed,
  };
}

export function noTally(): CameraTally {
  const skipped = Object.fromEntries(SKIP_REASONS.map((reason) => [reason, 0])) as Record<SkipReason, number>;
  return { lastAskedAt: null, looks: 0, asked: 0, skipped };
}
