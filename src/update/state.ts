/** What a models folder remembers: which package serves, what a rollback brings back, whether the present one is still on trial. One small file, replaced whole. */
import { rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { z } from 'zod';
import { MiphaError } from '../errors.js';
import { lock } from '../lock.js';
import { readIfThere, reasonOf, replaceFile, syncFolder } from '../state-files.js';

const STATE_FILE = 'state.json';
const LOCK_ATTEMPTS = 50;
const LOCK_RETRY_MS = 100;
const MOST_FAILED = 16;

const id = z.string().regex(/^[0-9a-f]{16}$/);

export const OUTCOMES = ['installed', 'refused', 'rolled_back'] as const;
/** beside: both models were loaded for a moment. in_turn: the memory held one at a time, so nothing was answered meanwhile. */
export const WAYS = ['beside', 'in_turn'] as const;
export type Way = (typeof WAYS)[number];

const outcomeSchema = z.strictObject({
  outcome: z.enum(OUTCOMES),
  release: z.string(),
  at: z.iso.datetime(),
  message: z.string(),
  way: z.enum(WAYS).nullable(),
  /** A rollback that nobody asked for. */
  by_itself: z.boolean(),
});
export type Outcome = z.infer<typeof outcomeSchema>;

const stateSchema = z.strictObject({
  version: z.literal(1),
  /** `model.folder` of the configuration when it was installed; null: it named none. */
  base: z.string().nullable(),
  /** The package that serves, by the id of its release; null: that of the configuration. */
  active: id.nullable(),
  /** What a rollback brings back. */
  previous: id.nullable(),
  /** The active one has not proved itself yet. `usualMs`: how long the one before usually took for an answer. */
  trial: z.strictObject({ since: z.iso.datetime(), starts: z.int().min(0), usualMs: z.number().nullable() }).nullable(),
  /** Brought by a command, for the node to take up. */
  wanted: id.nullable(),
  /** Those that were taken back: they are not offered again. */
  failed: z.array(id).max(MOST_FAILED),
  last: outcomeSchema.nullable(),
});
export type ModelsState = z.infer<typeof stateSchema>;

export const NOTHING_INSTALLED: ModelsState = {
  version: 1,
  base: null,
  active: null,
  previous: null,
  trial: null,
  wanted: null,
  failed: [],
  last: null,
};

/** A file that cannot be read is set aside, and nothing is installed then. */
export async function readState(folder: string, onWarning: (message: string) => void = () => {}): Promise<ModelsState> {
  const path = join(folder, STATE_FILE);
  try {
    const text = await readIfThere(path);
    return text === null ? NOTHING_INSTALLED : stateSchema.parse(JSON.parse(text));
  } catch (error) {
    await rename(path, `${path}.damaged`).catch(() => {});
    onWarning(
      `${path} is damaged and set aside; the package of the configuration serves: ${error instanceof z.ZodError ? 'wrong fields' : reasonOf(error)}`,
    );
    return NOTHING_INSTALLED;
  }
}

/** One at a time, over all processes. On the disk when it resolves. */
export async function changeState(folder: string, change: (state: ModelsState) => ModelsState): Promise<ModelsState> {
  return await locked(folder, async () => {
    const before = await readState(folder);
    const after = change(before);
    if (after !== before) await replaceFile(folder, STATE_FILE, `${JSON.stringify(after, null, 2)}\n`);
    return after;
  });
}

export function failedWith(failed: readonly string[], more: string | null): string[] {
  return more === null ? [...failed] : [...failed.filter((one) => one !== more), more].slice(-MOST_FAILED);
}

/** Gone at once for whoever looks for packages, whatever happens meanwhile. */
export async function removeWhole(folder: string, name: string): Promise<void> {
  const gone = join(folder, `${GONE}${name.replace(/^\.+/, '')}`);
  await rm(gone, { recursive: true, force: true });
  await rename(join(folder, name), gone);
  await syncFolder(folder);
  await rm(gone, { recursive: true, force: true });
}
export const GONE = '.gone-';

async function locked<T>(folder: string, work: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      const { release } = await lock(folder, 'is changing which model serves');
      return await work().finally(release);
    } catch (error) {
      if (!(error instanceof MiphaError) || error.code !== 'ERR_BUSY' || attempt === LOCK_ATTEMPTS) throw error;
      await pause(LOCK_RETRY_MS);
    }
  }
}
