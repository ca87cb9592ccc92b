import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Command, Option } from 'commander';
import { loadAddon } from '../addon/load.js';
import { makeScene, renderScene } from '../camera/kitchen.js';
import { optionError } from '../errors.js';
import type { Backend } from '../index.js';
import { type ModelSize, modelSizes } from '../package/published.js';
import { writeRandomPackage } from '../package/random.js';
import { type BenchReport, measure } from './bench-measure.js';
import { interruption } from './failure.js';
import { backendOption, SHIPPED_MODEL } from './options.js';
import { bytes, milliseconds, notes, ProgressBar, printJson, table } from './output.js';

interface BenchCommand {
  random?: ModelSize;
  backend: Backend;
  json?: boolean;
}

export function addBench(program: Command): void {
  program
    .command('bench')
    .description('How fast this machine loads, looks and answers, and how close decoding comes to the speed of its memory.')
    .argument('[package]', 'the package to run (the shipped mipha-nano)')
    .addOption(new Option('--random <size>', 'make a package of random weights of this size instead, and remove it afterwards').choices(modelSizes))
    .addOption(backendOption())
    .option('--json', 'print the figures as JSON')
    .addHelpText(
      'after',
      notes(`
No checkpoint is needed: speed and memory do not depend on what the weights say. mipha-3b writes 3.2 GB below ${tmpdir()} and needs 5 GB of memory.

Example:
  mipha bench --random mipha-3b`),
    )
    .action(bench);
}

async function bench(folder: string | undefined, { random, backend, json }: BenchCommand): Promise<void> {
  if (folder !== undefined && random !== undefined) throw optionError('--random', 'no package beside it', random);
  const { signal, release } = interruption();
  const bar = new ProgressBar();
  const progress = (stage: string, fraction: number) => bar.update(stage, fraction);
  const scratch = random === undefined ? null : await mkdtemp(join(tmpdir(), 'mipha-bench-'));
  try {
    let target = folder ?? SHIPPED_MODEL;
    if (scratch !== null && random !== undefined) {
      target = join(scratch, random);
      progress('writing random weights', 0);
      await writeRandomPackage(target, random, { signal });
    }
    const { model, physicalCores } = loadAddon().cpu();
    progress('measuring the machine', 0);
    const before = loadAddon().readBandwidth();
    const int8OperationsPerSecond = loadAddon().int8Peak();
    const report = await measure(target, await renderScene(makeScene(1)), { backend, signal, progress });
    const readBytesPerSecond = Math.max(before, loadAddon().readBandwidth()); // where others use the memory too it wanders
    bar.end();
    const decodeBytesPerSecond = report.decodeTokensPerSecond * report.bytesPerToken;
    const full = { processor: model, physicalCores, readBytesPerSecond, int8OperationsPerSecond, decodeBytesPerSecond, ...report };
    if (json) printJson(full);
    else process.stdout.write(`${render(full)}\n`);
  } finally {
    bar.end();
    release();
    if (scratch !== null) await rm(scratch, { recursive: true, force: true });
  }
}

export interface FullReport extends BenchReport {
  processor: string;
  physicalCores: number;
  readBytesPerSecond: number; // by the processor, before the load or after the last answer
  int8OperationsPerSecond: number; // 0: not known
  decodeBytesPerSecond: number;
}

/** Limits are those of the processor: what a GPU reaches of them says nothing. */
export function render(report: FullReport): string {
  const { look, one, eight, memory } = report;
  const held = memory.reduce((sum, part) => sum + part.bytes, 0);
  const share = report.decodeBytesPerSecond / report.readBytesPerSecond;
  const isTelling = report.backend === 'cpu' && report.bytesPerToken >= 64e6; // weights that fit a cache are not read from memory
  const ceiling = !isTelling ? '' : `, ${(share * 100).toFixed(0)} % of what memory gives (${bytes(report.readBytesPerSecond)}/s)`;
  return table([
    ['package', report.name],
    ['processor', `${report.processor}, ${report.physicalCores} cores, ${report.backend}: ${report.detail}`],
    ['load', `${milliseconds(report.loadMs)}, checksums included`],
    ['first answer', `${milliseconds(report.firstAnswerMs)} after the start of loading`],
    ['memory', `${bytes(held)}: ${memory.map((part) => `${part.name} ${bytes(part.bytes)}`).join(', ')}`],
    [
      'look',
      `${milliseconds(look.totalMs)}: preprocess ${milliseconds(look.preprocessMs)}, vision ${milliseconds(look.visionMs)}, ` +
        `prefill ${milliseconds(look.prefillMs)}${shareOfPeak(report)}`,
    ],
    ['first token', `${milliseconds(report.firstTokenMs)} after the question`],
    ['decode', `${report.decodeTokensPerSecond.toFixed(1)} tokens/s, ${bytes(report.decodeBytesPerSecond)}/s of weights${ceiling}`],
    ['1 question', milliseconds(one.totalMs)],
    ['8 questions', `${milliseconds(eight.totalMs)} together on one view: ${(eight.totalMs / one.totalMs).toFixed(2)} times one`],
    ['per frame', `look and 8 questions ${((look.totalMs + eight.totalMs) / (look.totalMs + one.totalMs)).toFixed(2)} times look and 1`],
  ]);
}

/** Of what the processor multiplies at most, the look reached so much. */
function shareOfPeak({ backend, look, operationsPerLook, int8OperationsPerSecond }: FullReport): string {
  if (backend !== 'cpu' || int8OperationsPerSecond === 0) return '';
  const perSecond = (operationsPerLook * 1000) / (look.visionMs + look.prefillMs);
  return `; ${((perSecond / int8OperationsPerSecond) * 100).toFixed(0)} % of the INT8 peak (${(int8OperationsPerSecond / 1e12).toFixed(2)} TOPS)`;
}
