/** A camera that shows what was recorded. */
import { readFile } from 'node:fs/promises';
import type { Frame } from '../camera/frame.js';
import { decodePicture } from '../picture/decode.js';
import type { FrameLine } from '../record/lines.js';
import type { Watched } from '../watch/posts.js';

const NO_PIXELS = new Uint8Array(0);

export class Film implements Watched {
  readonly slot = { newest: () => this.frame };
  private frame: Frame | undefined;
  private readonly listeners = new Set<(frame: Frame) => void>();

  constructor(readonly id: string) {}

  on(_: 'frame', listener: (frame: Frame) => void): void {
    this.listeners.add(listener);
  }

  off(_: 'frame', listener: (frame: Frame) => void): void {
    this.listeners.delete(listener);
  }

  show(frame: Frame): void {
    this.frame = frame;
    for (const listener of [...this.listeners]) listener(frame);
  }
}

/** Without `picture`, a path, the frame has no pixels: nobody may look at it. Throws ERR_IMAGE and what reading a file throws. */
export async function recordedFrame({ id, at, mono_ms, width, height, content }: FrameLine, picture: string | null): Promise<Frame> {
  const seen = { id, at: new Date(at), monotonicMs: mono_ms, content };
  if (picture === null) return { ...seen, width, height, format: 'rgb', data: NO_PIXELS };
  return { ...seen, format: 'rgb', ...(await decodePicture(await readFile(picture), picture)) };
}

export function hasPixels({ data }: Frame): boolean {
  return data !== NO_PIXELS;
}
