/** From a package to an engine that may serve. A backend packs the weights while their sha256 is worked out: both read the same pages, at the same time. */
import { type CallSite, MiphaError } from '../errors.js';
import type { OpenedPackage, OpeningPackage } from '../package/verify.js';
import { following } from '../signals.js';
import { Engine, type EngineOptions } from './engine.js';
import { checkGolden } from './self-test.js';

type OnProgress = EngineOptions['onProgress'];

/** What holds while weights are checked. */
export interface Checking {
  /** Aborted by the caller, and by weights that are not as the manifest says. */
  signal: AbortSignal;
  onProgress: OnProgress;
  /** Rejects where the weights are not as the manifest says. */
  checked: Promise<void>;
}

/**
 * Checks the weights while `load` has something done with them. The first that fails ends the other; nothing goes on when this settles. A backend that
 * finds the weights malformed has seen a symptom: whether the file is damaged is waited for, and said instead.
 */
export async function loadWhileChecking<T>(
  opening: OpeningPackage,
  options: { signal?: AbortSignal | undefined; onProgress: OnProgress },
  load: (during: Checking) => Promise<T>,
): Promise<T> {
  const { controller, unlink } = following(options.signal);
  const { onProgress, open } = inTurn(options.onProgress);
  const checked = opening.checkWeights(controller.signal).then(open);
  checked.catch((error: unknown) => controller.abort(error));
  try {
    return await load({ signal: controller.signal, onProgress, checked });
  } catch (error) {
    if (error instanceof MiphaError && error.code === 'ERR_MODEL_FORMAT') await checked;
    controller.abort(error);
    await checked.catch(() => {});
    throw error;
  } finally {
    unlink();
  }
}

/** An engine of a whole package that has reproduced its golden answer. */
export async function openChecked(
  opened: OpenedPackage,
  { signal, onProgress, checked }: Checking,
  options: Omit<EngineOptions, 'signal' | 'onProgress'>,
  site: CallSite,
): Promise<Engine> {
  const engine = await Engine.open(opened, { ...options, onProgress, signal }, site);
  try {
    await checked;
    onProgress('self-test', 0);
    await checkGolden(engine, opened, signal);
    signal.throwIfAborted();
    onProgress('self-test', 1);
    return engine;
  } catch (error) {
    await engine.dispose();
    throw error;
  }
}

/** Stages follow one another for who is told of them: what happens beside the check is told after it. */
function inTurn(told: OnProgress): { onProgress: OnProgress; open: () => void } {
  let waiting: Parameters<OnProgress>[] | undefined = [];
  return {
    onProgress: (...step) => {
      if (waiting === undefined) told(...step);
      else waiting.push(step);
    },
    open: () => {
      const steps = waiting ?? [];
      waiting = undefined;
      for (const step of steps) told(...step);
    },
  };
}
