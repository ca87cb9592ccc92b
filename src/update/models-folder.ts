/** The models folder of a node, `<state_dir>/models`: a folder per installed release, and which of them serves. */
import { readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { makeFolder } from '../make-folder.js';
import { giveToOwner, reasonOf } from '../state-files.js';
import { type BringOptions, bring, INCOMING, isFolder } from './bring.js';
import { lockIncoming } from './incoming-lock.js';
import { type Release, releaseIn } from './release.js';
import type { Source } from './source.js';
import { changeState, failedWith, GONE, type ModelsState, NOTHING_INSTALLED, type Outcome, readState, removeWhole } from './state.js';

/** What serves. */
export interface Serving {
  /** Of the package; undefined: that of the configuration. */
  folder: string | undefined;
  release: Release | null;
}

export interface Begun extends Serving {
  state: ModelsState;
  /** Why it is not what was installed; null: it is. */
  note: string | null;
  /** Nobody asked for that. */
  byItself: boolean;
}

/** Starts in a row that did not outlive the trial. */
const MOST_STARTS = 3;
/** What was not fetched to its end is given up after so long. */
const INCOMING_DAYS = 7;

export class ModelsFolder {
  constructor(
    readonly path: string,
    /** `model.folder` of the configuration; null: it names none. */
    private readonly base: string | null,
    readonly keys: readonly string[],
    private readonly onWarning: (message: string) => void = () => {},
  ) {}

  /** At a start: takes away what a cut left, and says what is to serve. */
  async begin(): Promise<Begun> {
    await this.prepare().catch((error: unknown) => this.onWarning(`${this.path} cannot be made: ${reasonOf(error)}`)); // a full disk
    await this.clean();
    const state = await readState(this.path, this.onWarning);
    if (state.active === null) return { folder: undefined, release: null, state, note: null, byItself: false };
    if (state.base !== this.base) {
      const note = `the configuration names another package than when ${state.last?.release ?? 'a release'} was installed, and that serves`;
      return {
        folder: undefined,
        release: null,
        state: await this.remember(() => ({ ...NOTHING_INSTALLED, last: state.last })),
        note,
        byItself: false,
      };
    }
    if (state.trial !== null && state.trial.starts >= MOST_STARTS) {
      return await this.fallBack(`${MOST_STARTS} starts in a row did not outlive its trial`);
    }
    try {
      const release = await releaseIn(join(this.path, state.active), this.keys);
      return { folder: join(this.path, release.id), release, state: await this.countStart((starts) => starts + 1), note: null, byItself: false };
    } catch (error) {
      return await this.fallBack((error as Error).message);
    }
  }

  /** The active one cannot serve: the one before does, or the configuration's. */
  async fallBack(reason: string): Promise<Begun> {
    const { active, previous, last } = await readState(this.path);
    const known = active === null ? null : await releaseIn(join(this.path, active), this.keys).catch(() => null);
    const name = known?.release ?? last?.release ?? 'The installed release';
    const note = `${name} was taken back: ${reason}`;
    const release = previous === null ? null : await releaseIn(join(this.path, previous), this.keys).catch(() => null);
    const state = await this.remember((now) => ({
      ...rolledBack(now, outcomeOf('rolled_back', name, note, null, true), true),
      active: release?.id ?? null,
    }));
    return { folder: release === null ? undefined : join(this.path, release.id), release, state, note, byItself: true };
  }

  /** An orderly end: nothing about the one on trial has been wrong. */
  async end(): Promise<void> {
    await this.countStart(() => 0);
  }

  private async countStart(count: (starts: number) => number): Promise<ModelsState> {
    return await this.remember((state) =>
      state.trial === null ? state : { ...state, trial: { ...state.trial, starts: count(state.trial.starts) } },
    );
  }

  /** A disk that is full must not keep a node from starting: then it is decided anew at the next start. */
  private async remember(change: (state: ModelsState) => ModelsState): Promise<ModelsState> {
    try {
      return await this.change(change);
    } catch (error) {
      this.onWarning(`${this.path} cannot be written: ${reasonOf(error)}`);
      return change(await this.state());
    }
  }

  /** Makes the folder. Of a command of root's it belongs to whom the state folder belongs to. */
  async prepare(): Promise<void> {
    if (await isFolder(this.path)) return;
    await makeFolder(this.path, 0o700);
    await giveToOwner(this.path);
  }

  async state(): Promise<ModelsState> {
    return await readState(this.path, this.onWarning);
  }

  /** Throws what the disk says. */
  async change(change: (state: ModelsState) => ModelsState): Promise<ModelsState> {
    return await changeState(this.path, change);
  }

  /** From now on this release serves: the one step after which a start takes it. */
  async install({ id }: Release, outcome: Outcome, usualMs: number | null): Promise<ModelsState> {
    return await this.change((state) => ({
      ...state,
      base: this.base,
      active: id,
      previous: state.base === this.base ? state.active : null,
      trial: { since: outcome.at, starts: 0, usualMs },
      wanted: null,
      failed: state.failed.filter((one) => one !== id),
      last: outcome,
    }));
  }

  /** From now on what served before serves. `failed`: what served now is not offered again. */
  async rollBack(outcome: Outcome, failed: boolean): Promise<ModelsState> {
    return await this.change((state) => rolledBack(state, outcome, failed));
  }

  /** Whole, on the disk, and not serving yet. One at a time over all processes: ERR_BUSY. */
  async bring(source: Source, release: Release, options: BringOptions): Promise<string> {
    await this.prepare();
    const { release: unlock } = await lockIncoming(this.path);
    try {
      for (const name of await this.names(INCOMING))
        if (name !== `${INCOMING}${release.id}`) await rm(join(this.path, name), { recursive: true, force: true });
      return await bring(this.path, source, release, options);
    } finally {
      await unlock();
    }
  }

  /** The package of an id; null for the configuration's. */
  async serving(id: string | null): Promise<Serving> {
    if (id === null) return { folder: undefined, release: null };
    const folder = join(this.path, id);
    return { folder, release: await releaseIn(folder, this.keys) };
  }

  /** Every release that is here whole, and whether a key vouches for it still. */
  async list(): Promise<{ id: string; release: Release | null; problem: string | null }[]> {
    const ids = (await this.names('')).filter((name) => /^[0-9a-f]{16}$/.test(name));
    return await Promise.all(
      ids.map(async (id) => {
        try {
          return { id, release: await releaseIn(join(this.path, id), this.keys), problem: null };
        } catch (error) {
          return { id, release: null, problem: (error as Error).message };
        }
      }),
    );
  }

  /** Removes what neither serves, nor would by a rollback, nor waits to be taken up; and what was not fetched to its end. The ids and names that went. */
  async prune(): Promise<string[]> {
    const { release: unlock } = await lockIncoming(this.path);
    try {
      const { active, previous, wanted } = await this.state();
      const kept: (string | null)[] = [active, previous, wanted];
      const ids = (await this.names('')).filter((name) => /^[0-9a-f]{16}$/.test(name) && !kept.includes(name));
      const incoming = await this.names(INCOMING);
      for (const name of [...ids, ...incoming]) await removeWhole(this.path, name);
      return [...ids, ...incoming];
    } finally {
      await unlock();
    }
  }

  private async clean(): Promise<void> {
    for (const name of await this.names(GONE)) await rm(join(this.path, name), { recursive: true, force: true });
    const oldest = Date.now() - INCOMING_DAYS * 86_400_000;
    for (const name of await this.names(INCOMING)) {
      const { mtimeMs } = await stat(join(this.path, name)).catch(() => ({ mtimeMs: 0 }));
      if (mtimeMs < oldest) await rm(join(this.path, name), { recursive: true, force: true });
    }
    const { wanted } = await readState(this.path, this.onWarning);
    if (wanted !== null && !(await isFolder(join(this.path, wanted)))) await this.remember((state) => ({ ...state, wanted: null }));
  }

  private async names(prefix: string): Promise<string[]> {
    const names = await readdir(this.path).catch(() => [] as string[]);
    return names.filter((name) => name.startsWith(prefix)).sort();
  }
}

export function outcomeOf(outcome: Outcome['outcome'], release: string, message: string, way: Outcome['way'], byItself = false): Outcome {
  return { outcome, release, at: new Date().toISOString(), message, way, by_itself: byItself };
}

function rolledBack(state: ModelsState, outcome: Outcome, failed: boolean): ModelsState {
  const { active, previous } = state;
  return {
    ...state,
    active: previous,
    previous: null,
    trial: null,
    wanted: null,
    failed: failedWith(state.failed, failed ? active : null),
    last: outcome,
  };
}
