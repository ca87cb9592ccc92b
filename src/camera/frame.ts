/** What a camera gives, and what every source of frames is. */
import type { Scene } from './kitchen.js';

/** Raw pixels without gaps between rows: rgb has 3 bytes per pixel, gray 1. */
export interface Frame {
  /** Unique among all frames of this process, e.g. `kitchen-1a2b3c4d-17`. */
  id: string;
  /** When the whole picture had arrived here: milliseconds of performance.now(), for ages and durations. */
  monotonicMs: number;
  /** The same moment on the wall clock, for people and other machines. */
  at: Date;
  width: number; // pixels
  height: number;
  format: 'rgb' | 'gray';
  /** Valid in the tick in which the frame was got, and for as long as it is held. */
  data: Uint8Array;
  /** Keeps `data` as it is; returns how to let go. Absent where nobody will ever write to it again. */
  hold?: () => () => void;
  /**
   * Counts the pictures that differed from the one before: two frames of one camera with the same number have the same bytes.
   * A number that stands still while frames arrive is a frozen camera.
   */
  content: number;
  /** What the picture shows, where the source knows: synthetic://kitchen only. Absent where part of the picture is private: it would tell of that too. */
  truth?: Scene;
}

/** What a source yields; the camera that reads it adds the rest. */
export interface Picture extends Pick<Frame, 'width' | 'height' | 'format' | 'data' | 'truth'> {
  /** `data` stays with the source, which may yield it again: not to be written to. Any other picture belongs to whoever reads it. */
  kept?: true;
  /** Called once, when nobody needs `data` any more: its memory may be used again. */
  giveBack?: () => void;
}

/**
 * Why a picture never became the newest frame that somebody looked at. unread: the source had a newer one before it was read; unreadable: it is
 * damaged, or a file that is no picture; superseded: a newer frame came before anyone had looked; frozen: still the picture that the camera had
 * stopped at.
 */
export const DROP_REASONS = ['unread', 'unreadable', 'superseded', 'frozen'] as const;
export type DropReason = (typeof DROP_REASONS)[number];

/** `detail` is for people. */
export type OnDropped = (reason: 'unread' | 'unreadable', detail?: string) => void;

/** Where pictures come from. */
export interface Source {
  /** As configured, passwords masked. */
  readonly name: string;
  /** Of a source that ends after one pass: what makes it go on, in words. */
  readonly afterEnd?: string;
  /**
   * Opens the device, process or file anew at each call. Ends normally when there is nothing more to come (a file), throws ERR_CAMERA when it
   * breaks, and returns soon after `signal` aborts, with every child process and descriptor gone. Never queues: whoever reads slowly gets
   * the newest picture, and `onDropped` is told of each one that was not read.
   */
  open(signal: AbortSignal, onDropped: OnDropped): AsyncIterable<Picture>;
}

/** A part of the picture as fractions of its sides, origin top left. */
export interface Crop {
  x: number;
  y: number;
  width: number;
  height: number;
}
