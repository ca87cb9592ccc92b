/** What a node remembers between its lives: the random part of its client id, and the changes made over MQTT. */
import { randomBytes } from 'node:crypto';
import { mkdir, open, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { MiphaError } from '../errors.js';
import { fileText } from '../utf8.js';
import { idSchema, watchSpecSchema } from '../watch/spec.js';
import { type ConfigInput, isPlain } from './config/layers.js';

const CHANGES_FILE = 'changes.json';
const CLIENT_ID_FILE = 'client-id';
const SUFFIX = /^[0-9a-f]{8}$/;
const MOST_BYTES = 4_000_000;

const changesSchema = z.strictObject({
  version: z.literal(1),
  /** A merge patch over the configuration, without watches. */
  options: z.record(z.string(), z.unknown()),
  /** Watches that were put, whole; null: deleted. */
  watches: z.record(idSchema, watchSpecSchema.nullable()),
});
export type Changes = Pick<z.infer<typeof changesSchema>, 'options' | 'watches'>;

export interface StateDirOptions {
  onWarning?: (message: string) => void;
}

/** Without a folder everything is in memory and ends with the process. */
export class StateDir {
  private suffix = newSuffix();
  private kept: Changes = { options: {}, watches: {} };
  private writing: Promise<boolean> | null = null;
  private waiting: Promise<boolean> | null = null;
  private readonly warn: (message: string) => void;

  constructor(
    readonly folder: string | undefined,
    { onWarning = () => {} }: StateDirOptions = {},
  ) {
    this.warn = onWarning;
  }

  /** Makes the folder where it is missing and reads what is in it. A damaged file is set aside. Throws ERR_CONFIG when the folder cannot be used. */
  async open(): Promise<void> {
    if (this.folder === undefined) return;
    try {
      await mkdir(this.folder, { recursive: true, mode: 0o700 });
      this.suffix = await this.readSuffix(this.folder);
    } catch (cause) {
      throw new MiphaError('ERR_CONFIG', `state_dir: expected a folder that can be written, received ${this.folder} (${reason(cause)})`, { cause });
    }
    this.kept = await this.readChanges(this.folder);
  }

  /** Eight hexadecimal digits, the same for ever where there is a folder. */
  get clientSuffix(): string {
    return this.suffix;
  }

  /** A copy. */
  get changes(): Changes {
    return structuredClone(this.kept);
  }

  /** Resolves when it is on the disk; false: it lives in memory only, because there is no folder or it could not be written. */
  putWatch(id: string, spec: ConfigInput): Promise<boolean> {
    this.kept.watches[id] = structuredClone(spec) as Changes['watches'][string];
    return this.save();
  }

  /** `configured`: file, environment or flags have a watch of this name, which must stay deleted. */
  deleteWatch(id: string, configured: boolean): Promise<boolean> {
    if (configured) this.kept.watches[id] = null;
    else delete this.kept.watches[id];
    return this.save();
  }

  /** `patch` as it was given to mergeOptions(), `watches` as they are since then. */
  putOptions(patch: ConfigInput, watches: Readonly<Record<string, ConfigInput>>): Promise<boolean> {
    const { watches: touched, ...rest } = structuredClone(patch);
    this.kept.options = patchOver(this.kept.options, rest);
    for (const id of isPlain(touched) ? Object.keys(touched) : []) {
      this.kept.watches[id] = (Object.hasOwn(watches, id) ? structuredClone(watches[id]) : null) as Changes['watches'][string];
    }
    return this.save();
  }

  /** Resolves when everything changed so far is written. */
  async flush(): Promise<void> {
    await (this.waiting ?? this.writing);
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
      await replaceFile(folder, CHANGES_FILE, `${JSON.stringify({ version: 1, ...this.kept }, null, 2)}\n`);
      return true;
    } catch (error) {
      this.warn(`Changes made over MQTT could not be kept in ${folder}: ${reason(error)}`);
      return false;
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

  private async readChanges(folder: string): Promise<Changes> {
    const path = join(folder, CHANGES_FILE);
    try {
      const text = await readIfThere(path);
      if (text === null) return { options: {}, watches: {} };
      const { options, watches } = changesSchema.parse(JSON.parse(text));
      return { options, watches };
    } catch (error) {
      const aside = `${path}.damaged`;
      const moved = await rename(path, aside).then(
        () => `set aside as ${aside}`,
        (failure) => `left where it is (${reason(failure)})`,
      );
      this.warn(`${path} is damaged and ${moved}; changes made over MQTT are lost: ${reason(error)}`);
      return { options: {}, watches: {} };
    }
  }
}

/** Two merge patches as one: nulls stay, for they remove. */
export function patchOver(before: unknown, after: ConfigInput): ConfigInput {
  const merged = new Map(isPlain(before) ? Object.entries(before) : []);
  for (const [key, value] of Object.entries(after)) merged.set(key, isPlain(value) ? patchOver(merged.get(key), value) : value);
  return Object.fromEntries(merged);
}

/** Whatever happens, the file holds the old text or the new one: written beside, flushed, renamed, and the folder flushed too. */
async function replaceFile(folder: string, name: string, text: string): Promise<void> {
  const temporary = join(folder, `.${name}.new`);
  try {
    const file = await open(temporary, 'w', 0o600);
    try {
      await file.writeFile(text);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, join(folder, name));
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => {});
    throw error;
  }
  const directory = await open(folder, 'r');
  await directory.sync().finally(() => directory.close());
}

/** Null when there is no such file. */
async function readIfThere(path: string): Promise<string | null> {
  try {
    const bytes = await readFile(path);
    if (bytes.length > MOST_BYTES) throw new Error(`more than ${MOST_BYTES} bytes`);
    return fileText(bytes);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
}

function newSuffix(): string {
  return randomBytes(4).toString('hex');
}

function reason(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  return code ?? message.split('\n')[0] ?? 'unknown reason';
}
