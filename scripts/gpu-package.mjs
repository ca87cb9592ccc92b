// Makes the folder that scripts/gpu-check.sh takes to a machine with a GPU: programs for devices, the shipped nano and its questions.
import { spawnSync } from 'node:child_process';
import { copyFileSync, cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { readArguments, refuse } from './arguments.mjs';
import { makes, TARGETS } from './cuda/nvcc.mjs';
import { BuildError, compilerHere } from './cuda-library.mjs';

const USAGE = `node scripts/gpu-package.mjs FOLDER                   makes FOLDER with what scripts/gpu-check.sh needs: npm run setup first, and nvcc
node scripts/gpu-package.mjs FOLDER --targets 87,90   compute capabilities that get machine code; others compile PTX as they start. Without it: those
                                                      shipped that are beside such a processor, 90 on x64, 87, 90 and 110 on arm64`;
const ROOT = fileURLToPath(new URL('..', import.meta.url));
const BUILD = join(ROOT, 'build-gpu'); // kept: what has not changed is not compiled again
const NANO = join(ROOT, 'models', 'mipha-nano');
const MOST_MEGABYTES = 60; // what travels
const ON_X64 = [90]; // Orin and Thor are beside arm64

const { values, positionals } = readArguments(USAGE, { positionals: 1, options: { targets: { type: 'string' } } });
const [given] = positionals;
if (given === undefined) refuse(USAGE, 'FOLDER is not named');
if (values.targets !== undefined && !/^\d{2,3}(,\d{2,3})*$/.test(values.targets)) {
  refuse(USAGE, `--targets: expected numbers such as 87,90, received ${values.targets}`);
}
const folder = resolve(given);
if (existsSync(folder) && readdirSync(folder).length > 0) refuse(USAGE, `FOLDER: expected a new or empty folder, ${given} has files`);
if (!existsSync(join(ROOT, 'dist/addon/load.js'))) refuse(USAGE, 'npm run setup comes first: nothing is compiled here');
const nvcc = compiler();
const usual = process.arch === 'x64' ? ON_X64 : TARGETS.filter((target) => makes(nvcc.version, target));
const targets = values.targets?.split(',') ?? usual;
for (const target of targets) if (!makes(nvcc.version, target)) refuse(USAGE, `--targets: nvcc ${nvcc.version} makes no code for ${target}`);

rmSync(join(BUILD, 'gpu-check'), { recursive: true, force: true }); // programs that are no longer made
run('cmake', '-S', join(ROOT, 'native'), '-B', BUILD, '-DMIPHA_GPU=ON', `-DMIPHA_CUDA_TARGETS=${targets.join(';')}`);
run('cmake', '--build', BUILD, '--target', 'gpu_check', '-j', '2');
mkdirSync(join(folder, 'questions'), { recursive: true });
cpSync(join(BUILD, 'gpu-check'), folder, { recursive: true });
cpSync(NANO, join(folder, 'nano'), { recursive: true, filter: (path) => path !== join(NANO, 'checkpoint') });
for (const script of ['gpu-check.sh', 'gpu-check/pytorch.py']) copyFileSync(join(ROOT, 'scripts', script), join(folder, script.split('/').at(-1)));
run(process.execPath, join(ROOT, 'scripts/gpu-check/questions.mjs'), NANO, join(folder, 'questions'));

const megabytes = sizeOf(folder) / 1e6;
const code = targets.map((target) => `sm_${target}`).join(', ');
console.log(`${given}: ${megabytes.toFixed(1)} MB of at most ${MOST_MEGABYTES}, code for ${code}, PTX for others, nvcc ${nvcc.release}`);
console.log(`It needs a driver for CUDA ${nvcc.version} and glibc ${glibcOf(folder)} or later, ${process.arch}. There: bash gpu-check.sh .`);
if (megabytes > MOST_MEGABYTES) {
  console.error(`more than the ${MOST_MEGABYTES} MB that may travel`);
  process.exitCode = 1;
}

function compiler() {
  try {
    return compilerHere();
  } catch (error) {
    if (!(error instanceof BuildError)) throw error;
    console.error(error.message);
    return process.exit(1);
  }
}

function run(command, ...args) {
  const { status, error } = spawnSync(command, args, { cwd: ROOT, stdio: 'inherit' });
  if (error) throw error;
  if (status !== 0) process.exit(1);
}

/** "2.35", the newest version of the C library that a program of the folder asks for: versions of symbols stand in a file as text. */
function glibcOf(path) {
  const asked = readdirSync(path)
    .filter((name) => statSync(join(path, name)).isFile())
    .flatMap((name) => [...readFileSync(join(path, name), 'latin1').matchAll(/\0GLIBC_2\.(\d+)(?:\.\d+)?(?=\0)/g)].map(([, minor]) => Number(minor)));
  return `2.${Math.max(...asked)}`;
}

function sizeOf(path) {
  const facts = statSync(path);
  return facts.isDirectory() ? readdirSync(path).reduce((sum, name) => sum + sizeOf(join(path, name)), 0) : facts.size;
}
