import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { availableParallelism, totalmem } from 'node:os';
import { join } from 'node:path';
import type { Command } from 'commander';
import type { Addon } from '../addon/addon.js';
import { loadAddon, packageRoot } from '../addon/load.js';
import { type CameraReport, inspectCameras } from '../camera/inspect.js';
import { MiphaError } from '../errors.js';
import { textOf } from '../package/format.js';
import { type Architecture, MANIFEST_FILE, parseManifest } from '../package/manifest.js';
import { examineGpu, type GpuReport, gpuRows, thisMachine } from './doctor-gpu.js';
import { EXIT_FAILURE } from './failure.js';
import { SHIPPED_MODEL } from './options.js';
import { bytes, print, printJson, table, totalBytes } from './output.js';

const SIDE_PX = 384; // what the published models see, for the pipelines shown
const TOOLCHAIN_FIX = 'sudo apt-get install -y python3 make g++';

interface Report {
  ok: boolean; // this machine can answer questions now
  node: string;
  platform: string;
  toolchain: { name: string; version: string | null }[];
  addon: { loaded: boolean; version: string | null; reason: string | null };
  cpu: ReturnType<Addon['cpu']> | null; // null: the addon could not be loaded
  backends: ReturnType<Addon['backends']>;
  gpu: GpuReport | null; // null: neither an NVIDIA driver nor a Jetson is seen
  packages: PackageReport[];
  cameras: CameraReport;
  problems: { what: string; fix: string }[];
}

interface PackageReport {
  folder: string;
  name: string | null;
  weightsBytes: number | null;
  cacheBytes: number | null; // keys and values, in the engine's default size
  problem: string | null;
}

export function addDoctor(program: Command): void {
  program
    .command('doctor')
    .description('What this machine can run, what is missing, and the command that puts it right. Exit code 1 when questions cannot be answered.')
    .argument('[packages...]', 'package folders to look at, besides those in models/')
    .option('--json', 'print the report as JSON')
    .action(async (folders: string[], options: { json?: boolean }) => {
      const report = await examine(folders);
      if (options.json) printJson(report);
      else print(`${render(report)}\n`);
      if (!report.ok) process.exitCode = EXIT_FAILURE;
    });
}

