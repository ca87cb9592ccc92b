/** What `mipha doctor` says: the verdict, what is missing with the command that brings it, and the facts. */
import { availableParallelism, totalmem } from 'node:os';
import { relative } from 'node:path';
import type { SchemeReport } from '../camera/inspect.js';
import type { Problem, Report } from './doctor.js';
import { cudaRows } from './doctor-cuda.js';
import { gpuRows } from './doctor-gpu.js';
import { bytes, table, wrap } from './output.js';
import { commandLines } from './shell.js';

type Row = [name: string, value: string];

/** Lines of at most `width` columns, as far as paths and commands allow; `verbose` adds compilers, instruction sets, backends and pipelines. */
export function doctorLines(report: Report, { width, verbose }: { width: number; verbose: boolean }): string[] {
  const missing = missingOf(report);
  const rows = [...facts(report), ...(verbose ? details(report) : [])];
  return [
    ...verdict(report, width),
    '',
    ...(missing.length === 0 ? ['Nothing is missing.'] : ['Missing:', ...missing.flatMap((problem) => problemLines(problem, width))]),
    '',
    ...rows.flatMap(([name, value]) => wrap(`${name.padEnd(NAME_WIDTH)} ${value}`, width, NAME_WIDTH + 1)),
    ...(verbose ? ['', ...pipelines(report)] : ['', ...wrap(MORE, width)]),
  ];
}

const NAME_WIDTH = 16;
const MORE = 'mipha doctor --verbose shows compilers, instruction sets, backends and the pipeline of every kind of camera, --json everything.';

function verdict({ ok, packages, backends, cpu, cameras, gpu }: Report, width: number): string[] {
  const fits = packages.filter(({ problem, isTooLarge }) => problem === null && !isTooLarge);
  if (!ok || fits.length === 0) return ['This machine can run: nothing yet'];
  const ways = backends
    .filter(({ available }) => available)
    .map(({ name }) => (name === 'cpu' && cpu !== null ? `cpu (${cpu.runnable[0]}, ${cpu.physicalCores} cores)` : name));
  const elsewhere = cameras.schemes.filter((scheme) => isForeign(scheme, gpu !== null && gpu.jetson !== null)).map(({ scheme }) => scheme);
  const open = cameras.schemes.filter(({ ready }) => ready).map(({ scheme }) => scheme);
  return [
    `This machine can run: ${fits.map(({ name }) => name).join(', ')}`,
    ...wrap(`  backends: ${ways.join(', ')}`, width, 4),
    ...wrap(`  cameras: ${open.join(', ')}${elsewhere.length === 0 ? '' : `; on a Jetson only: ${elsewhere.join(', ')}`}`, width, 4),
  ];
}

/** The problems of the report, and the kinds of cameras that would open if something were installed. */
function missingOf({ problems, cameras, gpu }: Report): Problem[] {
  const isJetson = gpu !== null && gpu.jetson !== null;
  const byFix = new Map<string, SchemeReport[]>();
  for (const scheme of cameras.schemes)
    if (scheme.fix !== null && !isForeign(scheme, isJetson)) byFix.set(scheme.fix, [...(byFix.get(scheme.fix) ?? []), scheme]);
  const forCameras = [...byFix].map(([fix, schemes]) => {
    const lacks = cameras.gstreamer === null ? 'GStreamer' : [...new Set(schemes.flatMap(({ missing }) => missing))].join(', ');
    return { what: `${lacks} for cameras ${schemes.map(({ scheme }) => scheme).join(', ')}`, fix };
  });
  return [...problems, ...forCameras];
}

/** NVIDIA's elements come with a Jetson's system and from nowhere else. */
function isForeign({ ready, variant }: SchemeReport, isJetson: boolean): boolean {
  return !ready && variant === 'nvidia' && !isJetson;
}

