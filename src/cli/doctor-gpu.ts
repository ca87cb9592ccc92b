/** The part of `mipha doctor` about TensorRT, CUDA and Jetson boards. */
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, realpathSync } from 'node:fs';
import { join } from 'node:path';
import type { Addon, TensorRtFacts } from '../addon/addon.js';
import { packageRoot } from '../addon/load.js';
import { cudaVersion, fastestPowerMode, l4tRelease, librariesNamed, powerMode, versionInName } from './jetson.js';
import { bytes } from './output.js';

const JETSON_FIX = 'sudo apt-get update && sudo apt-get install -y nvidia-jetpack';
const PC_FIX = "install TensorRT and CUDA with their headers from NVIDIA's packages (tensorrt-dev, cuda-toolkit)";
const COMPILE_FIX = 'npm rebuild mipha-edge (in a clone: npm run setup)';

/** What scripts/tensorrt-shim.mjs prints. */
export interface Headers {
  folder: string; // of NvInfer.h
  version: string | null; // of TensorRT, "10.3.0.26"
  missing: string[]; // other headers that the shim needs
}

/** What is looked at; tests give the texts of other machines. */
export interface Machine {
  exists(path: string): boolean;
  read(path: string): string | null; // null: no such file
  run(command: string, ...args: string[]): string | null; // null: not there, or it failed
  target(path: string): string; // of a link
  headers(): Headers | null;
  facts(library: string): Promise<TensorRtFacts>; // rejects with the words of the library
}

export interface GpuReport {
  jetson: { l4t: string; jetpack: string | null; power: string | null } | null; // null: not a Jetson
  libraries: { tensorrt: string | null; cuda: string | null }; // versions as far as the names of the files tell
  headers: Headers | null;
  shim: { path: string; compiled: boolean; reason: string | null }; // reason: why it is of no use
  facts: TensorRtFacts | null; // null: the shim is of no use
  problems: { what: string; fix: string }[];
}

export function thisMachine(addon: Addon | null): Machine {
  const run = (command: string, ...args: string[]) => {
    const { status, stdout } = spawnSync(command, args, { encoding: 'utf8', timeout: 10_000 });
    return status === 0 ? stdout : null;
  };
  return {
    exists: existsSync,
    read: (path) => (existsSync(path) ? readFileSync(path, 'utf8') : null),
    run,
    target: (path) => (existsSync(path) ? realpathSync(path) : path),
    headers: () => JSON.parse(run(process.execPath, join(packageRoot(), 'scripts', 'tensorrt-shim.mjs')) ?? 'null'),
    facts: (library) => (addon === null ? Promise.reject(new Error('the native addon cannot be loaded')) : addon.tensorrtFacts(library)),
  };
}

/** null where neither a Jetson nor an NVIDIA driver is seen. */
export async function examineGpu(machine: Machine): Promise<GpuReport | null> {
  const release = machine.read('/etc/nv_tegra_release');
  if (release === null && machine.read('/proc/driver/nvidia/version') === null) return null;
  const jetson = release === null ? null : examineJetson(machine, release);
  const libraries = { tensorrt: libraryVersion(machine, 'libnvinfer'), cuda: libraryVersion(machine, 'libcudart') };
  const report = { jetson: jetson?.facts ?? null, libraries, headers: machine.headers(), ...(await examineShim(machine)) };
  return { ...report, problems: [...tensorRtProblems(report), ...(jetson?.problems ?? [])] };
}

function examineJetson(machine: Machine, release: string) {
  const mode = powerMode(machine.run('nvpmodel', '-q') ?? '');
  const fastest = fastestPowerMode(machine.read('/etc/nvpmodel.conf') ?? '');
  const problems: GpuReport['problems'] = [];
  if (mode !== null && fastest !== null && mode.name !== fastest.name) {
    problems.push({ what: `the power mode is ${mode.name}, ${fastest.name} is faster`, fix: `sudo nvpmodel -m ${fastest.id}` });
  }
  const jetpack = machine.run('dpkg-query', '--show', 'nvidia-jetpack')?.trim().split('\t')[1] ?? null; // "nvidia-jetpack\t6.2+b77"
  return { facts: { l4t: l4tRelease(release) ?? 'unknown', jetpack, power: mode?.name ?? null }, problems };
}

