import { resolve } from 'node:path';
import type { Command } from 'commander';
import { recordGolden } from '../engine/self-test.js';
import { convert } from '../package/convert.js';
import { interruption } from './failure.js';
import { bytes, milliseconds, notes, ProgressBar, printJson, totalBytes } from './output.js';

interface ConvertCommand {
  name?: string;
  lora?: string;
  wide?: boolean;
  json?: boolean;
}

export function addConvert(program: Command): void {
  program
    .command('convert')
    .description('Turn a checkpoint as published on the hub into an INT8 package that the engine runs.')
    .argument('<checkpoint>', 'folder with config.json, safetensors and tokenizer files')
    .argument('<out>', 'folder to write; must not exist yet')
    .option('--name <name>', "the package's name (the checkpoint's folder name)")
    .option('--lora <folder>', 'a PEFT adapter to merge: adapter_config.json and adapter_model.safetensors')
    .option('--wide', 'every matrix in F16 instead of INT8, twice the size: for mipha calibrate')
    .option('--json', 'print what was written as JSON')
    .addHelpText(
      'after',
      notes(`
Works tensor by tensor in less than 1.5 GB of memory, and the same input gives the same bytes. The package appears under its name only when it is
whole and has answered its self-test; an interrupted run leaves nothing that looks finished.

Example:
  mipha convert Mipha-3B packages/mipha-3b`),
    )
    .action(run);
}

async function run(checkpoint: string, out: string, options: ConvertCommand): Promise<void> {
  const { signal, release } = interruption();
  const bar = new ProgressBar();
  const begin = performance.now();
  try {
    const manifest = await convert(checkpoint, out, {
      ...(options.name === undefined ? {} : { name: options.name }),
      ...(options.lora === undefined ? {} : { lora: options.lora }),
      wide: options.wide === true,
      onProgress: (stage, fraction) => bar.update(stage, fraction),
      signal,
      selfTest: recordGolden,
    });
    bar.end();
    const folder = resolve(out);
    const size = totalBytes(manifest.files);
    const durationMs = Math.round(performance.now() - begin);
    if (options.json) printJson({ name: manifest.name, folder, bytes: size, files: manifest.files, durationMs });
    else process.stdout.write(`${folder}: ${manifest.name}, ${bytes(size)} in ${milliseconds(durationMs)}\n`);
  } finally {
    bar.end();
    release();
  }
}
