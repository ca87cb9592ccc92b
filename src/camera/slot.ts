/** The newest frame of a camera and nothing else: a frame that comes before the last one was looked at takes its place. */
import type { Frame } from './frame.js';

export class FrameSlot {
  private frame: Frame | undefined;
  private seen = true;
  private lost = 0;
  private waiting: (() => void)[] = [];

  /** Frames overwritten before anyone had looked at them. */
  get superseded(): number {
    return this.lost;
  }

  put(frame: Frame): void {
    if (!this.seen) this.lost++;
    this.frame = frame;
    this.seen = false;
    const waiting = this.waiting;
    this.waiting = [];
    for (const wake of waiting) wake();
  }

  /** The newest frame is none any more. One that nobody had looked at counts as superseded. */
  clear(): void {
    if (!this.seen) this.lost++;
    this.frame = undefined;
    this.seen = true;
  }

  /** The newest frame, which counts as looked at; undefined before the first. */
  newest(): Frame | undefined {
    this.seen = true;
    return this.frame;
  }

  /** The newest frame as soon as it is another one than `after`. Rejects with the reason of `signal` when that aborts first. */
  async next(after?: Frame, signal?: AbortSignal): Promise<Frame> {
    for (;;) {
      signal?.throwIfAborted();
      if (this.frame !== undefined && this.frame !== after) return this.newest() as Frame;
      await this.arrival(signal);
    }
  }

  private arrival(signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve) => {
      const wake = () => {
        signal?.removeEventListener('abort', aborted);
        resolve();
      };
      const aborted = () => {
        this.waiting = this.waiting.filter((other) => other !== wake);
        resolve();
      };
      signal?.addEventListener('abort', aborted, { once: true });
      this.waiting.push(wake);
    });
  }
}
