import { getEventListeners } from 'node:events';
import { describe, expect, it, vi } from 'vitest';
import type { Frame } from '../../src/camera/frame.js';
import { Mailbox } from '../../src/camera/mailbox.js';
import { FrameSlot } from '../../src/camera/slot.js';
import { gray } from './support.js';

const frame = (n: number): Frame => ({ ...gray(n), id: `c-${n}`, monotonicMs: n, at: new Date(n), content: n });

describe('FrameSlot', () => {
  it('holds the newest frame, and counts those that nobody had looked at', () => {
    const slot = new FrameSlot();
    expect(slot.newest()).toBeUndefined();
    for (const n of [1, 2, 3]) slot.put(frame(n));
    expect([slot.newest()?.id, slot.newest()?.id, slot.superseded]).toEqual(['c-3', 'c-3', 2]);
    slot.put(frame(4));
    expect(slot.superseded).toBe(2);
    slot.put(frame(5));
    expect(slot.superseded).toBe(3);
  });

  it('waits for a frame that is another one', async () => {
    const slot = new FrameSlot();
    const first = slot.next();
    slot.put(frame(1));
    const seen = await first;
    expect(seen.id).toBe('c-1');
    expect(await slot.next()).toBe(seen);
    const second = slot.next(seen);
    const third = slot.next(seen); // any number may wait
    slot.put(frame(2));
    slot.put(frame(3));
    expect([(await second).id, (await third).id]).toEqual(['c-3', 'c-3']);
  });

  it('ends a wait by a signal and forgets it', async () => {
    const slot = new FrameSlot();
    const controller = new AbortController();
    const waiting = slot.next(undefined, controller.signal);
    controller.abort(new Error('enough'));
    await expect(waiting).rejects.toThrow('enough');
    await expect(slot.next(undefined, controller.signal)).rejects.toThrow('enough');
    const fresh = new AbortController();
    const delivered = slot.next(undefined, fresh.signal);
    slot.put(frame(1));
    await delivered;
    expect(getEventListeners(fresh.signal, 'abort')).toEqual([]);
  });
});

describe('Mailbox', () => {
  it('gives the newest item, tells of the others, and ends', async () => {
    const dropped = vi.fn();
    const box = new Mailbox<number>(dropped);
    box.put(1);
    box.put(2);
    box.close();
    expect([await box.take(), await box.take(), dropped.mock.calls.length]).toEqual([2, undefined, 1]);
  });

  it('gives what came before an error first', async () => {
    const box = new Mailbox<number>(() => undefined);
    const taken = box.take();
    box.put(1);
    box.close({ error: new Error('lost') });
    box.close();
    expect(await taken).toBe(1);
    await expect(box.take()).rejects.toThrow('lost');
  });
});
