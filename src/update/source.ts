/** Where releases come from: a folder of this machine, or an https origin. What may be named is said by the configuration. */
import { lstat, realpath } from 'node:fs/promises';
import { isAbsolute, join, resolve, sep } from 'node:path';
import { FolderSource } from './folder-source.js';
import { HttpsSource } from './https-source.js';
import { refused } from './refused.js';

export interface Source {
  /** The folder or the address. */
  readonly name: string;
  /** What is cut may be whole at the next attempt. */
  readonly isRemote: boolean;
  /** A file whole. Throws ERR_UPDATE when it has more bytes. */
  small(path: string, mostBytes: number, signal: AbortSignal): Promise<Buffer>;
  /** A file from byte `from` on; who cannot begin there begins at 0, and says so. ERR_UPDATE that is retryable: it may go on later. */
  read(path: string, from: number, signal: AbortSignal): Promise<{ from: number; pieces: AsyncIterable<Uint8Array> }>;
}

export interface SourceRules {
  /** Packages in it may be named by where they lie below it. */
  folder?: string | undefined;
  /** https://HOST or https://HOST:PORT */
  origins: readonly string[];
  /** What origins are signed by, in PEM. Default: the certificates of Node. */
  ca?: Buffer | undefined;
}

/** What somebody asks for over MQTT. Throws ERR_UPDATE for what may not be named. */
export async function allowedSource(text: string, rules: SourceRules): Promise<Source> {
  return /^[a-z][a-z0-9+.-]*:\/\//i.test(text) ? originSource(text, rules) : await belowFolder(text, rules);
}

/** What the owner of the machine names: any folder, any https address. The signature vouches for what comes. */
export async function anySource(text: string, { ca }: Pick<SourceRules, 'ca'>): Promise<Source> {
  if (!/^[a-z][a-z0-9+.-]*:\/\//i.test(text)) return new FolderSource(await real(resolve(text), text));
  return new HttpsSource(addressOf(text), { ca });
}

function originSource(text: string, { origins, ca }: SourceRules): Source {
  const address = addressOf(text);
  if (!origins.includes(address.origin)) {
    const expected = origins.length === 0 ? 'no address: model.updates.origins names none' : `an address of ${origins.join(', ')}`;
    throw refused('source', `source: expected ${expected}, received one of ${address.origin}`, { expected, received: address.origin });
  }
  return new HttpsSource(address, { ca });
}

function addressOf(text: string): URL {
  const expected = 'https://HOST/FOLDER without user, password, query and fragment';
  const address = URL.canParse(text) ? new URL(text) : null;
  const isPlain = address?.username === '' && address.password === '' && address.search === '' && address.hash === '';
  if (address?.protocol === 'https:' && isPlain) {
    if (!address.pathname.endsWith('/')) address.pathname += '/';
    return address;
  }
  throw refused(
    'source',
    `source: expected ${expected}, received ${address === null ? 'no address' : `one that begins with ${address.protocol}//`}`,
    { expected },
  );
}

/** Links are followed by nobody: they may lead outside. */
async function belowFolder(text: string, { folder }: SourceRules): Promise<Source> {
  const wrong = (expected: string) =>
    refused('source', `source: expected ${expected}, received ${JSON.stringify(text)}`, { expected, received: text });
  if (folder === undefined) throw wrong('an https address: model.updates.folder names no folder');
  const root = await real(folder, folder);
  const path = join(root, text);
  if (isAbsolute(text) || text.includes('\0') || !path.startsWith(`${root}${sep}`)) throw wrong('a folder below model.updates.folder, by its name');
  const found = await real(path, text);
  if (found !== path.replace(/\/$/, '')) throw wrong('a folder that no link leads to');
  return new FolderSource(found);
}

async function real(path: string, text: string): Promise<string> {
  const expected = 'a folder with a release in it';
  const wrong = (received: string, cause?: unknown) =>
    refused('source', `source: expected ${expected}, received ${JSON.stringify(text)} (${received})`, { expected, received: text, cause });
  const found = await realpath(path).catch((error: NodeJS.ErrnoException) => {
    throw wrong(error.code ?? error.message, error);
  });
  if (!(await lstat(found)).isDirectory()) throw wrong('no folder');
  return found;
}
