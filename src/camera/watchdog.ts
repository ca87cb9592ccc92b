/** Notices that a camera has stopped: no picture comes, or always the same one. */

/** A child process, a handshake and a first key frame take their time, however short the stall limit. Milliseconds. */
export const FIRST_PICTURE_MS = 10_000;

export interface WatchdogOptions {
  stallMs: number;
  /** 0: never. */
  frozenMs: number;
  onStall: (kind: 'silent' | 'frozen', ms: number) => void; // at most once
}

export class Watchdog {
  private readonly began = performance.now();
  private first: number | undefined;
  private last = this.began;
  private change = this.began;
  private timer: NodeJS.Timeout | undefined;
  private check: NodeJS.Immediate | undefined;

  constructor(private readonly options: WatchdogOptions) {
    this.arm();
  }

  /** A picture has come; `changed`: it differs from the one before. */
  arrived(changed: boolean): void {
    this.last = performance.now();
    if (changed || this.first === undefined) this.change = this.last;
    if (this.first === undefined) {
      this.first = this.last;
      this.arm(); // from now on the limits may be shorter
    }
  }

  /** For how long good pictures have come. */
  get provenMs(): number {
    return (this.options.frozenMs > 0 ? this.change : this.last) - (this.first ?? this.last);
  }

  stop(): void {
    clearTimeout(this.timer);
    clearImmediate(this.check);
  }

  private arm(): void {
    this.stop();
    const now = performance.now();
    const due = Math.min(this.silentAt(), this.frozenAt());
    // Pictures that came while this process was busy are read before the verdict.
    this.timer = setTimeout(
      () => {
        this.check = setImmediate(() => this.judge());
      },
      Math.max(1, due - now),
    );
  }

  private judge(): void {
    const now = performance.now();
    const { stallMs, frozenMs, onStall } = this.options;
    if (now >= this.silentAt()) onStall('silent', this.first === undefined ? now - this.began : stallMs);
    else if (now >= this.frozenAt()) onStall('frozen', frozenMs);
    else this.arm();
  }

  private silentAt(): number {
    return this.last + (this.first === undefined ? Math.max(this.options.stallMs, FIRST_PICTURE_MS) : this.options.stallMs);
  }

  private frozenAt(): number {
    return this.options.frozenMs > 0 && this.first !== undefined ? this.change + this.options.frozenMs : Number.POSITIVE_INFINITY;
  }
}
