// Converts a checkpoint of random weights at a published size, twice, each in a process of its own; prints time and resident peak, compares the bytes.
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { fromDist, oneOf, readArguments, refuse } from '../scripts/arguments.mjs';

const USAGE = `node bench/convert.mjs [mipha-3b | mipha-2.4b | mipha-1.6b | llava-1.5-7b | nano] [FOLDER]      after npm run setup

Converts a checkpoint of random weights of this size twice, below FOLDER (the folder for temporary files): mipha-3b needs 10 GB of disk, llava-1.5-7b 22.`;

const [part, ...rest] = process.argv.slice(2);
if (part === 'child' && rest.length === 2) {
  await child(...rest);
} else {
  const [size, parent = tmpdir()] = readArguments(USAGE, { positionals: 2 }).positionals;
  const { modelSizes } = await fromDist('package/published.js');
  if (!existsSync(parent)) refuse(USAGE, `FOLDER: no such folder: ${parent}`);
  await main(oneOf(USAGE, 'size', size, modelSizes), parent);
}

async function main(size, parent) {
  const { writeRandomCheckpoint } = await fromDist('package/random.js');
  const folder = await mkdtemp(join(parent, 'mipha-convert-'));
  try {
    const started = performance.now();
    await writeRandomCheckpoint(join(folder, 'checkpoint'), size);
    console.log(`${size}: random checkpoint written in ${seconds(performance.now() - started)}`);
    const manifests = [];
    for (const name of ['first', 'second']) {
      await run(join(folder, 'checkpoint'), join(folder, name));
      manifests.push(await readFile(join(folder, name, 'manifest.json'), 'utf8'));
      await rm(join(folder, name), { recursive: true });
    }
    const equal = manifests[0] === manifests[1]; // they hold the sha256 of every file
    console.log(equal ? 'both runs: equal bytes' : 'THE TWO RUNS DIFFER');
    if (!equal) process.exitCode = 1;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

function run(...args) {
  const running = spawn(process.execPath, [fileURLToPath(import.meta.url), 'child', ...args], { stdio: 'inherit' });
  return new Promise((resolve, reject) => {
    running.on('exit', (code) => (code === 0 ? resolve() : reject(new Error(`conversion ended with status ${code}`))));
  });
}

async function child(checkpoint, out) {
  const [{ recordGolden }, { convert }] = await Promise.all(['engine/self-test.js', 'package/convert.js'].map(fromDist));
  const started = performance.now();
  let written = 0;
  const selfTest = async (folder) => {
    written = performance.now() - started;
    return await recordGolden(folder);
  };
  const manifest = await convert(checkpoint, out, { name: 'random', selfTest });
  const elapsed = performance.now() - started;
  const peakKib = Number(/VmHWM:\s+(\d+)/.exec(await readFile('/proc/self/status', 'utf8'))[1]);
  const { bytes } = manifest.files['weights.safetensors'];
  console.log(
    `converted to ${(bytes / 1e9).toFixed(2)} GB in ${seconds(written)}, self-test ${seconds(elapsed - written)}, ` +
      `resident peak ${(peakKib / 1024).toFixed(0)} MiB`,
  );
}

function seconds(ms) {
  return `${(ms / 1000).toFixed(1)} s`;
}
