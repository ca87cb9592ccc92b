/** What is left of the engine: nothing while somebody uses it, and it is given back before they begin. */
import { expect, it } from 'vitest';
import { Spare } from '../../src/watch/spare.js';
import { Usage } from '../../src/watch/usage.js';
import { counts } from '../support/counts.js';
import { sleep } from '../support/mosquitto.js';
import { Random } from '../support/random.js';

const never = () => new AbortController().signal;

/** Work of so many milliseconds that lets go when it is told to. */
async function work(ms: number, signal: AbortSignal | undefined, onBusy: (is: boolean) => void): Promise<string> {
  onBusy(true);
  try {
    for (const end = performance.now() + ms; performance.now() < end; await sleep(1)) signal?.throwIfAborted();
    return 'done';
  } finally {
    onBusy(false);
  }
}

it('lets work end that nobody disturbs, whatever it throws', async () => {
  const spare = new Spare(new Usage());
  expect(await spare.run(async () => 3, never())).toBe(3);
  await expect(spare.run(async () => Promise.reject(new Error('no')), never())).rejects.toThrow('no');
});

it('tells the work before others begin, and begins anew until it was left alone', async () => {
  const random = new Random(5);
  const usage = new Usage();
  const spare = new Spare(usage);
  for (let round = 0; round < counts(3, 40); round++) {
    let begun = 0;
    let told = true; // whoever is at work knows that somebody came
    const wrong: string[] = [];
    const done = spare.run(async ({ signal, priority }) => {
      begun++;
      expect(priority).toBe(-1000);
      signal?.addEventListener('abort', () => (told = true));
      return await work(25, signal, (is) => (told = !is));
    }, never());
    for (let others = random.below(6); others > 0; others--) {
      await sleep(random.below(60));
      await usage.during(async () => {
        if (!told) wrong.push('somebody came and it was not told');
        await sleep(random.below(10));
        if (!told) wrong.push('it began while somebody was there');
      });
    }
    expect(await done).toBe('done');
    expect({ wrong, begun: begun > 0 }).toEqual({ wrong: [], begun: true });
  }
});

it('waits for the last of several, rejects with the reason of the caller, and gives up when there is never time', async () => {
  const usage = new Usage();
  const spare = new Spare(usage, 150);
  let begun = false;
  const abort = new AbortController();
  const both = Promise.all([usage.during(() => sleep(30)), usage.during(() => sleep(60))]);
  const waiting = spare.run(async () => (begun = true), abort.signal);
  await sleep(45);
  expect(begun).toBe(false);
  abort.abort(new Error('gone'));
  await expect(waiting).rejects.toThrow('gone');
  await both;
  const busy = usage.during(() => sleep(400));
  await expect(spare.run(async () => (begun = true), never())).rejects.toMatchObject({
    code: 'ERR_DEADLINE',
    message: expect.stringMatching(/no time/),
  });
  await busy;
  expect(begun).toBe(false);
});
