/** A few frames in memory that another thread reads too: each is copied once, and its memory is used again. */

interface Slot {
  memory: SharedArrayBuffer;
  isFree: boolean;
}

/** Memory that is larger than needed by more than this is given back: pictures have become small for good. */
const MOST_TIMES = 4;

export class FrameSlots {
  private slots: Slot[] = [];

  constructor(private readonly most: number) {}

  /** Copies the bytes; null: all slots are taken. */
  put(data: Uint8Array): { slot: number; memory: SharedArrayBuffer } | null {
    let slot = this.slots.findIndex(({ isFree }) => isFree);
    if (slot < 0 && this.slots.length === this.most) return null;
    if (slot < 0) slot = this.slots.push({ memory: new SharedArrayBuffer(data.length), isFree: true }) - 1;
    const taken = this.slots[slot] as Slot;
    const { byteLength } = taken.memory;
    if (byteLength < data.length || byteLength > MOST_TIMES * data.length) taken.memory = new SharedArrayBuffer(data.length);
    taken.isFree = false;
    new Uint8Array(taken.memory).set(data);
    return { slot, memory: taken.memory };
  }

  free(slot: number): void {
    const found = this.slots[slot];
    if (found !== undefined) found.isFree = true;
  }

  /** For another thread; the one before may still read. */
  clear(): void {
    this.slots = [];
  }
}
