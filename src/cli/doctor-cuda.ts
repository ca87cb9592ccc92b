/** The part of `mipha doctor` about the CUDA backend: compiler, driver, GPU, shared object. */
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Addon, CudaFacts } from '../addon/addon.js';
import { cudaLibrary, packageRoot } from '../addon/load.js';
import { cudaVersion } from './jetson.js';
import { bytes } from './output.js';

const COMPILE_FIX = 'npm rebuild mipha-edge (in a clone: npm run build:cuda)';
const JETSON_FIX = 'sudo apt-get update && sudo apt-get install -y nvidia-jetpack';

/** What scripts/cuda-toolkit.mjs prints. */
export interface CudaMachine {
  nvcc: { path: string; version: string; isOld: boolean } | null;
  looked: string[]; // where for nvcc
  least: { version: string; capability: number }; // of nvcc and of a GPU
  jetson: boolean;
  container: boolean;
  /** null: none. `kernel`: its version where a module tells one; `cuda`: "13.0", the latest that it runs; `library`: libcuda.so.1; `nodes`: GPUs in /dev. */
  driver: { kernel: string | null; cuda: string | null; library: boolean; nodes: boolean } | null;
  gpuIsThere: boolean; // with or without a driver
  gpus: { name: string; capability: number | null }[];
}

/** What is looked at; tests give the texts of other machines. */
export interface CudaSources {
  machine(): CudaMachine | null; // null: the script is not there
  exists(path: string): boolean;
  read(path: string): string | null; // null: no such file
  facts(library: string): Promise<CudaFacts>; // rejects with the words of the library
}

export interface CudaReport {
  machine: CudaMachine;
  library: { path: string; compiled: boolean; reason: string | null }; // reason: why it is of no use
  facts: CudaFacts | null; // null: the library is of no use
  problems: { what: string; fix: string }[];
}

export function cudaSources(addon: Addon | null): CudaSources {
  return {
    machine: () => {
      const script = join(packageRoot(), 'scripts', 'cuda-toolkit.mjs');
      return JSON.parse(spawnSync(process.execPath, [script], { encoding: 'utf8' }).stdout || 'null');
    },
    exists: existsSync,
    read: (path) => (existsSync(path) ? readFileSync(path, 'utf8') : null),
    facts: (library) => (addon === null ? Promise.reject(new Error('the native addon cannot be loaded')) : addon.cudaFacts(library)),
  };
}

/** null where nothing of CUDA is seen: no GPU of NVIDIA, no compiler, no library. */
export async function examineCuda(sources: CudaSources): Promise<CudaReport | null> {
  const machine = sources.machine();
  const { library, facts } = await examineLibrary(sources);
  if (machine === null || (!machine.gpuIsThere && machine.nvcc === null && !library.compiled)) return null;
  return { machine, library, facts, problems: problemsOf(machine, library) };
}

async function examineLibrary({ exists, read, facts }: CudaSources): Promise<Pick<CudaReport, 'library' | 'facts'>> {
  const path = cudaLibrary();
  if (!exists(path)) {
    const failure = read(join(packageRoot(), 'build', 'cuda-error.txt')); // of the last attempt, see scripts/cuda-library.mjs
    const said = failure?.split('\n').find((line) => /\b(error|fatal)\b|cannot find|makes no code/i.test(line)) ?? failure?.split('\n')[0];
    return { library: { path, compiled: false, reason: said?.trim() ?? 'not compiled' }, facts: null };
  }
  const found = await facts(path).catch((error: Error) => error);
  if (found instanceof Error) return { library: { path, compiled: true, reason: found.message }, facts: null };
  const { built, computeCapability, gpu } = found;
  const reason = built.some((code) => runsOn(code, computeCapability))
    ? null
    : `compiled for ${built.join(', ')}; the GPU (${gpu}) is sm_${computeCapability}`;
  return { library: { path, compiled: true, reason }, facts: reason === null ? found : null };
}

/** Machine code runs on what it was made for and on later minors of that, an Orin (8.7) aside; the driver makes code of PTX for all that is no older. */
function runsOn(code: string, capability: number): boolean {
  const [, kind, digits] = /^(sm|compute)_(\d+)$/.exec(code) ?? [];
  const made = Number(digits);
  if (kind === 'compute') return made <= capability;
  const isOfFamily = Math.trunc(made / 10) === Math.trunc(capability / 10) && made <= capability;
  return made === capability || (isOfFamily && made !== 87 && capability !== 87);
}

/** One step at a time: what is missing first is said alone, because the next step needs it. Nothing is missing where there is no GPU for it. */
function problemsOf(machine: CudaMachine, { compiled, reason }: CudaReport['library']): CudaReport['problems'] {
  if (reason === null || !machine.gpuIsThere || isTooOld(machine)) return [];
  const problem = problemOfDriver(machine) ?? (compiled ? problemOfLibrary(machine, reason) : problemOfCompiler(machine, reason));
  return [problem];
}

