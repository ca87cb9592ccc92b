/** What the tests of cameras share: waiting, processes and descriptors of this process, sources of their own. */
import { readdirSync, readFileSync } from 'node:fs';
import type { Frame, Picture, Source } from '../../src/camera/frame.js';

/** Polls until `condition` holds; fails with `what` after `ms`. */
export async function until(what: string, condition: () => boolean, ms = 20_000): Promise<void> {
  const end = Date.now() + ms;
  while (!condition()) {
    if (Date.now() > end) throw new Error(`not within ${ms} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** Running processes below this one whose command is `name`; zombies count. */
export function children(name = 'gst-launch-1.0'): number[] {
  return readdirSync('/proc')
    .filter((entry) => /^\d+$/.test(entry))
    .filter((pid) => {
      try {
        const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
        const command = stat.slice(stat.indexOf('(') + 1, stat.lastIndexOf(')'));
        const parent = Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]);
        return parent === process.pid && command === name.slice(0, 15);
      } catch {
        return false; // gone meanwhile
      }
    })
    .map(Number);
}

export function descriptors(): number {
  return readdirSync('/proc/self/fd').length;
}

/** The first `count` pictures of a source. */
export async function take(source: Source, count: number, signal = new AbortController().signal): Promise<Picture[]> {
  const pictures: Picture[] = [];
  for await (const picture of source.open(signal, () => undefined)) {
    pictures.push(picture);
    if (pictures.length === count) break;
  }
  return pictures;
}

export async function all(source: Source): Promise<Picture[]> {
  return await take(source, Number.POSITIVE_INFINITY);
}

/** A 2 x 1 picture of one gray value. */
export function gray(value: number): Picture {
  return { width: 2, height: 1, format: 'gray', data: new Uint8Array([value, value]) };
}

/** A source in the hands of a test: it shows what is put, breaks or ends when told to. */
export class HandSource implements Source {
  readonly name = 'hand';
  opened = 0;
  closed = 0;
  private waiting: ((step: Step) => void) | undefined;
  private readonly steps: Step[] = [];

  put(picture: Picture): void {
    this.step({ picture });
  }

  fail(message: string): void {
    this.step({ error: new Error(message) });
  }

  end(): void {
    this.step({});
  }

  async *open(signal: AbortSignal): AsyncGenerator<Picture> {
    this.opened++;
    signal.addEventListener('abort', () => this.step({}), { once: true });
    try {
      for (;;) {
        const step = this.steps.shift() ?? (await new Promise<Step>((resolve) => (this.waiting = resolve)));
        if (signal.aborted) return;
        if (step.error !== undefined) throw step.error;
        if (step.picture === undefined) return;
        yield step.picture;
      }
    } finally {
      this.closed++;
    }
  }

  private step(step: Step): void {
    const { waiting } = this;
    this.waiting = undefined;
    if (waiting === undefined) this.steps.push(step);
    else waiting(step);
  }
}

interface Step {
  picture?: Picture;
  error?: Error;
}

/** Mean of the gray values, or of the red, green and blue ones, in a part of the picture given in fractions. */
export function mean({ data, width, height, format }: Pick<Frame, 'data' | 'width' | 'height' | 'format'>, from: number, to: number): number {
  const channels = format === 'rgb' ? 3 : 1;
  let [sum, count] = [0, 0];
  for (let y = 0; y < height; y++) {
    for (let x = Math.ceil(from * width); x < Math.floor(to * width); x++) {
      for (let c = 0; c < channels; c++) sum += data[(y * width + x) * channels + c] as number;
      count += channels;
    }
  }
  return sum / count;
}