function libraryVersion(machine: Machine, name: string): string | null {
  const [path] = librariesNamed(name, machine.run('/sbin/ldconfig', '-p') ?? '');
  return path === undefined ? null : versionInName(machine.target(path));
}

async function examineShim(machine: Machine): Promise<{ shim: GpuReport['shim']; facts: TensorRtFacts | null }> {
  const build = join(packageRoot(), 'build');
  const path = process.env.MIPHA_TENSORRT || join(build, 'Release', 'mipha_tensorrt.so');
  const compiled = machine.exists(path);
  const failure = machine.read(join(build, 'tensorrt-error.txt')); // of the last attempt, see scripts/setup.mjs
  if (!compiled || failure !== null) {
    const error = failure?.split('\n').find((line) => /error:/i.test(line));
    return { shim: { path, compiled, reason: error?.trim() ?? 'not compiled' }, facts: null };
  }
  try {
    return { shim: { path, compiled, reason: null }, facts: await machine.facts(path) };
  } catch (error) {
    return { shim: { path, compiled, reason: (error as Error).message }, facts: null };
  }
}

/** One step at a time: what is missing first is said alone, because the next step needs it. */
function tensorRtProblems({ jetson, libraries, headers, shim }: Omit<GpuReport, 'problems'>): GpuReport['problems'] {
  const packages = jetson === null ? PC_FIX : JETSON_FIX;
  if (shim.reason === null) return [];
  if (libraries.tensorrt === null) return [{ what: 'TensorRT (libnvinfer) not found', fix: packages }];
  const missing = headers === null ? ['NvInfer.h'] : headers.missing;
  if (missing.length > 0) return [{ what: `${missing.join(', ')} not found: the shim of TensorRT cannot be compiled`, fix: packages }];
  if (!shim.compiled) return [{ what: `the shim of TensorRT: ${shim.reason}`, fix: COMPILE_FIX }];
  return [{ what: `TensorRT cannot be used: ${shim.reason}`, fix: COMPILE_FIX }];
}

export function gpuRows({ jetson, libraries, headers, shim, facts }: GpuReport): [string, string][] {
  const missing = headers?.missing.length ? `, without ${headers.missing.join(', ')}` : '';
  const rows: [string, string][] = [
    ['TensorRT', facts?.tensorrt ?? libraries.tensorrt ?? 'not found'],
    ['TensorRT headers', headers === null ? 'not found' : `${headers.version ?? 'version unknown'} in ${headers.folder}${missing}`],
    ['TensorRT shim', facts === null ? (shim.reason ?? 'ready') : `ready, compiled for ${facts.headers}`],
    ['CUDA', facts === null ? (libraries.cuda ?? 'not found') : `${cudaVersion(facts.cudaRuntime)}, driver for ${cudaVersion(facts.cudaDriver)}`],
  ];
  if (facts !== null) {
    const capability = `${Math.trunc(facts.computeCapability / 10)}.${facts.computeCapability % 10}`;
    const memory = `${bytes(facts.totalBytes)}, ${bytes(facts.freeBytes)} free${facts.integrated ? ', shared with the processor' : ''}`;
    rows.push(['GPU', `${facts.gpu}, compute capability ${capability}, ${memory}`]);
  }
  if (jetson !== null) {
    rows.push(['JetPack', `${jetson.jetpack ?? 'package nvidia-jetpack is not installed'}, L4T ${jetson.l4t}`]);
    rows.push(['power mode', jetson.power ?? 'unknown: nvpmodel -q tells nothing']);
  }
  return rows;
}
