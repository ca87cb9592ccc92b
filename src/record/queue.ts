/** What waits to be written, bounded in bytes over all watches of a recorder. Nobody waits for room: what does not fit is refused. */
import type { Start } from './lines.js';
import type { LineFacts } from './segment.js';

export interface Item {
  /** A frame's lacks its last keys and brace: they depend on what becomes of the picture. */
  text: string;
  bytes: number; // of the line, at most
  facts: LineFacts;
  isFrame: boolean;
  jpeg: Uint8Array | null;
  /** Of a `start`. */
  start?: Start;
}

export const LINE_QUEUE_BYTES = 16 << 20;
export const PICTURE_QUEUE_BYTES = 16 << 20;
const ITEM_BYTES = 256; // what an item takes besides its text

/** Shared by the queues of a recorder. */
export interface Held {
  lineBytes: number;
  pictureBytes: number;
}

export class Queue {
  private items: Item[] = [];

  constructor(private readonly held: Held) {}

  get length(): number {
    return this.items.length;
  }

  /** Nothing is lost with a `start` that was never followed by anything. */
  get lines(): number {
    return this.items.filter(({ start }) => start === undefined).length;
  }

  get pictures(): number {
    return this.items.filter(({ jpeg }) => jpeg !== null).length;
  }

  fits(bytes: number): boolean {
    return this.held.lineBytes + bytes + ITEM_BYTES <= LINE_QUEUE_BYTES;
  }

  pictureFits(bytes: number): boolean {
    return this.held.pictureBytes + bytes <= PICTURE_QUEUE_BYTES;
  }

  push(item: Item): void {
    this.items.push(item);
    this.count(item, 1);
  }

  /** The oldest ones, at most so many. They stay until shift(). */
  head(most: number): readonly Item[] {
    return this.items.slice(0, most);
  }

  shift(count: number): void {
    for (const item of this.items.splice(0, count)) this.count(item, -1);
  }

  /** Returns how many there were. */
  dropPictures(): number {
    const pictured = this.items.filter(({ jpeg }) => jpeg !== null);
    for (const item of pictured) this.dropPicture(item);
    return pictured.length;
  }

  dropPicture(item: Item): void {
    this.held.pictureBytes -= item.jpeg?.length ?? 0;
    item.jpeg = null;
  }

  private count({ bytes, jpeg }: Item, sign: 1 | -1): void {
    this.held.lineBytes += sign * (bytes + ITEM_BYTES);
    this.held.pictureBytes += sign * (jpeg?.length ?? 0);
  }
}
