/** What a node remembers between its lives: the random part of its client id, and the overrides. One process at a time. */
import { randomBytes } from 'node:crypto';
import { rename } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { MiphaError } from '../../errors.js';
import { lock } from '../../lock.js';
import { makeFolder } from '../../make-folder.js';
import { readIfThere, reasonOf, replaceFile, syncFolder } from '../../state-files.js';
import { type ConfigInput, isPlain } from '../config/layers.js';
import { StartRecordFile } from './start-record.js';

const OVERRIDES_FILE = 'overrides.json';
const CLIENT_ID_FILE = 'client-id';
const SUFFIX = /^[0-9a-f]{8}$/;
const LOCK_ATTEMPTS = 20;
const LOCK_RETRY_MS = 100;

const overridesSchema = z.strictObject({
  version: z.literal(1),
  /** A merge patch over the configuration. */
  overrides: z.custom<ConfigInput>(isPlain, 'an object'),
});

export interface StateDirOptions {
  onWarning?: (message: string) => void;
}

/** Without a folder everything is in memory and ends with the process. */
export class StateDir {
  private suffix = newSuffix();
  private kept: ConfigInput = {};
  private suspended = false; // the file has overrides that are not in force
  private aside: string | null = null;
  private writing: Promise<boolean> | null = null;
  private waiting: Promise<boolean> | null = null;
  private unlock: (() => Promise<void>) | null = null;
  private readonly starts: StartRecordFile | null;
  private readonly warn: (message: string) => void;

  constructor(
    readonly folder: string | undefined,
    { onWarning = () => {} }: StateDirOptions = {},
  ) {
    this.warn = onWarning;
    this.starts = folder === undefined ? null : new StartRecordFile(folder);
  }

  /**
   * Makes the folder where it is missing, takes it for this process, and reads what is in it. A damaged file is set aside. Throws ERR_CONFIG when the
   * folder cannot be used, ERR_BUSY when another process has it.
   */
  async open(): Promise<void> {
    const { folder } = this;
    if (folder === undefined) return;
    try {
      await makeFolder(folder, 0o700);
      this.unlock = await this.take(folder);
      this.suffix = await this.readSuffix(folder);
    } catch (cause) {
      if (cause instanceof MiphaError) throw cause;
      throw new MiphaError('ERR_CONFIG', `state_dir: expected a folder that can be written, received ${folder} (${reasonOf(cause)})`, { cause });
    }
    this.kept = await this.readKept(folder);
  }

  /** Gives the folder to others, once everything changed so far is written. */
  async close(): Promise<void> {
    await (this.waiting ?? this.writing);
    await this.unlock?.();
    this.unlock = null;
  }

  /** Eight hexadecimal digits, the same for ever where there is a folder. */
  get clientSuffix(): string {
    return this.suffix;
  }

  /** A copy. */
  get overrides(): ConfigInput {
    return structuredClone(this.kept);
  }

  /** Where they are kept, in words. */
  get source(): string {
    return this.folder === undefined ? 'MQTT' : overridesFile(this.folder);
  }

  /** Resolves when they are on the disk; false: they live in memory only, because there is no folder or it could not be written. */
  async keep(overrides: ConfigInput): Promise<boolean> {
    if (this.suspended) await this.setAside();
    this.kept = structuredClone(overrides);
    return await this.save();
  }

  /** For a start without overrides: there are none from now on, but their file stays as it is until setAside(), or until others are kept. */
  suspend(): void {
    this.kept = {};
    this.suspended = true;
  }

  /** Before a start with overrides: how many starts before it were never finished, when they are so many that it must do without them; else 0. */
  async beginStart(): Promise<number> {
    if (Object.keys(this.kept).length === 0) return 0;
    return (await this.hint(this.starts?.begin(this.kept))) ?? 0;
  }

  /** The node runs with the overrides that are kept. */
  async finishStart(): Promise<void> {
    if (Object.keys(this.kept).length > 0) await this.hint(this.starts?.finished(this.kept));
  }

