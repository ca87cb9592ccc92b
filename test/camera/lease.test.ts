import { describe, expect, it } from 'vitest';
import { Camera } from '../../src/camera/camera.js';
import type { Frame, Picture, Source } from '../../src/camera/frame.js';
import { BufferPool, Lease } from '../../src/camera/lease.js';
import { openSource } from '../../src/camera/source.js';
import { describeWith } from '../support/programs.js';
import { until } from './support.js';

describe('a lease', () => {
  it('ends when the frame is old and nobody holds it any more, once', () => {
    let given = 0;
    const lease = new Lease(() => given++);
    const [first, second] = [lease.hold(), lease.hold()];
    first();
    first();
    lease.retire();
    expect(given).toBe(0);
    second();
    expect(given).toBe(1);
    lease.hold()();
    lease.retire();
    expect(given).toBe(1);
  });
});

describe('a pool', () => {
  it('gives the same memory for the same size, forgets other sizes, and stays small', () => {
    const pool = new BufferPool();
    const first = pool.take(100);
    pool.give(first);
    expect(pool.take(100)).toBe(first);
    pool.give(first);
    const other = pool.take(200);
    expect(other).toHaveLength(200);
    expect(pool.take(100)).not.toBe(first);
    const many = Array.from({ length: 10 }, () => pool.take(300));
    for (const buffer of many) pool.give(buffer);
    const again = Array.from({ length: 10 }, () => pool.take(300));
    expect(again.filter((buffer) => many.includes(buffer))).toHaveLength(4);
  });
});

describe('a camera', () => {
  /** Pictures of one byte each, 1, 2, 3 ... when told; `given` lists those whose memory came back. */
  function hand() {
    const given: number[] = [];
    let push: (picture: Picture) => void = () => {};
    const waiting: Picture[] = [];
    const source: Source = {
      name: 'hand',
      async *open(signal) {
        while (!signal.aborted) {
          while (waiting.length > 0) yield waiting.shift() as Picture;
          await new Promise<void>((resolve) => {
            push = (picture) => {
              waiting.push(picture);
              resolve();
            };
            signal.addEventListener('abort', () => resolve(), { once: true });
          });
        }
      },
    };
    const show = (value: number) => push({ width: 1, height: 1, format: 'gray', data: Uint8Array.of(value), giveBack: () => given.push(value) });
    return { source, show, given };
  }

  it('gives back what is neither the newest nor held', async () => {
    const { source, show, given } = hand();
    const camera = new Camera({ id: 'hand', source, stallMs: 60_000, frozenMs: 0 });
    camera.start();
    const frames: Frame[] = [];
    camera.on('frame', (frame) => frames.push(frame));
    const next = async (value: number) => {
      show(value);
      await until('the frame', () => frames.at(-1)?.data[0] === value);
    };
    await new Promise((done) => setTimeout(done, 20));
    await next(1);
    await next(2);
    expect(given).toEqual([1]);
    const letGo = frames.at(-1)?.hold?.();
    await next(3);
    await next(4);
    expect(given).toEqual([1, 3]); // 2 is held, 4 is the newest
    letGo?.();
    expect(given).toEqual([1, 3, 2]);
    await camera.stop();
    expect(camera.slot.newest()?.data[0]).toBe(4);
    expect(given).toEqual([1, 3, 2]);
  });
});

describeWith(['gstreamer'], 'frames of a child process', () => {
  it('keep their pixels while they are held, and use few buffers when they are not', async () => {
    const uri = 'gst:videotestsrc is-live=true pattern=snow ! video/x-raw,width=160,height=120,framerate=60/1';
    const camera = new Camera({ id: 'snow', source: openSource(uri, { sidePx: 160 }), stallMs: 5000, frozenMs: 0 });
    const held: { frame: Frame; copy: Buffer }[] = [];
    const buffers = new Set<ArrayBufferLike>();
    let seen = 0;
    camera.on('frame', (frame) => {
      seen++;
      if (held.length < 5) {
        frame.hold?.();
        held.push({ frame, copy: Buffer.from(frame.data) });
      } else buffers.add(frame.data.buffer);
    });
    camera.start();
    try {
      await until('a hundred frames', () => seen >= 100);
      for (const { frame, copy } of held) expect(copy.equals(frame.data)).toBe(true);
      expect(buffers.size).toBeLessThanOrEqual(8);
    } finally {
      await camera.stop();
    }
  });
});
