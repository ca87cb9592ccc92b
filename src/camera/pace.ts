/** The beat of a source that makes its own pictures. */

/**
 * Yields 0, 1, 2 … at `fps`, or as fast as read when that is 0, until `signal` aborts. A reader who is late gets the number that is due by now;
 * `onMissed` is told of each one passed over.
 */
export async function* ticks(fps: number, signal: AbortSignal, onMissed: (tick: number) => void): AsyncGenerator<number> {
  const began = performance.now();
  for (let next = 0; !signal.aborted; next++) {
    if (fps > 0) {
      const due = Math.floor(((performance.now() - began) * fps) / 1000);
      for (; next < due; next++) onMissed(next);
      await pause(began + (next * 1000) / fps - performance.now(), signal);
    } else {
      // Sockets and timers must have their turn even where nobody waits.
      await new Promise(setImmediate);
    }
    if (!signal.aborted) yield next;
  }
}

/** Waits, but not beyond the abortion of `signal`. */
export async function pause(ms: number, signal: AbortSignal): Promise<void> {
  if (ms <= 0 || signal.aborted) return;
  await new Promise<void>((resolve) => {
    const end = () => {
      clearTimeout(timer);
      signal.removeEventListener('abort', end);
      resolve();
    };
    const timer = setTimeout(end, ms);
    signal.addEventListener('abort', end);
  });
}