  /** The node ends in an orderly way, started or not. */
  async endStart(): Promise<void> {
    if (this.unlock !== null) await this.hint(this.starts?.ended());
  }

  /** Suspended overrides are given up: their file gets another name, which is returned; null: it could not be renamed. */
  async setAside(): Promise<string | null> {
    if (this.folder === undefined || !this.suspended) return this.aside;
    this.suspended = false;
    const path = overridesFile(this.folder);
    const aside = `${path}.dropped-${new Date().toISOString().replaceAll(':', '-')}`;
    try {
      await rename(path, aside);
      await syncFolder(this.folder);
      await this.starts?.remove();
      this.aside = aside;
    } catch (error) {
      this.warn(`${path} could not be set aside: ${reasonOf(error)}`);
    }
    return this.aside;
  }

  /** One write at a time; changes made during it share the next one. */
  private save(): Promise<boolean> {
    const { folder } = this;
    if (folder === undefined) return Promise.resolve(false);
    if (this.writing !== null) {
      this.waiting ??= this.writing.then(() => {
        this.waiting = null;
        return this.save();
      });
      return this.waiting;
    }
    this.writing = this.write(folder).finally(() => {
      this.writing = null;
    });
    return this.writing;
  }

  private async write(folder: string): Promise<boolean> {
    try {
      await replaceFile(folder, OVERRIDES_FILE, `${JSON.stringify({ version: 1, overrides: this.kept }, null, 2)}\n`);
      return true;
    } catch (error) {
      this.warn(`Overrides could not be kept in ${folder}: ${reasonOf(error)}`);
      return false;
    }
  }

  /** The record of starts is a hint: a disk that is full must not keep a node from starting. */
  private async hint<T>(work: Promise<T> | undefined): Promise<T | undefined> {
    return await work?.catch((error: unknown) => {
      this.warn(`${this.folder} cannot be written: ${reasonOf(error)}`);
      return undefined;
    });
  }

  /** A command that drops overrides has the folder for a moment. A disk that is full must not keep a node from starting. */
  private async take(folder: string): Promise<() => Promise<void>> {
    for (let attempt = 1; ; attempt++) {
      try {
        return (await lock(folder, 'is using this state folder')).release;
      } catch (error) {
        const { code } = error as { code?: string };
        if (code === 'ENOSPC' || code === 'EDQUOT') {
          this.warn(`${folder} cannot be written: ${code}`);
          return async () => {};
        }
        if (code !== 'ERR_BUSY' || attempt === LOCK_ATTEMPTS) throw error;
        await sleep(LOCK_RETRY_MS);
      }
    }
  }

  private async readSuffix(folder: string): Promise<string> {
    const found = (await readIfThere(join(folder, CLIENT_ID_FILE)))?.trim();
    if (found !== undefined && SUFFIX.test(found)) return found;
    if (found !== undefined) this.warn(`${join(folder, CLIENT_ID_FILE)} is damaged: the node gets a new client id`);
    const suffix = newSuffix();
    await replaceFile(folder, CLIENT_ID_FILE, `${suffix}\n`);
    return suffix;
  }

  private async readKept(folder: string): Promise<ConfigInput> {
    try {
      return await readOverrides(folder);
    } catch (error) {
      const path = overridesFile(folder);
      const aside = `${path}.damaged`;
      const moved = await rename(path, aside).then(
        () => `set aside as ${aside}`,
        (failure) => `left where it is (${reasonOf(failure)})`,
      );
      this.warn(`${path} is damaged and ${moved}; no override is in force: ${reasonOf(error)}`);
      return {};
    }
  }
}

export function overridesFile(folder: string): string {
  return join(folder, OVERRIDES_FILE);
}

/** The overrides that are kept in a state folder, without taking it; none where there is no file. Throws when they cannot be read. */
export async function readOverrides(folder: string): Promise<ConfigInput> {
  const text = await readIfThere(overridesFile(folder));
  return text === null ? {} : overridesSchema.parse(JSON.parse(text)).overrides;
}

function newSuffix(): string {
  return randomBytes(4).toString('hex');
}
