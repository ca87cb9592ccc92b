import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { Command } from 'commander';
import type { Addon } from '../addon/addon.js';
import { type Loaded, loadedAddon, packageRoot } from '../addon/load.js';
import { type CameraReport, inspectCameras } from '../camera/inspect.js';
import { MiphaError } from '../errors.js';
import { textOf } from '../package/format.js';
import { type Architecture, MANIFEST_FILE, parseManifest } from '../package/manifest.js';
import { type CudaReport, cudaSources, examineCuda } from './doctor-cuda.js';
import { examineGpu, type GpuReport, thisMachine } from './doctor-gpu.js';
import { doctorLines } from './doctor-words.js';
import { EXIT_FAILURE } from './failure.js';
import { SHIPPED_MODEL } from './options.js';
import { bytes, columns, notes, print, printJson, totalBytes } from './output.js';

const SIDE_PX = 384; // what the published models see, for the pipelines shown
const TOOLCHAIN_FIX = 'sudo apt-get install -y python3 make g++';

export interface Problem {
  what: string;
  fix: string;
}

export interface Report {
  ok: boolean; // this machine can answer questions now
  node: string;
  platform: string;
  toolchain: { name: string; version: string | null }[];
  /** `prebuilt`: the platform package that it is of, null where it was compiled here; `passedOver`: what could not be used before it. */
  addon: {
    loaded: boolean;
    version: string | null;
    reason: string | null;
    path: string | null;
    prebuilt: string | null;
    passedOver: Loaded['passedOver'];
  };
  cpu: ReturnType<Addon['cpu']> | null; // null: the addon could not be loaded
  backends: ReturnType<Addon['backends']>;
  gpu: GpuReport | null; // null: neither an NVIDIA driver nor a Jetson is seen
  cuda: CudaReport | null; // null: nothing of CUDA is seen
  packages: PackageReport[];
  cameras: CameraReport;
  problems: Problem[];
}

export interface PackageReport {
  folder: string;
  name: string | null;
  weightsBytes: number | null;
  cacheBytes: number | null; // keys and values, in the engine's default size
  isTooLarge: boolean; // for the memory that is free now
  problem: string | null;
}

export function addDoctor(program: Command): void {
  program
    .command('doctor')
    .description('What this machine can run, what is missing, and the command that puts it right. Exit code 1 when questions cannot be answered.')
    .argument('[packages...]', 'package folders to look at, besides those in models/')
    .option('--json', 'print the report as JSON, pipelines included')
    .addHelpText('after', notes('\n--verbose adds compilers, instruction sets, backends and the pipeline of every kind of camera.'))
    .action(async (folders: string[], _: unknown, command: Command) => {
      const { json, verbose = false } = command.optsWithGlobals<{ json?: boolean; verbose?: boolean }>();
      const report = await examine(folders);
      if (json) printJson(report);
      else print(`${doctorLines(report, { width: columns(), verbose }).join('\n')}\n`);
      if (!report.ok) process.exitCode = EXIT_FAILURE;
    });
}

