/**
 * One model in the place of another, with the old one serving as long as the memory allows: beside it where both fit, else in its turn, and the old one
 * brought back when the new one fails. `commit` is the step after which a start takes the new one.
 */
import { MiphaError } from '../errors.js';
import type { Way } from './state.js';

export interface Disposable {
  dispose(): Promise<void>;
}

/** Where the model sits. */
export interface Seat<M extends Disposable> {
  /** Loads a package and tests it; undefined: that of the configuration. Throws ERR_MEMORY, before it takes any, where it does not fit beside the present one. */
  load(folder: string | undefined, signal: AbortSignal): Promise<M>;
  /** Resolves when nothing is under way; nothing begins until what it returns is called. */
  hold(): Promise<() => void>;
  /** Seats a model, or none, and gives the one before back. */
  put(model: M | null): M | null;
  /** There is none, and none can be had: the node cannot go on. */
  failed(error: unknown): void;
}

export interface Exchange<M> {
  from: string | undefined; // folders
  to: string | undefined;
  /** Throws when the new one must not serve. */
  check(model: M): Promise<void>;
  commit(way: Way): Promise<void>;
  signal: AbortSignal;
}

export async function exchange<M extends Disposable>(seat: Seat<M>, plan: Exchange<M>): Promise<Way> {
  let fresh: M;
  try {
    fresh = await seat.load(plan.to, plan.signal);
  } catch (error) {
    if (!(error instanceof MiphaError) || error.code !== 'ERR_MEMORY') throw error;
    return await inTurn(seat, plan);
  }
  return await beside(seat, plan, fresh);
}

async function beside<M extends Disposable>(seat: Seat<M>, { check, commit }: Exchange<M>, fresh: M): Promise<Way> {
  try {
    await check(fresh);
    await commit('beside');
  } catch (error) {
    await fresh.dispose();
    throw error;
  }
  const release = await seat.hold();
  const old = seat.put(fresh);
  release();
  await old?.dispose();
  return 'beside';
}

async function inTurn<M extends Disposable>(seat: Seat<M>, { from, to, check, commit, signal }: Exchange<M>): Promise<Way> {
  const release = await seat.hold();
  try {
    await seat.put(null)?.dispose();
    let fresh: M | null = null;
    try {
      fresh = await seat.load(to, signal);
      await check(fresh);
      await commit('in_turn');
      seat.put(fresh);
      return 'in_turn';
    } catch (error) {
      await fresh?.dispose();
      await bringBack(seat, from, signal);
      throw error;
    }
  } finally {
    release();
  }
}

async function bringBack<M extends Disposable>(seat: Seat<M>, folder: string | undefined, signal: AbortSignal): Promise<void> {
  try {
    seat.put(await seat.load(folder, signal));
  } catch (error) {
    if (!signal.aborted) seat.failed(error);
  }
}
