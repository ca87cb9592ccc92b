// Compiles build/Release/mipha_cuda.so, the CUDA backend: `npm run build:cuda`, and setup.mjs where nvcc and a GPU are.
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import os from 'node:os'; // named, availableParallelism would keep old versions of Node from being told so
import { dirname, join, normalize, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { readArguments, refuse, wholeNumber } from './arguments.mjs';
import { KERNEL_FLAGS, TARGETS } from './cuda/nvcc.mjs';
import { examine, findCompiler, findGpus, isBefore, LEAST_CAPABILITY, LEAST_VERSION, THIS_MACHINE } from './cuda-toolkit.mjs';
import { linkFlags, OLD_GLIBC, OLD_GLIBC_FLAGS } from './pack/portable.mjs';

const USAGE = `npm run build:cuda                        the CUDA backend for the GPU of this machine alone
npm run build:cuda -- --arch 87,90,ptx    for these compute capabilities; ptx: what every GPU from 8.0 on can make its own code of, at the first start
npm run build:cuda -- --all               what is shipped: 87 (Orin), 90 (Hopper), 110 (Thor) and ptx, for glibc 2.31 and later

--jobs N compiles so many files at a time. nvcc ${LEAST_VERSION} or later is looked for in CUDA_HOME, /usr/local/cuda/bin and the PATH; CXX names g++.
Only what has changed is compiled. A GPU is needed by the first form alone.`;

const ROOT = resolve(dirname(fileURLToPath(import.meta.url)), '..');
const LIBRARY = 'build/Release/mipha_cuda.so';
const DESCRIPTION = 'build/Release/mipha_cuda.json'; // for whom packs it: { cuda: '13.0', code: ['sm_87', …] }
const OBJECTS = 'build/cuda';
const BUILT = `${OBJECTS}/built.json`; // of the library that is there: { architectures, fingerprint }
const ERROR = 'build/cuda-error.txt'; // read by `mipha doctor`
const SHIPPED = [...TARGETS.map(String), 'ptx'];
const DEVICE_FLAGS = ['-cudart', 'static', '-Xcompiler', '-fPIC,-fvisibility=hidden,-Wall,-Wextra'];
/** Of code for the processor, as native/gyp/flags.gypi has them. */
const HOST_FLAGS =
  '-std=c++17 -O3 -fPIC -fvisibility=hidden -fvisibility-inlines-hidden -ffp-contract=off -Wall -Wextra -Wno-missing-field-initializers'.split(' ');
const NEEDED = '-lcudart_static -ldl -lrt -lpthread -Wl,-z,defs -Wl,-z,nodelete -Wl,--exclude-libs,ALL'.split(' ');
const JOB_BYTES = 2e9; // of memory, for one nvcc

/** Something the user can put right: shown without a stack. */
export class BuildError extends Error {}

/** For setup: this machine's GPU where there is one that can be compiled for, null elsewhere. Leaves a library alone that is for others beside it. */
export function wantedHere() {
  const gpus = findGpus();
  if (gpus.length === 0) return null;
  const { nvcc } = findCompiler();
  if (nvcc === null || nvcc.isOld) return null;
  const architectures = architecturesOf(gpus);
  if (architectures.length === 0) return null;
  const there = existsSync(at(LIBRARY)) ? built().architectures : [];
  return { nvcc, architectures: architectures.every((name) => there.includes(name)) ? there : architectures };
}

/** Whether a platform package's library ({ version, code }) has machine code for all of them, and the driver is new enough; one that does not tell is not. */
export function isFor(library, architectures, machine = THIS_MACHINE) {
  if (!library || !architectures.every((name) => library.code.includes(`sm_${name}`))) return false;
  const driver = examine(machine).driver?.cuda ?? null;
  return driver !== null && !isBefore(driver, library.version);
}

/** Compiles what has changed and links it; says what it does line by line. Throws BuildError, whose text doctor finds again. */
export async function buildLibrary({ nvcc, architectures, travels = false, jobs = defaultJobs() }) {
  rmSync(at(ERROR), { force: true });
  try {
    await build({ nvcc, architectures, travels, jobs });
  } catch (error) {
    if (!(error instanceof BuildError)) throw error;
    mkdirSync(at('build'), { recursive: true });
    writeFileSync(at(ERROR), error.message);
    throw error;
  }
}

async function build({ nvcc, architectures, travels, jobs }) {
  checkArchitectures(nvcc, architectures);
  const start = Date.now();
  const plan = planOf(nvcc, architectures, travels);
  const stale = plan.units.filter(({ object, command }) => stampOf(object, command, nvcc) !== textOf(`${object}.stamp`));
  if (stale.length === 0 && existsSync(at(LIBRARY)) && built().fingerprint === linkFingerprint(plan)) return;
  const names = architectures.map((name) => (name === 'ptx' ? 'PTX' : `sm_${name}`)).join(', ');
  say(`mipha-edge: compiling the CUDA backend for ${names} with nvcc ${nvcc.version}: ${stale.length} of ${plan.units.length} files, minutes in all`);
  mkdirSync(at(OBJECTS), { recursive: true });
  mkdirSync(dirname(at(LIBRARY)), { recursive: true });
  await compile(stale, nvcc, jobs);
  rmSync(at(BUILT), { force: true });
  await run(plan.link);
  renameSync(at(plan.linked), at(LIBRARY)); // a running process keeps the old one
  writeFileSync(at(DESCRIPTION), JSON.stringify({ cuda: nvcc.version, code: codeOf(architectures) }));
  writeFileSync(at(BUILT), JSON.stringify({ architectures, fingerprint: linkFingerprint(plan) }));
  say(`mipha-edge: ${LIBRARY} for ${names}: ${seconds(start)} s`);
}

/** Every source with its object and command, and the command that links them. Paths are from the root, so that a clone may move. */
function planOf(nvcc, architectures, travels) {
  const built = codeOf(architectures);
  const gencode = built.map((code) => `-gencode=arch=${code.replace('sm_', 'compute_')},code=${code}`);
  const cxx = process.env.CXX || 'g++';
  const { include, libraries } = foldersOf(nvcc);
  const device = [nvcc.path, ...KERNEL_FLAGS, ...gencode, ...DEVICE_FLAGS, '-ccbin', cxx];
  const host = [cxx, ...HOST_FLAGS, `-DMIPHA_CUDA_BUILT="${built.join(' ')}"`, ...include.flatMap((folder) => ['-isystem', folder])];
  const unit = (source, compiler) => {
    const object = `${OBJECTS}/${source.replace('native/', '').replaceAll('/', '_')}.o`;
    return { source, object, command: [...compiler, '-Inative', '-MD', '-MF', `${object}.d`, '-c', source, '-o', object] };
  };
  const runtime = JSON.parse(readFileSync(at('native/gyp/sources.gypi'), 'utf8')).variables.cuda_runtime_sources;
  const units = [...kernelSources().map((source) => unit(source, device)), ...runtime.map((source) => unit(source, host))];
  const old = travels ? [unit(OLD_GLIBC, [cxx, ...OLD_GLIBC_FLAGS])] : [];
  const linked = `${LIBRARY}.part`;
  const objects = units.map(({ object }) => object);
  const found = [...libraries.map((folder) => `-L${folder}`), ...old.flatMap(({ object }) => linkFlags(object))];
  return { units: [...units, ...old], linked, link: [cxx, '-shared', '-o', linked, ...objects, ...found, ...NEEDED] };
}

/** As the library itself tells it. */
function codeOf(architectures) {
  return architectures.map((name) => (name === 'ptx' ? `compute_${LEAST_CAPABILITY}` : `sm_${name}`));
}

function kernelSources() {
  const folder = 'native/backend/cuda/kernels';
  const names = existsSync(at(folder)) ? readdirSync(at(folder)).filter((name) => name.endsWith('.cu')) : [];
  if (names.length === 0) throw new BuildError(`${folder} has no file that ends in .cu: the sources are not whole`);
  return names.sort().map((name) => `${folder}/${name}`);
}

/** Folders of headers and of libcudart_static.a as nvcc names them; none where they are the compiler's own. */
function foldersOf(nvcc) {
  const { stderr = '', stdout = '' } = spawnSync(nvcc.path, ['--dryrun', '-x', 'cu', '-c', '/dev/null', '-o', 'none.o'], { encoding: 'utf8' });
  const line = (name) => new RegExp(`^#\\$ ${name}=(.*)$`, 'm').exec(stderr + stdout)?.[1] ?? '';
  const folders = (text, option) => [...text.matchAll(new RegExp(`${option}([^"]+?)"`, 'g'))].map(([, folder]) => normalize(folder.trim()));
  return { include: folders(line('INCLUDES'), '-I'), libraries: folders(line('LIBRARIES'), '-L').filter((folder) => !folder.endsWith('/stubs')) };
}

function checkArchitectures(nvcc, architectures) {
  const known = spawnSync(nvcc.path, ['--list-gpu-code'], { encoding: 'utf8' }).stdout ?? '';
  for (const name of architectures) {
    if (name === 'ptx' || new RegExp(`^sm_${name}$`, 'm').test(known)) continue;
    throw new BuildError(
      `nvcc ${nvcc.version} (${nvcc.path}) makes no code for compute capability ${dotted(name)}: a newer CUDA toolkit does, ` +
        'or take PTX, which the driver compiles: npm run build:cuda -- --arch ptx',
    );
  }
}

/** So many at a time; after each, how long the rest may take by the size of its sources. */
async function compile(units, nvcc, jobs) {
  const start = Date.now();
  const weight = ({ source }) => statSync(at(source)).size;
  const total = units.reduce((sum, unit) => sum + weight(unit), 0);
  const waiting = [...units];
  const digits = String(units.length).length;
  let [done, doneWeight] = [0, 0];
  let failure = null;
  const worker = async () => {
    while (waiting.length > 0 && failure === null) {
      const unit = waiting.shift();
      const begin = Date.now();
      rmSync(at(`${unit.object}.stamp`), { force: true });
      const words = await run(unit.command).catch((error) => {
        failure = failure ?? error;
        return null;
      });
      if (words === null) return;
      writeFileSync(at(`${unit.object}.stamp`), stampOf(unit.object, unit.command, nvcc) ?? '');
      done++;
      doneWeight += weight(unit);
      const left = Math.round((((Date.now() - start) / 1000) * (total - doneWeight)) / doneWeight);
      say(`  ${String(done).padStart(digits)} of ${units.length}  ${unit.source}  ${seconds(begin)} s${left > 0 ? `, about ${left} s left` : ''}`);
      if (words !== '') say(words); // warnings
    }
  };
  await Promise.all(Array.from({ length: Math.min(jobs, units.length) }, worker));
  if (failure !== null) throw failure;
}

/** What a command printed. Throws BuildError with its last lines. */
function run([command, ...args]) {
  return new Promise((settle, fail) => {
    const child = spawn(command, args, { cwd: ROOT, stdio: ['ignore', 'pipe', 'pipe'] });
    const lines = [];
    for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text) => lines.push(text));
    child.once('error', (error) => fail(new BuildError(`${command} cannot be started: ${error.message}`)));
    child.once('close', (status, signal) => {
      const words = lines.join('').trimEnd();
      if (status === 0) return settle(words);
      const how = signal === null ? '' : `\nit was ended by ${signal}${signal === 'SIGKILL' ? ': too little memory? --jobs 1 needs less' : ''}`;
      const hint = /unsupported GNU version/.test(words)
        ? '\nThis nvcc wants an older g++: CXX=g++-13 npm run build:cuda, or another that is installed'
        : '';
      fail(new BuildError(`this command failed: ${[command, ...args].join(' ')}\n${words.split('\n').slice(-30).join('\n')}${how}${hint}`));
    });
  });
}