function problemOfDriver({ driver, jetson, container, gpus }: CudaMachine): { what: string; fix: string } | null {
  if (driver === null)
    return { what: 'a GPU of NVIDIA without a driver', fix: "install NVIDIA's driver (Ubuntu: sudo ubuntu-drivers install), then restart" };
  if (driver.nodes && driver.library) return null;
  const what = driver.nodes ? "libcuda.so.1, the driver's library, not found" : 'a driver, but no GPU in /dev';
  if (container)
    return { what: `${what}, as in a container without a GPU`, fix: `start it with docker run ${jetson ? '--runtime nvidia' : '--gpus all'}` };
  if (!driver.nodes) return { what, fix: gpus.length === 0 ? 'restart the machine: the driver has not started' : 'sudo nvidia-modprobe -u -c=0' };
  return {
    what,
    fix: jetson ? 'sudo apt-get install -y nvidia-l4t-cuda' : "install the libraries of NVIDIA's driver in its version (Debian: libcuda1)",
  };
}

function problemOfCompiler({ nvcc, looked, least, jetson }: CudaMachine, reason: string): { what: string; fix: string } {
  const packages = jetson ? JETSON_FIX : `install CUDA ${least.version} or later from NVIDIA's packages (cuda-toolkit)`;
  if (nvcc === null) return { what: `nvcc not found in ${looked.join(', ')}: the CUDA backend cannot be compiled`, fix: packages };
  if (nvcc.isOld) {
    const fix = jetson ? `install JetPack 6.2 or later, whose CUDA is ${least.version} or later` : packages;
    return { what: `nvcc ${nvcc.version} is too old for the CUDA backend, which needs ${least.version}`, fix };
  }
  return { what: `the CUDA backend: ${reason}`, fix: COMPILE_FIX };
}

function problemOfLibrary({ nvcc, driver, jetson }: CudaMachine, reason: string): { what: string; fix: string } {
  const what = `CUDA cannot be used: ${reason}`;
  const [runs, wants] = [driver?.cuda, nvcc?.version].map((version) => Number(version?.split('.')[0] ?? Number.NaN)) as [number, number];
  if (/driver version is insufficient/i.test(reason) || (runs < wants && !reason.startsWith('compiled for'))) {
    const fix = `install a driver for CUDA ${Number.isNaN(wants) ? 'as new as the library' : `${wants}.0 or later`}, or compile with a CUDA toolkit that the driver runs`;
    return { what, fix };
  }
  if (/no CUDA-capable device|permission|not permitted|initialization error|unknown error/i.test(reason)) {
    const groups = 'sudo usermod -aG video,render "$USER", then log in again: the GPU is for these groups';
    return { what, fix: jetson ? groups : 'restart the machine after an update of the driver; nvidia-smi shows what it sees' };
  }
  return { what, fix: COMPILE_FIX };
}

function isTooOld({ gpus, least }: CudaMachine): boolean {
  return gpus.length > 0 && gpus.every(({ capability }) => capability !== null && capability < least.capability);
}

export function cudaRows({ machine, library, facts }: CudaReport): [string, string][] {
  const { nvcc, driver, gpus, least } = machine;
  const version = nvcc === null ? 'not found' : `nvcc ${nvcc.version} (${nvcc.path})${nvcc.isOld ? `, ${least.version} is needed` : ''}`;
  const use = isTooOld(machine) ? `not for this GPU: compute capability ${dotted(least.capability)} is needed` : library.reason;
  const rows: [string, string][] = [
    ['CUDA compiler', version],
    ['CUDA driver', driver === null ? 'none' : wordsOf(driver, facts)],
    ['CUDA library', use ?? `ready, CUDA ${cudaVersion(facts?.cudaRuntime ?? 0)} for ${facts?.built.join(', ')}`],
  ];
  if (facts !== null) {
    const memory = `${bytes(facts.totalBytes)}, ${bytes(facts.freeBytes)} free${facts.integrated ? ', shared with the processor' : ''}`;
    return [
      ...rows,
      ['CUDA GPU', `${facts.gpu}, compute capability ${dotted(facts.computeCapability)}, ${facts.processors} multiprocessors, ${memory}`],
    ];
  }
  const seen = gpus.map(({ name, capability }) => `${name}${capability === null ? '' : `, compute capability ${dotted(capability)}`}`);
  return [...rows, ['CUDA GPU', seen.join('; ') || (machine.gpuIsThere ? 'not seen by a driver' : 'none seen')]];
}

function wordsOf({ kernel, cuda }: NonNullable<CudaMachine['driver']>, facts: CudaFacts | null): string {
  const runs = facts === null ? cuda : cudaVersion(facts.cudaDriver);
  return [kernel ?? 'there', ...(runs === null ? [] : [`for CUDA up to ${runs}`])].join(', ');
}

function dotted(capability: number): string {
  return `${Math.trunc(capability / 10)}.${capability % 10}`;
}