/** On one line where that fits, else the command below, broken where a shell reads the lines as one. */
function problemLines({ what, fix }: Problem, width: number): string[] {
  const line = `  ${what}: ${fix}`;
  if (line.length <= width) return [line];
  const isCommand = /^(sudo|npm|mipha|apt-get) /.test(fix);
  const below = isCommand ? shellLines(fix, width - 4).map((part) => `    ${part}`) : wrap(`    ${fix}`, width, 4);
  return [...wrap(`  ${what}:`, width, 4), ...below];
}

function shellLines(command: string, width: number): string[] {
  if (/["'$();]/.test(command)) return [command];
  return command.split(' && ').flatMap((part, i, parts) => {
    const lines = commandLines(
      part.split(' ').map((word) => [word]),
      width - 3,
    );
    return i < parts.length - 1 ? [...lines.slice(0, -1), `${lines.at(-1)} &&`] : lines;
  });
}

function facts({ node, platform, addon, cpu, packages }: Report): Row[] {
  const rows: Row[] = [['Node', `${node}, ${platform}`]];
  if (addon.loaded) rows.push(['addon', origin(addon)]);
  if (cpu === null) rows.push(['processor', `${availableParallelism()} threads`], ['memory', bytes(totalmem())]);
  else
    rows.push(
      ['processor', `${cpu.model}, ${cpu.physicalCores} cores, ${cpu.threads} threads${refused(cpu.amxRefusal)}`],
      ['memory', `${bytes(cpu.memoryBytes)}, ${bytes(cpu.availableBytes)} free`],
    );
  for (const { folder, name, weightsBytes, cacheBytes, problem } of packages) {
    const from = relative(process.cwd(), folder);
    const where = from === '' || from.startsWith('..') ? folder : from;
    rows.push([
      'package',
      problem === null ? `${name} in ${where}: weights ${bytes(weightsBytes ?? 0)}, cache ${bytes(cacheBytes ?? 0)}` : `${where}: ${problem}`,
    ]);
  }
  return rows;
}

function refused(amxRefusal: string | null): string {
  return amxRefusal === null ? '' : `; its AMX is not used: ${amxRefusal}`;
}

/** Of the binary that is loaded. */
function origin({ version, prebuilt, passedOver }: Report['addon']): string {
  const from = `version ${version}, ${prebuilt === null ? 'compiled here' : `prebuilt: ${prebuilt}`}`;
  return [from, ...passedOver.map(({ path, reason }) => `not used: ${path}: ${reason}`)].join('; ');
}

function details({ toolchain, addon, cpu, backends, gpu, cuda }: Report): Row[] {
  const isa = (name: string) => {
    if (cpu?.runnable.includes(name)) return name === cpu.runnable[0] ? `${name} (used)` : name;
    return name === 'amx' && cpu?.amxRefusal ? `${name} (refused)` : `${name} (not on this processor)`;
  };
  return [
    ['compiler', toolchain.map(({ name, version }) => version ?? `${name} not found`).join('; ')],
    ...(addon.loaded ? [] : [['addon', `not loaded: ${addon.reason}`] as Row]),
    ...(cpu === null ? [] : [['instructions', cpu.compiled.map(isa).join(', ')] as Row]),
    ...backends.map(({ name, available, reason }): Row => [`backend ${name}`, available ? 'ready' : `not available: ${reason}`]),
    ...(gpu === null ? [] : gpuRows(gpu)),
    ...(cuda === null ? [] : cudaRows(cuda)),
  ];
}

/** Whole, so that they can be copied. */
function pipelines({ cameras }: Report): string[] {
  const rows = cameras.schemes.map(({ scheme, ready, pipeline, fix, missing, example }): Row => {
    if (pipeline === null) return [`camera ${scheme}`, `ready: ${example}`];
    return [`camera ${scheme}`, ready ? pipeline : `lacks ${missing.length > 0 ? missing.join(', ') : 'GStreamer'}: ${fix}`];
  });
  return table(rows).split('\n');
}
