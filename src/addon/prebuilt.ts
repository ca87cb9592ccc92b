/** Platform packages (`@mipha-edge/linux-x64`, …), which hold the native binary compiled; scripts/pack.mjs makes them. */
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';

export const ADDON_FILE = 'mipha_edge.node';
export const CUDA_FILE = 'mipha_cuda.so';

/** A file of a platform package, as its package.json describes it. */
interface HeldFile {
  bytes: number;
  sha256: string;
  cuda?: string; // of the CUDA backend: the toolkit's version, "13.0"
  code?: string[]; // … what it has code for, "sm_87", "compute_80"
}

/** `mipha` in the package.json of a platform package. */
interface Held {
  glibc: string; // "2.29", the oldest that it runs on
  files: Record<string, HeldFile>;
}

/** What a platform package is compared with; tests give those of other machines. */
export interface Host {
  platform: string; // "linux-arm64"
  glibc(): string | null; // its version; null: another C library
}

const HERE: Host = {
  platform: `${process.platform}-${process.arch}`,
  glibc: () => {
    const report = process.report as typeof process.report & { excludeNetwork?: boolean };
    report.excludeNetwork = true; // else the names of hosts are looked up, which can take seconds
    const { header } = report.getReport() as unknown as { header: { glibcVersionRuntime?: string } };
    return header.glibcVersionRuntime ?? null;
  },
};

export interface Prebuilt {
  name: string;
  folder: string;
  reason: string | null; // why it is passed over; null: it fits
  addon: string; // path, to be loaded only where there is no reason against it
  cuda: { path: string; version: string; code: string[] } | null; // null: the package has none
}

/** The platform package that is installed beside the package in `root` for this machine; null where there is none. Nothing of it is run. */
export function findPrebuilt(root: string, host: Host = HERE): Prebuilt | null {
  const name = `@mipha-edge/${host.platform}`;
  const manifest = installed(root, name);
  if (manifest === null) return null;
  const folder = dirname(manifest);
  const found = { name, folder, addon: join(folder, ADDON_FILE), cuda: null };
  try {
    const { version } = readJson(join(root, 'package.json')) as { version: string };
    const held = heldBy(manifest, version);
    checkHost(held, host);
    checkFile(folder, ADDON_FILE, held);
    return { ...found, reason: null, cuda: cudaOf(folder, held) };
  } catch (error) {
    return { ...found, reason: (error as Error).message };
  }
}

/** Path of its package.json, in the folders where Node looks for packages: also one that Node could not read. */
function installed(root: string, name: string): string | null {
  const folders = createRequire(join(root, 'package.json')).resolve.paths(name) ?? [];
  return folders.map((folder) => join(folder, name, 'package.json')).find((path) => existsSync(path)) ?? null;
}

function heldBy(path: string, wanted: string): Held {
  const { version, mipha } = readJson(path) as { version?: unknown; mipha?: Partial<Held> };
  if (version !== wanted) throw new Error(`it is version ${version}, expected ${wanted}`);
  if (typeof mipha?.glibc !== 'string' || mipha.files === undefined) throw new Error(`${path} does not say what the package holds`);
  return mipha as Held;
}

function checkHost({ glibc: needed }: Held, host: Host): void {
  const glibc = host.glibc();
  if (glibc === null) throw new Error(`it needs glibc ${needed} or later, the C library of this system is another`);
  const [major = 0, minor = 0] = glibc.split('.').map(Number);
  const [leastMajor = 0, leastMinor = 0] = needed.split('.').map(Number);
  if (major < leastMajor || (major === leastMajor && minor < leastMinor))
    throw new Error(`it needs glibc ${needed} or later, this system has ${glibc}`);
}

/** A library that is cut short would end the process while it is loaded, so its bytes are compared before. */
function checkFile(folder: string, name: string, { files }: Held): HeldFile {
  const expected = files[name];
  if (expected === undefined) throw new Error(`its package.json does not name ${name}`);
  const bytes = readFileSync(join(folder, name));
  if (bytes.length !== expected.bytes) throw new Error(`${name} is damaged: ${bytes.length} bytes, expected ${expected.bytes}`);
  const sha256 = createHash('sha256').update(bytes).digest('hex');
  if (sha256 !== expected.sha256) throw new Error(`${name} is damaged: its SHA-256 is ${sha256}, expected ${expected.sha256}`);
  return expected;
}

function cudaOf(folder: string, held: Held): Prebuilt['cuda'] {
  if (held.files[CUDA_FILE] === undefined) return null;
  const { cuda = '', code = [] } = checkFile(folder, CUDA_FILE, held);
  return { path: join(folder, CUDA_FILE), version: cuda, code };
}

function readJson(path: string): unknown {
  return JSON.parse(readFileSync(path, 'utf8'));
}
