import { describe, expect, it } from 'vitest';
import type { Frame } from '../../src/camera/frame.js';
import { SeenFrames } from '../../src/service/page/seen-frames.js';
import { type Jpeg, JpegMaker } from '../../src/service/publish/jpeg-maker.js';

/** Frames of one shade each, so that a picture tells whose it is; `held` are those that somebody holds. */
function film() {
  const held = new Set<string>();
  let number = 0;
  const frame = (camera = 'front', side = 32): Frame => {
    const id = `${camera}-${++number}`;
    const data = new Uint8Array(side * side * 3).fill(number % 256);
    const hold = () => {
      held.add(id);
      return () => held.delete(id);
    };
    return { id, at: new Date(), monotonicMs: 0, width: side, height: side, format: 'rgb', data, content: number, hold };
  };
  return { frame, held };
}

function subject({ shown = () => true, read = true }: { shown?: (camera: string) => boolean; read?: boolean } = {}) {
  let encoded = 0;
  const encode = async ({ data, width, height }: Pick<Frame, 'data' | 'width' | 'height'>): Promise<Jpeg> => {
    encoded++;
    return { data: Buffer.from(`shade ${data[0]}`), width, height };
  };
  const faults: unknown[] = [];
  const frames = new SeenFrames({ isShown: shown, isRead: () => read, onFault: (_, error) => faults.push(error), maker: new JpegMaker(encode) });
  return { frames, faults, encoded: () => encoded };
}

describe('frames that answers name', () => {
  it('are encoded when they are asked for, once, and their pixels are let go', async () => {
    const { frame, held } = film();
    const { frames, encoded } = subject();
    const one = frame();
    frames.seen('front', one);
    frames.seen('front', one); // another watch looks at it too
    expect([encoded(), [...held]]).toEqual([0, ['front-1']]);
    const both = await Promise.all([frames.jpeg('front', 'front-1'), frames.jpeg('front', 'front-1')]);
    expect(both.map(String)).toEqual(['shade 1', 'shade 1']);
    expect([encoded(), held.size]).toEqual([1, 0]);
    expect(await frames.jpeg('back', 'front-1')).toBeNull();
    expect(await frames.jpeg('front', 'front-2')).toBeNull();
  });

  it('are few of each camera, one where nobody looks, and those of events besides', async () => {
    for (const [read, most] of [
      [true, 6],
      [false, 1],
    ] as const) {
      const { frame, held } = film();
      const { frames } = subject({ read });
      for (let i = 0; i < 20; i++) frames.seen('front', frame());
      frames.seen('back', frame('back'));
      expect(held.size).toBe(most + 1);
      frames.keep('front-20');
      for (let i = 0; i < 20; i++) frames.seen('front', frame());
      expect(String(await frames.jpeg('front', 'front-20'))).toBe('shade 20');
      expect(await frames.jpeg('front', 'front-19')).toBeNull();
    }
  });

  it('take bounded memory, whatever their size and number', () => {
    const { frame, held } = film();
    const { frames } = subject();
    for (let i = 0; i < 40; i++) {
      const one = frame('front', 2048); // 12 MiB
      frames.seen('front', one);
      frames.keep(one.id);
    }
    expect(held.size).toBe(4);
    for (let i = 0; i < 200; i++) {
      const one = frame('front', 8);
      frames.seen('front', one);
      frames.keep(one.id);
    }
    expect(held.size).toBe(64);
    frames.clear();
    expect(held.size).toBe(0);
  });

  it('are never shown after pictures or privacy of their camera changed, also not while they are being encoded', async () => {
    const { frame, held } = film();
    let images = true;
    const { frames } = subject({ shown: () => images });
    frames.seen('front', frame());
    frames.seen('back', frame('back'));
    const early = frames.jpeg('front', 'front-1');
    frames.withdraw(['front']);
    expect(await early).toBeNull();
    expect(await frames.jpeg('front', 'front-1')).toBeNull();
    expect(String(await frames.jpeg('back', 'back-2'))).toBe('shade 2');
    images = false;
    expect(await frames.jpeg('back', 'back-2')).toBeNull();
    frames.seen('back', frame('back'));
    images = true;
    expect(await frames.jpeg('back', 'back-3')).toBeNull();
    expect(held.size).toBe(0);
  });

  it('that cannot be encoded are none, and that is told', async () => {
    const faults: unknown[] = [];
    const maker = {
      make: async () => {
        throw new Error('broken');
      },
    };
    const frames = new SeenFrames({ isShown: () => true, isRead: () => true, onFault: (camera) => faults.push(camera), maker });
    frames.seen('front', film().frame());
    expect(await frames.jpeg('front', 'front-1')).toBeNull();
    expect(faults).toEqual(['front']);
  });
});
