import { resolve } from 'node:path';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { recordGolden } from '../engine/self-test.js';
import { calibrate } from '../package/calibrate/calibrate.js';
import type { Calibration } from '../package/calibration.js';
import { calibrationSamples } from './calibrate-samples.js';
import { interruption } from './failure.js';
import { wholeNumber } from './options.js';
import { milliseconds, notes, ProgressBar, printJson, table } from './output.js';

interface CalibrateCommand {
  pictures: string;
  prompts?: string;
  budget: number;
  samples: number;
  json?: boolean;
}

export function addCalibrate(program: Command): void {
  program
    .command('calibrate')
    .description('Find fixed scales for the inputs of every product, which TensorRT needs, and write a package that has them.')
    .argument('<package>', 'folder of the package; it is not changed')
    .argument('<out>', 'folder to write; must not exist yet')
    .requiredOption('--pictures <folder>', 'pictures like those the model will see, or benchmarks as mipha eval reads them, with their questions')
    .option('--prompts <file>', 'questions like those it will be asked, one per line; \\n in a line starts a new one')
    .addOption(new Option('--budget <share>', 'largest relative error of the logits that quantization may cause').argParser(share).default(0.05))
    .addOption(new Option('--samples <n>', 'pairs of a picture and a question to run').argParser(wholeNumber(1, 10_000)).default(32))
    .option('--json', 'print what was found as JSON')
    .addHelpText(
      'after',
      notes(`
Runs the FP32 forward pass layer by layer, smooths outliers into the weights, and keeps matrices wide (w8a16, f16) until the error is within the budget.
An interrupted run goes on where it was. Give it a package in F16 (mipha convert --wide) where there is room: nothing is then quantized twice.

Example:
  mipha calibrate packages/mipha-3b-wide packages/mipha-3b \\
    --pictures photos --prompts examples/prompts.txt`),
    )
    .action(run);
}

function share(text: string): number {
  const value = Number(text);
  if (text.trim() !== '' && value > 0 && value <= 1) return value;
  throw new InvalidArgumentError('Expected a number above 0 and at most 1.');
}

async function run(folder: string, out: string, options: CalibrateCommand): Promise<void> {
  const { signal, release } = interruption();
  const bar = new ProgressBar();
  const begin = performance.now();
  try {
    const { samples, source } = await calibrationSamples(folder, options.pictures, options.prompts, options.samples);
    const calibration = await calibrate(folder, out, samples, {
      budget: options.budget,
      source,
      onProgress: (stage, fraction) => bar.update(stage, fraction),
      onNotice: (text) => {
        bar.end();
        process.stderr.write(`mipha: ${text}\n`);
      },
      signal,
      selfTest: recordGolden,
    });
    bar.end();
    const durationMs = Math.round(performance.now() - begin);
    if (options.json) printJson({ folder: resolve(out), durationMs, ...calibration });
    else process.stdout.write(`${report(calibration)}\n${resolve(out)} in ${milliseconds(durationMs)}\n`);
  } finally {
    bar.end();
    release();
  }
}

/** What was kept wide and why, and what that leaves. */
function report({ matrices, samples, budget, error }: Calibration): string {
  const entries = Object.entries(matrices);
  const wide = entries.filter(([, { precision }]) => precision !== 'w8a8');
  const percent = (value: number) => `${(100 * value).toPrecision(2)} %`;
  const rows = wide.map(([name, { precision, why }]): [string, string] => [name, `${precision}  ${why}`]);
  return [
    ...(rows.length === 0 ? [] : [table(rows), '']),
    `${entries.length - wide.length} of ${entries.length} products in INT8, ${wide.length} kept wide; error of the logits ${percent(error)} of ${percent(budget)} allowed, ${samples} samples`,
  ].join('\n');
}