async function examine(folders: string[]): Promise<Report> {
  const problems: Report['problems'] = [];
  const toolchain = ['python3', 'make', 'g++'].map((name) => ({ name, version: versionOf(name) }));
  const missing = toolchain.filter(({ version }) => version === null).map(({ name }) => name);
  let loaded: Loaded | null = null;
  let reason: string | null = null;
  try {
    loaded = loadedAddon();
  } catch (error) {
    reason = (error as Error).message;
    problems.push({
      what: 'the native addon cannot be loaded',
      fix: `${missing.length > 0 ? `${TOOLCHAIN_FIX} && ` : ''}npm rebuild mipha-edge (in a clone: npm run setup)`,
    });
  }
  const addon = loaded?.addon ?? null;
  if (missing.length > 0 && (loaded === null || loaded.prebuilt === null))
    problems.unshift({ what: `${missing.join(', ')} not found: the addon cannot be compiled here`, fix: TOOLCHAIN_FIX });
  const cpu = addon?.cpu() ?? null;
  const packages = [...new Set([...shippedPackages(), ...folders])].map((folder) => examinePackage(folder, cpu?.availableBytes));
  for (const { folder, problem } of packages)
    if (problem !== null) problems.push({ what: `${folder}: ${problem}`, fix: 'mipha convert CHECKPOINT OUT' });
  if (packages.length === 0) problems.push({ what: 'no package found', fix: 'mipha convert CHECKPOINT OUT' });
  for (const entry of packages) {
    if (cpu !== null && entry.isTooLarge) {
      problems.push({
        what: `${entry.folder} needs more than ${bytes(neededBytes(entry))}, ${bytes(cpu.availableBytes)} are free`,
        fix: 'close other programs, or take a smaller package',
      });
    }
  }
  const gpu = await examineGpu(thisMachine(addon));
  const cuda = await examineCuda(cudaSources(addon));
  problems.push(...(gpu?.problems ?? []), ...(cuda?.problems ?? []));
  return {
    ok: addon !== null && packages.some(({ problem }) => problem === null),
    node: process.versions.node,
    platform: `${process.platform}-${process.arch}`,
    toolchain,
    addon: {
      loaded: addon !== null,
      version: addon?.version ?? null,
      reason,
      path: loaded?.path ?? null,
      prebuilt: loaded?.prebuilt ?? null,
      passedOver: loaded?.passedOver ?? [],
    },
    cpu,
    backends: (addon?.backends() ?? []).map((backend) => (backend.name === 'cuda' ? asSeen(backend, cuda) : backend)),
    gpu,
    cuda,
    packages,
    cameras: await inspectCameras(SIDE_PX),
    problems,
  };
}

/** The addon asks only whether the library is there. */
function asSeen(backend: Report['backends'][number], cuda: CudaReport | null): Report['backends'][number] {
  const reason = cuda?.library.reason ?? null;
  return backend.available && reason !== null ? { ...backend, available: false, reason } : backend;
}

function versionOf(tool: string): string | null {
  const { status, stdout } = spawnSync(tool, ['--version'], { encoding: 'utf8' });
  return status === 0 ? (stdout.split('\n')[0] ?? '') : null;
}

/** Folders below models/ that hold a manifest; the shipped one is always named, so that its absence shows. */
function shippedPackages(): string[] {
  const models = join(packageRoot(), 'models');
  const found = existsSync(models) ? readdirSync(models).map((name) => join(models, name)) : [];
  return [...new Set([SHIPPED_MODEL, ...found.filter((folder) => existsSync(join(folder, MANIFEST_FILE)))])];
}

function examinePackage(folder: string, availableBytes = Number.POSITIVE_INFINITY): PackageReport {
  const path = join(folder, MANIFEST_FILE);
  try {
    if (!existsSync(folder)) throw new MiphaError('ERR_MODEL_MISSING', 'no such folder');
    if (!existsSync(path)) throw new MiphaError('ERR_MODEL_MISSING', 'no manifest.json: not a package');
    const manifest = parseManifest(path, textOf(path, readFileSync(path)));
    for (const [name, { bytes: size }] of Object.entries(manifest.files)) {
      if (statSync(join(folder, name), { throwIfNoEntry: false })?.size !== size)
        throw new MiphaError('ERR_MODEL_MISSING', `${name} is absent or has another size`);
    }
    const weightsBytes = totalBytes(manifest.files);
    const sizes = { weightsBytes, cacheBytes: cacheBytes(manifest.architecture.language) };
    return { folder, name: manifest.name, ...sizes, isTooLarge: neededBytes(sizes) > availableBytes, problem: null };
  } catch (error) {
    return { folder, name: null, weightsBytes: null, cacheBytes: null, isTooLarge: false, problem: (error as Error).message };
  }
}

function neededBytes({ weightsBytes, cacheBytes: cache }: Pick<PackageReport, 'weightsBytes' | 'cacheBytes'>): number {
  return (weightsBytes ?? 0) + (cache ?? 0);
}

/** Keys and values in FP16 of what the engine plans when it is not told otherwise: one context and a batch of eight questions. */
function cacheBytes({ layers, hidden, context }: Architecture['language']): number {
  return layers * 2 * hidden * 2 * (context + 8 * 128);
}