async function examine(folders: string[]): Promise<Report> {
  const problems: Report['problems'] = [];
  const toolchain = ['python3', 'make', 'g++'].map((name) => ({ name, version: versionOf(name) }));
  const missing = toolchain.filter(({ version }) => version === null).map(({ name }) => name);
  if (missing.length > 0) problems.push({ what: `${missing.join(', ')} not found: the addon cannot be compiled here`, fix: TOOLCHAIN_FIX });

  let addon: Addon | null = null;
  let reason: string | null = null;
  try {
    addon = loadAddon();
  } catch (error) {
    reason = (error as Error).message;
    problems.push({
      what: 'the native addon cannot be loaded',
      fix: `${missing.length > 0 ? `${TOOLCHAIN_FIX} && ` : ''}npm rebuild mipha-edge (in a clone: npm run setup)`,
    });
  }
  const cpu = addon?.cpu() ?? null;
  const packages = [...new Set([...shippedPackages(), ...folders])].map(examinePackage);
  for (const { folder, problem } of packages)
    if (problem !== null) problems.push({ what: `${folder}: ${problem}`, fix: 'mipha convert CHECKPOINT OUT' });
  if (packages.length === 0) problems.push({ what: 'no package found', fix: 'mipha convert CHECKPOINT OUT' });
  for (const entry of packages) {
    const needed = (entry.weightsBytes ?? 0) + (entry.cacheBytes ?? 0);
    if (cpu !== null && needed > cpu.availableBytes) {
      problems.push({
        what: `${entry.folder} needs more than ${bytes(needed)}, ${bytes(cpu.availableBytes)} are free`,
        fix: 'close other programs, or take a smaller package',
      });
    }
  }
  const gpu = await examineGpu(thisMachine(addon));
  problems.push(...(gpu?.problems ?? []));
  return {
    ok: addon !== null && packages.some(({ problem }) => problem === null),
    node: process.versions.node,
    platform: `${process.platform}-${process.arch}`,
    toolchain,
    addon: { loaded: addon !== null, version: addon?.version ?? null, reason },
    cpu,
    backends: addon?.backends() ?? [],
    gpu,
    packages,
    cameras: await inspectCameras(SIDE_PX),
    problems,
  };
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

function examinePackage(folder: string): PackageReport {
  const path = join(folder, MANIFEST_FILE);
  try {
    if (!existsSync(path)) throw new MiphaError('ERR_MODEL_MISSING', 'no manifest.json: not a package');
    const manifest = parseManifest(path, textOf(path, readFileSync(path)));
    for (const [name, { bytes: size }] of Object.entries(manifest.files)) {
      if (statSync(join(folder, name), { throwIfNoEntry: false })?.size !== size)
        throw new MiphaError('ERR_MODEL_MISSING', `${name} is absent or has another size`);
    }
    const weightsBytes = totalBytes(manifest.files);
    return { folder, name: manifest.name, weightsBytes, cacheBytes: cacheBytes(manifest.architecture.language), problem: null };
  } catch (error) {
    return { folder, name: null, weightsBytes: null, cacheBytes: null, problem: (error as Error).message };
  }
}

/** Keys and values in FP16 of what the engine plans when it is not told otherwise: one context and a batch of eight questions. */
function cacheBytes({ layers, hidden, context }: Architecture['language']): number {
  return layers * 2 * hidden * 2 * (context + 8 * 128);
}

function render(report: Report): string {
  const { cpu } = report;
  const rows: [string, string][] = [
    ['Node', `${report.node}, ${report.platform}`],
    ['compiler', report.toolchain.map(({ name, version }) => version ?? `${name} not found`).join('; ')],
    ['addon', report.addon.loaded ? `loaded, version ${report.addon.version}` : 'not loaded'],
  ];
  if (cpu === null) {
    rows.push(['processor', `${availableParallelism()} threads`], ['memory', bytes(totalmem())]);
  } else {
    const isa = (name: string) =>
      name === cpu.runnable[0] ? `${name} (used)` : cpu.runnable.includes(name) ? name : `${name} (not on this processor)`;
    rows.push(
      ['processor', `${cpu.model}, ${cpu.physicalCores} cores, ${cpu.threads} threads`],
      ['instructions', cpu.compiled.map(isa).join(', ')],
      ['memory', `${bytes(cpu.memoryBytes)}, ${bytes(cpu.availableBytes)} free`],
    );
  }
  for (const { name, available, reason } of report.backends) rows.push([`backend ${name}`, available ? 'ready' : `not available: ${reason}`]);
  if (report.gpu !== null) rows.push(...gpuRows(report.gpu));
  for (const { folder, name, weightsBytes, cacheBytes: cache, problem } of report.packages) {
    rows.push([
      'package',
      problem === null ? `${name} in ${folder}: weights ${bytes(weightsBytes ?? 0)}, cache ${bytes(cache ?? 0)}` : `${folder}: ${problem}`,
    ]);
  }
  for (const scheme of report.cameras.schemes) {
    const { ready, pipeline, fix, missing, example } = scheme;
    if (pipeline === null) rows.push([`camera ${scheme.scheme}`, `ready: ${example}`]);
    else
      rows.push([`camera ${scheme.scheme}`, ready ? pipeline : `${missing.length > 0 ? `lacks ${missing.join(', ')}` : 'lacks GStreamer'}: ${fix}`]);
  }
  const problems = report.problems.flatMap(({ what, fix }) => [`  ${what}`, `    fix: ${fix}`]);
  const verdict = report.ok
    ? problems.length === 0
      ? 'Everything is there.'
      : 'Questions can be answered, but:'
    : 'Questions cannot be answered yet:';
  return [table(rows), '', verdict, ...problems].join('\n');
}
