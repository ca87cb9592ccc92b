/** Cameras, engines and pictures made for tests of the watch room. */
import { EventEmitter } from 'node:events';
import type { z } from 'zod';
import type { Finish } from '../../src/addon/addon.js';
import type { Frame } from '../../src/camera/frame.js';
import { random } from '../../src/camera/kitchen.js';
import type { Answer } from '../../src/engine/answer.js';
import type { CallOptions } from '../../src/engine/call.js';
import type { RawImage } from '../../src/engine/image.js';
import { MiphaError } from '../../src/errors.js';
import type { Eyes, Sight } from '../../src/watch/outcome.js';
import type { Watched } from '../../src/watch/posts.js';
import { type WatchSpec, watchSpecSchema } from '../../src/watch/spec.js';

export interface Picture {
  width: number;
  height: number;
  format: 'rgb' | 'gray';
  data: Uint8Array;
}

export class FakeCamera extends EventEmitter implements Watched {
  newest: Frame | undefined;
  frames = 0;
  content = 0;
  held = 0; // frames, by anybody
  readonly slot = { newest: () => this.newest };

  constructor(readonly id: string) {
    super();
  }

  /** A new frame; the very same picture as before counts as the same content. */
  show(picture: Picture = blank(this.frames % 256)): Frame {
    if (this.newest === undefined || Buffer.compare(this.newest.data, picture.data) !== 0) this.content++;
    const { width, height, format, data } = picture;
    const id = `${this.id}-${++this.frames}`;
    const hold = () => {
      this.held++;
      return () => void this.held--;
    };
    this.newest = { id, monotonicMs: performance.now(), at: new Date(), width, height, format, data, content: this.content, hold };
    this.emit('frame', this.newest);
    return this.newest;
  }
}

export interface FakeCall {
  atMs: number;
  image: RawImage;
  options: CallOptions;
  questions: { question: string; atMs: number; options: CallOptions & { as?: unknown } }[];
  disposed: boolean;
}

export interface FakeSpeed {
  lookMs: number;
  askMs: number;
}

/** Answers what it is told to, after as long as it is told to, and stops when a call is aborted or its deadline passes. */
export class FakeEyes implements Eyes {
  readonly looks: FakeCall[] = [];
  running = 0;
  views = 0;
  lookError: unknown = null;
  deaf = false; // to deadlines
  answer: (question: string, image: RawImage) => { value: unknown; confidence?: number | null; finish?: Finish } = () => ({ value: true });

  constructor(readonly speed: FakeSpeed = { lookMs: 0, askMs: 0 }) {}

  get asked(): number {
    return this.looks.reduce((sum, { questions }) => sum + questions.length, 0);
  }

  async look(image: RawImage, options: CallOptions = {}): Promise<Sight> {
    const call: FakeCall = { atMs: performance.now(), image, options, questions: [], disposed: false };
    this.looks.push(call);
    await this.work(this.speed.lookMs, options);
    if (this.lookError !== null) throw this.lookError;
    this.views++;
    const { lookMs, askMs } = this.speed;
    const ask = async <T>(question: string, given: CallOptions = {}): Promise<Answer<T>> => {
      call.questions.push({ question, atMs: performance.now(), options: given });
      await this.work(askMs, given);
      const { value, confidence = 1, finish = 'stop' } = this.answer(question, image);
      return {
        text: String(value),
        value: value as T,
        confidence,
        finish,
        tokens: { prompt: 10, reused: 8, answer: 1 },
        timings: { queueMs: 1, preprocessMs: 2, visionMs: lookMs, prefillMs: 3, decodeMs: askMs, totalMs: askMs + 3 },
      };
    };
    return {
      timings: { queueMs: 1, preprocessMs: 2, visionMs: lookMs, prefillMs: 4 },
      ask,
      stream: (question: string, given: CallOptions = {}) => {
        const whole = ask<string>(question, given);
        let end: (finish: 'eos' | 'cancelled') => void = () => {};
        const ended = new Promise<'eos' | 'cancelled'>((resolve) => (end = resolve));
        const answer = whole.then(async (written) => ({ ...written, confidence: null, finish: await ended }));
        answer.catch(() => {});
        return {
          answer,
          async *[Symbol.asyncIterator]() {
            let finish: 'eos' | 'cancelled' = 'cancelled';
            try {
              for (const word of (await whole).text.match(/\S+\s*/g) ?? []) yield word;
              finish = 'eos';
            } finally {
              end(finish);
            }
          },
        };
      },
      dispose: async () => {
        if (call.disposed) throw new Error('disposed twice');
        call.disposed = true;
        this.views--;
      },
    };
  }