/** Of an object: its command, the compiler's version and every file of ours that it was made of, as the compiler has listed them. null: not known. */
function stampOf(object, command, nvcc) {
  const listed = textOf(`${object}.d`);
  if (listed === '' || !existsSync(at(object))) return null;
  const hash = createHash('sha256').update(JSON.stringify([command, nvcc.version]));
  const paths = listed.split(/\s+/).filter((path) => /^(native|scripts)\//.test(path));
  for (const path of [...new Set(paths.map(normalize))].sort()) hash.update(`\n${path}\n`).update(textOf(path));
  return hash.digest('hex');
}

function linkFingerprint({ units, link }) {
  const hash = createHash('sha256').update(JSON.stringify(link));
  for (const { object } of units) hash.update(textOf(`${object}.stamp`));
  return hash.digest('hex');
}

function built() {
  return JSON.parse(textOf(BUILT) || '{"architectures":[],"fingerprint":""}');
}

/** Those of the GPUs that the backend runs on, each once; what the driver does not tell is compiled by the driver. */
function architecturesOf(gpus) {
  const usable = gpus.filter(({ capability }) => capability === null || capability >= LEAST_CAPABILITY);
  return [...new Set(usable.map(({ capability }) => (capability === null ? 'ptx' : String(capability))))].sort();
}

function defaultJobs() {
  return Math.max(1, Math.min(os.availableParallelism(), Math.floor(os.totalmem() / JOB_BYTES)));
}

function at(path) {
  return join(ROOT, path);
}

function textOf(path) {
  return existsSync(at(path)) ? readFileSync(at(path), 'utf8') : '';
}

function say(line) {
  process.stderr.write(`${line}\n`);
}

function seconds(start) {
  return ((Date.now() - start) / 1000).toFixed(1);
}

function dotted(capability) {
  return `${Math.trunc(Number(capability) / 10)}.${Number(capability) % 10}`;
}

// ---- npm run build:cuda

function readArchitectures(text) {
  const names = text.split(',').map((name) => name.trim());
  const isOne = (name) => name === 'ptx' || (/^\d{2,3}$/.test(name) && Number(name) >= LEAST_CAPABILITY);
  if (names.every(isOne)) return [...new Set(names)];
  return refuse(USAGE, `--arch: expected compute capabilities from ${LEAST_CAPABILITY} on and ptx, as in 87,90,ptx, received ${text}`);
}

/** Of the GPUs of a machine. Throws BuildError. */
export function architecturesHere(machine = THIS_MACHINE) {
  const gpus = findGpus(machine);
  const elsewhere = 'Compile for another machine: npm run build:cuda -- --all';
  if (gpus.length === 0) throw new BuildError(`no GPU is seen: neither a Jetson's chip nor one that nvidia-smi lists. ${elsewhere}`);
  const architectures = architecturesOf(gpus);
  if (architectures.length > 0) return architectures;
  const seen = gpus.map(({ name, capability }) => `${name}, ${dotted(capability)}`).join('; ');
  throw new BuildError(`the CUDA backend needs compute capability ${dotted(LEAST_CAPABILITY)} or later, this machine has ${seen}. ${elsewhere}`);
}

/** Throws BuildError where there is none that will do. */
export function compilerHere(machine = THIS_MACHINE) {
  const { nvcc, looked } = findCompiler(machine);
  const get = `CUDA ${LEAST_VERSION} or later brings it: on a Jetson with JetPack 6.2 or later \`sudo apt-get install -y nvidia-jetpack\`, elsewhere NVIDIA's package cuda-toolkit. CUDA_HOME names the folder of one that is in another place.`;
  if (nvcc === null) throw new BuildError(`nvcc not found in ${looked.join(', ')}. ${get}`);
  if (nvcc.isOld) throw new BuildError(`nvcc ${LEAST_VERSION} or later is needed, ${nvcc.path} is ${nvcc.version}. ${get}`);
  return nvcc;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const options = { arch: { type: 'string' }, all: { type: 'boolean' }, jobs: { type: 'string' } };
  const { values } = readArguments(USAGE, { options });
  if (values.all && values.arch !== undefined) refuse(USAGE, '--all and --arch: expected one of them');
  const given = values.all ? SHIPPED : values.arch === undefined ? null : readArchitectures(values.arch);
  const jobs = wholeNumber(USAGE, '--jobs', values.jobs, defaultJobs());
  try {
    const nvcc = compilerHere();
    await buildLibrary({ nvcc, architectures: given ?? architecturesHere(), travels: values.all === true, jobs });
  } catch (error) {
    if (!(error instanceof BuildError)) throw error;
    console.error(`mipha-edge: ${error.message}`);
    process.exitCode = 1;
  }
}
