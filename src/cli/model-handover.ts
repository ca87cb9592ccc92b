/** Telling a node that runs that another model is to serve: SIGHUP, as for its configuration; and waiting for what it says. */
import { setTimeout as pause } from 'node:timers/promises';
import { holderOf } from '../lock.js';
import type { ModelsFolder } from '../update/models-folder.js';
import type { ModelsState, Outcome } from '../update/state.js';

export interface Handover {
  /** told: it has not said in time what came of it. not told: it belongs to another user. */
  state: 'not running' | 'told' | 'not told' | 'done';
  /** What came of it, where it was waited for. */
  outcome: Outcome | null;
}

/** Loading a large model takes minutes on a small board. */
const WAIT_MS = 600_000;
const LOOK_MS = 200;

export async function handOver(
  models: ModelsFolder,
  stateDir: string,
  since: string,
  signal: AbortSignal,
  isDone: ((state: ModelsState) => boolean) | null, // null: it is not waited for
): Promise<Handover> {
  const pid = await holderOf(stateDir);
  if (pid === null) return { state: 'not running', outcome: null };
  try {
    process.kill(pid, 'SIGHUP');
  } catch {
    return { state: 'not told', outcome: null };
  }
  if (isDone === null) return { state: 'told', outcome: null };
  for (const end = performance.now() + WAIT_MS; performance.now() < end; ) {
    const state = await models.state();
    if (isDone(state)) return { state: 'done', outcome: state.last !== null && state.last.at >= since ? state.last : null };
    if ((await holderOf(stateDir)) === null) return { state: 'not running', outcome: null };
    await pause(LOOK_MS, undefined, { signal });
  }
  return { state: 'told', outcome: null };
}