  private async work(ms: number, { signal, deadlineMs = Number.POSITIVE_INFINITY }: CallOptions): Promise<void> {
    signal?.throwIfAborted();
    const limit = this.deaf ? Number.POSITIVE_INFINITY : deadlineMs;
    this.running++;
    try {
      await new Promise<void>((resolve, reject) => {
        const timer = setTimeout(
          () => {
            signal?.removeEventListener('abort', abort);
            if (ms <= limit) resolve();
            else reject(new MiphaError('ERR_DEADLINE', 'too late', { details: { deadlineMs } }));
          },
          Math.min(ms, limit),
        );
        const abort = () => {
          clearTimeout(timer);
          reject(signal?.reason);
        };
        signal?.addEventListener('abort', abort, { once: true });
      });
    } finally {
      this.running--;
    }
  }
}

export function spec(overrides: Partial<z.input<typeof watchSpecSchema>> = {}): WatchSpec {
  return watchSpecSchema.parse({ camera: 'kitchen', question: 'Is the lamp on?', interval_ms: 0, ...overrides });
}

/** A small picture of one brightness. */
export function blank(level: number, width = 16, height = 16): Picture {
  return { width, height, format: 'gray', data: new Uint8Array(width * height).fill(level) };
}

/** A room with light and dark parts, edges and fine texture; nothing at the ends of the scale but a window that is burnt out. */
export function room(width: number, height: number, format: 'rgb' | 'gray', seed = 1): Picture {
  const rand = random(seed);
  const channels = format === 'rgb' ? 3 : 1;
  const data = new Uint8Array(width * height * channels);
  const patches = Array.from({ length: 24 }, () => ({
    x: rand() * width,
    y: rand() * height,
    w: (rand() * width) / 3,
    h: (rand() * height) / 3,
    by: (rand() - 0.5) * 90,
  }));
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      let level = 60 + (80 * x) / width + (30 * y) / height + (((x >> 1) + (y >> 1)) % 2) * 8;
      for (const { x: left, y: top, w, h, by } of patches) if (x >= left && x < left + w && y >= top && y < top + h) level += by;
      const window = x > width * 0.75 && x < width * 0.85 && y > height * 0.1 && y < height * 0.3;
      for (let channel = 0; channel < channels; channel++) {
        data[(y * width + x) * channels + channel] = window ? 255 : Math.min(230, Math.max(10, level - channel * 12));
      }
    }
  }
  return { width, height, format, data };
}

/** Every sample times `gain`. */
export function exposed(picture: Picture, gain: number): Picture {
  return { ...picture, data: picture.data.map((value) => Math.min(255, Math.round(value * gain))) };
}

/** A rectangle painted over, in fractions of the sides. */
export function painted(
  picture: Picture,
  at: { x: number; y: number; width: number; height: number },
  level: number | [number, number, number],
): Picture {
  const { width, height, format } = picture;
  const channels = format === 'rgb' ? 3 : 1;
  const color = typeof level === 'number' ? [level, level, level] : level;
  const data = picture.data.slice();
  for (let y = Math.round(at.y * height); y < Math.round((at.y + at.height) * height); y++) {
    for (let x = Math.round(at.x * width); x < Math.round((at.x + at.width) * width); x++) {
      for (let channel = 0; channel < channels; channel++) data[(y * width + x) * channels + channel] = color[channel] as number;
    }
  }
  return { ...picture, data };
}

/** Adds noise of a normal distribution, other noise at every call. */
export function noisy(sigma: number, seed = 7): (picture: Picture) => Picture {
  const rand = random(seed);
  const table = Int8Array.from({ length: 1 << 20 }, () => Math.round(Math.sqrt(-2 * Math.log(1 - rand())) * Math.cos(2 * Math.PI * rand()) * sigma));
  return (picture) => {
    const shift = Math.floor(rand() * table.length);
    const data = new Uint8ClampedArray(picture.data.length);
    for (let i = 0; i < data.length; i++) data[i] = (picture.data[i] as number) + (table[(i + shift) & (table.length - 1)] as number);
    return { ...picture, data: new Uint8Array(data.buffer) };
  };
}
