/** One look, and every question that is due about it, asked in the same tick so that the engine answers them as one batch. */
import type { Frame } from '../camera/frame.js';
import { MiphaError } from '../errors.js';
import type { Clock } from './clock.js';
import type { Eyes, Sight } from './outcome.js';
import { type Part, pictureOf } from './part.js';
import type { Inquiry } from './watch.js';

/**
 * Never rejects, and settles when nothing is under way any more: false when the engine has been disposed. Answers and errors go to the watches.
 * `besides`: what an answer makes others want to know of the same view.
 */
export async function round(
  eyes: Eyes,
  clock: Clock,
  frame: Frame,
  part: Part,
  inquiries: readonly Inquiry[],
  besides: () => readonly Inquiry[],
): Promise<boolean> {
  const beganMs = clock.now();
  const letGo = frame.hold?.(); // until everybody has told what came of it: an event may want the picture
  try {
    const seen = await look(eyes, clock, frame, part, inquiries);
    const asked = await Promise.all(inquiries.map((inquiry) => askAll(seen, clock, inquiry, beganMs, besides)));
    await seen.dispose().catch(() => {}); // only an engine that is gone, and the view with it
    return asked.every(Boolean);
  } catch (error) {
    return inquiries.map((inquiry) => failed(inquiry, error)).every(Boolean); // the look failed: asking never rejects
  } finally {
    letGo?.();
  }
}

/** Cancelled only when none of the questions is of use any more. */
async function look(eyes: Eyes, clock: Clock, frame: Frame, part: Part, inquiries: readonly Inquiry[]): Promise<Sight> {
  const controller = new AbortController();
  const release = () => {
    if (inquiries.every(({ signal }) => signal.aborted)) controller.abort();
  };
  for (const { signal } of inquiries) signal.addEventListener('abort', release, { once: true });
  try {
    release();
    return await eyes.look(pictureOf(frame, part), {
      signal: controller.signal,
      deadlineMs: left(clock, Math.max(...inquiries.map(({ deadlineMs }) => deadlineMs))),
      priority: Math.max(...inquiries.map(({ watch }) => watch.spec.priority)),
    });
  } finally {
    for (const { signal } of inquiries) signal.removeEventListener('abort', release);
  }
}

/** And the second question, where the answer brings one up, and those of others: the view is still there. */
async function askAll(seen: Sight, clock: Clock, inquiry: Inquiry, beganMs: number, besides: () => readonly Inquiry[]): Promise<boolean> {
  const asked = await ask(seen, clock, inquiry, beganMs);
  const second = asked ? inquiry.watch.second(inquiry.frame) : null;
  if (!(second === null ? asked : await ask(seen, clock, second, beganMs))) return false;
  const others = await Promise.all(besides().map((other) => askAll(seen, clock, other, beganMs, besides)));
  return others.every(Boolean);
}

async function ask(seen: Sight, clock: Clock, inquiry: Inquiry, beganMs: number): Promise<boolean> {
  const { watch, signal, deadlineMs, question, as } = inquiry;
  if (signal.aborted) return true;
  try {
    const answer = await seen.ask(question, { as, signal, deadlineMs: left(clock, deadlineMs), priority: watch.spec.priority });
    left(clock, deadlineMs);
    if (!signal.aborted) inquiry.succeed(seen, answer, beganMs);
    return true;
  } catch (error) {
    return failed(inquiry, error);
  }
}

/** False when it failed because there is no engine any more, which is nothing that its watch should report. */
function failed(inquiry: Inquiry, error: unknown): boolean {
  if (error instanceof MiphaError && error.code === 'ERR_DISPOSED') return false;
  if (!inquiry.signal.aborted) inquiry.fail(error);
  return true;
}

/** Milliseconds until then. Throws ERR_DEADLINE when there are none. */
function left(clock: Clock, deadlineMs: number): number {
  const ms = deadlineMs - clock.now();
  if (ms > 0) return ms;
  throw new MiphaError('ERR_DEADLINE', 'The answer would have expired before it came', { details: { lateMs: -ms } });
}
