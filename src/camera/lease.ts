/** Memory of pictures that is used again: a 720p picture has 2.8 MB, and thirty of them a second keep the garbage collector busier than all else. */

/** Buffers that wait for a picture of their size. */
export class BufferPool {
  private free: Buffer[] = [];

  take(bytes: number): Buffer {
    const found = this.free.pop();
    if (found?.length === bytes) return found;
    this.free = []; // pictures have another size from now on
    return Buffer.allocUnsafeSlow(bytes); // of its own: a slice of Node's shared pool would keep the pool alive
  }

  give(buffer: Buffer): void {
    if (this.free.length < MOST_FREE) this.free.push(buffer);
  }
}

const MOST_FREE = 4;

/** Who still needs the pixels of one frame; when nobody does, they are given back. */
export class Lease {
  private holders = 0;
  private retired = false;

  constructor(private giveBack: (() => void) | undefined) {}

  /** Returns how to let go; letting go twice does nothing. */
  hold(): () => void {
    this.holders++;
    let held = true;
    return () => {
      if (!held) return;
      held = false;
      this.holders--;
      this.settle();
    };
  }

  /** The frame is not the newest one any more. */
  retire(): void {
    this.retired = true;
    this.settle();
  }

  private settle(): void {
    if (!this.retired || this.holders > 0) return;
    this.giveBack?.();
    this.giveBack = undefined;
  }
}
