/** AbortSignals that many calls share: one listener on each, however many calls there are, and nothing left behind by those that have ended. */

interface Listeners {
  runs: Set<{ run: () => void }>;
  abort: () => void;
}

const listening = new WeakMap<AbortSignal, Listeners>();

/** Calls `run` when `signal` aborts, at once where it has; returns how to stop waiting for it. `run` must not throw. */
export function onAbort(signal: AbortSignal | undefined, run: () => void): () => void {
  if (signal === undefined) return () => {};
  if (signal.aborted) {
    run();
    return () => {};
  }
  const { runs, abort } = listening.get(signal) ?? listen(signal);
  const entry = { run };
  runs.add(entry);
  return () => {
    runs.delete(entry);
    if (runs.size > 0 || listening.get(signal)?.runs !== runs) return;
    signal.removeEventListener('abort', abort);
    listening.delete(signal);
  };
}

function listen(signal: AbortSignal): Listeners {
  const runs: Listeners['runs'] = new Set();
  const abort = () => {
    listening.delete(signal);
    for (const { run } of [...runs]) run();
  };
  const listeners = { runs, abort };
  listening.set(signal, listeners);
  signal.addEventListener('abort', abort, { once: true });
  return listeners;
}

/** A controller that aborts when `signal` does, with its reason, until `unlink` is called. What AbortSignal.any() makes would stay with `signal` for good. */
export function following(signal: AbortSignal | undefined): { controller: AbortController; unlink: () => void } {
  const controller = new AbortController();
  return { controller, unlink: onAbort(signal, () => controller.abort(signal?.reason)) };
}
