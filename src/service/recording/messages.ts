/** What the thread of the record and the main thread say to each other. */

import type { LossReason } from '../../record/lines.js';
import type { Loss } from '../../record/losses.js';
import type { Pending, RecorderStatus } from '../../record/recorder.js';
import type { RecordLimits } from '../../record/store.js';
import type { PictureName, Pixels } from './intake.js';

/** `workerData`. */
export interface ThreadSettings {
  folder: string;
  session: string;
  limits: RecordLimits;
  lockName: string;
  quality: number; // of JPEGs, 1 to 100
  /** The number of a picture: it and those before are not to be recorded any more. Read when a picture is handed on, whatever messages wait then. */
  withdrawn: BigInt64Array<SharedArrayBuffer>;
  /** Milliseconds of process.hrtime() when performance.now() of the main thread, which times of the record are, was 0. */
  epochMs: number;
}

/** Handled in the order in which they were sent. */
export type ToThread =
  /** `text`: of an item. */
  | { kind: 'item'; watch: string; text: string; isFrame: boolean; picture: PictureName | null }
  /** `pixels` lie in shared memory: they stay as they are until `encoded` comes with this slot. */
  | { kind: 'picture'; name: PictureName; pixels: Omit<Pixels, 'data'> & { memory: SharedArrayBuffer; bytes: number }; slot: number }
  | { kind: 'stop'; watch: string }
  /** Of a thread before. */
  | { kind: 'lost'; watch: string; reason: LossReason; loss: Loss }
  | { kind: 'flush' }
  | { kind: 'close'; budgetMs: number };

export interface Report extends RecorderStatus {
  /** How many messages have come so far. */
  received: number;
  picturesDropped: number;
  /** Neither on the disk nor told as lost there, by watch. */
  pending: [watch: string, Pending][];
}

export type FromThread =
  | { kind: 'report'; report: Report }
  /** The recorder has tried to open its folder. */
  | { kind: 'opened' }
  | { kind: 'encoded'; slot: number }
  /** One for each `flush`, in order. */
  | { kind: 'flushed' }
  | { kind: 'closed'; report: Report };
