// What of CUDA this machine has: the compiler, the driver, GPUs. Used by setup.mjs and cuda-library.mjs, and as JSON by mipha doctor.
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { readArguments } from './arguments.mjs';

/** Of nvcc. Older ones lack instructions or C++ that the kernels use. */
export const LEAST_VERSION = '12.6';
/** Of a GPU: major * 10 + minor. */
export const LEAST_CAPABILITY = 80;
/** JetPack's nvidia-smi does not tell the compute capability; the name of the chip does. */
const CHIPS = { tegra210: 53, tegra186: 62, tegra194: 72, tegra234: 87, tegra264: 110 };
/** Of a desktop or a Thor, of an Orin, of WSL. */
const NODES = [/^nvidia\d+$/, /^nvhost-gpu$/, /^nvhost-ctrl-gpu$/, /^nvgpu$/, /^dxg$/];

/** What is looked at; tests give the texts of other machines. */
export const THIS_MACHINE = {
  environment: process.env,
  exists: existsSync,
  read: (path) => {
    try {
      return readFileSync(path, 'utf8');
    } catch {
      return null;
    }
  },
  list: (folder) => (existsSync(folder) ? readdirSync(folder) : []),
  run: (command, ...args) => {
    const { status, stdout } = spawnSync(command, args, { encoding: 'utf8', timeout: 20_000 });
    return status === 0 ? stdout : null;
  },
};

/**
 * { nvcc: { path, version: '13.0', release: '13.0.88', isOld }, looked }: the first nvcc that is recent enough, else the first that is not (`isOld`);
 * null when there is none. `looked`: where.
 */
export function findCompiler({ environment, exists, run } = THIS_MACHINE) {
  const home = environment.CUDA_HOME ? [join(environment.CUDA_HOME, 'bin')] : [];
  const folders = [...new Set([...home, '/usr/local/cuda/bin', ...(environment.PATH ?? '').split(delimiter).filter((folder) => folder !== '')])];
  const found = folders
    .map((folder) => join(folder, 'nvcc'))
    .filter((path) => exists(path))
    .map((path) => ({ path, words: /release (\d+\.\d+), V([\d.]+)/.exec(run(path, '--version') ?? '') }))
    .filter(({ words }) => words !== null)
    .map(({ path, words: [, version, release] }) => ({ path, version, release, isOld: isBefore(version, LEAST_VERSION) }));
  return { nvcc: found.find(({ isOld }) => !isOld) ?? found[0] ?? null, looked: [...home, '/usr/local/cuda/bin', 'the PATH'] };
}

/** GPUs that the driver shows; `capability` is null where it does not tell. */
export function findGpus({ read, run } = THIS_MACHINE) {
  const chip = tegra(read);
  if (chip !== null) {
    const model = read('/proc/device-tree/model')?.replaceAll('\0', '').trim();
    return [{ name: model || chip, capability: CHIPS[chip] ?? null }];
  }
  const table = run('nvidia-smi', '--query-gpu=name,compute_cap', '--format=csv,noheader');
  const rows = [...(table ?? '').matchAll(/^(.+), (\d+)\.(\d)$/gm)];
  if (rows.length > 0) return rows.map(([, name, major, minor]) => ({ name, capability: Number(major) * 10 + Number(minor) }));
  // A driver that does not know the question.
  return [...(run('nvidia-smi', '-L') ?? '').matchAll(/^GPU \d+: (.+) \(UUID/gm)].map(([, name]) => ({ name, capability: null }));
}

/** All of it. `driver` is null where none is loaded, `gpuIsThere` whether the machine has a GPU of NVIDIA, driver or not. */
export function examine(machine = THIS_MACHINE) {
  const { exists, read, list, run } = machine;
  const jetson = tegra(read) !== null || exists('/etc/nv_tegra_release');
  const loaded = read('/proc/driver/nvidia/version');
  const kernel = loaded === null ? null : (/Kernel Module.*?\s(\d+\.[\d.]+)/.exec(loaded)?.[1] ?? 'unknown');
  const library = /^\s*libcuda\.so\.1 /m.test(run('/sbin/ldconfig', '-p') ?? '');
  const nodes = list('/dev').some((name) => NODES.some((node) => node.test(name)));
  const hasDriver = kernel !== null || library || jetson;
  const cuda = hasDriver ? (/CUDA Version: (\d+\.\d+)/.exec(run('nvidia-smi') ?? '')?.[1] ?? null) : null;
  return {
    ...findCompiler(machine),
    least: { version: LEAST_VERSION, capability: LEAST_CAPABILITY },
    jetson,
    container: exists('/.dockerenv') || exists('/run/.containerenv'),
    driver: hasDriver ? { kernel, cuda, library, nodes } : null,
    gpuIsThere: jetson || kernel !== null || nodes || list('/sys/bus/pci/devices').some((device) => isNvidia(read, device)),
    gpus: hasDriver ? findGpus(machine) : [],
  };
}

function tegra(read) {
  return /nvidia,(tegra\d+)/.exec(read('/proc/device-tree/compatible') ?? '')?.[1] ?? null;
}

/** Class 03 is a display or 3D controller: NVIDIA's network cards and bridges are none. */
function isNvidia(read, device) {
  const of = (name) => read(`/sys/bus/pci/devices/${device}/${name}`)?.trim() ?? '';
  return of('vendor') === '0x10de' && of('class').startsWith('0x03');
}

export function isBefore(version, least) {
  const [major, minor] = version.split('.').map(Number);
  const [leastMajor, leastMinor] = least.split('.').map(Number);
  return major < leastMajor || (major === leastMajor && minor < leastMinor);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  readArguments('node scripts/cuda-toolkit.mjs\n\nPrints what is known of nvcc, driver and GPUs as JSON: read by mipha doctor.');
  console.log(JSON.stringify(examine()));
}
