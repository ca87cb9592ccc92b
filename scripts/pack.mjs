// Makes the packages that npm publishes: one for each platform, which holds the native binary compiled, and mipha-edge itself, which names them.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { oneOf, readArguments, refuse } from './arguments.mjs';
import { EXPORTS, linkFlags, OLD_GLIBC, OLD_GLIBC_FLAGS } from './pack/portable.mjs';
import { examineFile, objections } from './pack/symbols.mjs';

const USAGE = `node scripts/pack.mjs FOLDER                   mipha-edge and its packages for x64 and arm64 as tarballs in FOLDER; npm run setup first
node scripts/pack.mjs FOLDER --platform arm64   of the platform packages this one only
node scripts/pack.mjs FOLDER --cuda FILE        with a mipha_cuda.so of \`npm run build:cuda -- --all\` in the package of its processor; once for each

The package for another processor takes the cross compiler (on x64 g++-aarch64-linux-gnu). What would not run on glibc 2.31 is refused by name.`;

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const at = (...parts) => join(ROOT, ...parts);
const BUILD = at('build-packages'); // kept: what has not changed is not compiled again
const ADDON = 'mipha_edge.node';
const CUDA = 'mipha_cuda.so';
const TRIPLES = { x64: 'x86_64-linux-gnu', arm64: 'aarch64-linux-gnu' };
const CPUS = Object.keys(TRIPLES);
const { version, license, repository, engines } = readJson(at('package.json'));

/** Something the user can put right: shown without a stack. */
class PackError extends Error {}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const options = { platform: { type: 'string' }, cuda: { type: 'string', multiple: true } };
  const { values, positionals } = readArguments(USAGE, { positionals: 1, options });
  const [given] = positionals;
  if (given === undefined) refuse(USAGE, 'FOLDER is not named');
  const only = oneOf(USAGE, '--platform', values.platform, [undefined, ...CPUS]);
  const folder = resolve(given);
  if (existsSync(folder) && readdirSync(folder).length > 0) refuse(USAGE, `FOLDER: expected a new or empty folder, ${given} has files`);
  try {
    pack(
      folder,
      only === undefined ? CPUS : [only],
      (values.cuda ?? []).map((path) => resolve(path)),
    );
  } catch (error) {
    if (!(error instanceof PackError)) throw error;
    console.error(`mipha-edge: ${error.message}`);
    process.exitCode = 1;
  }
}

function pack(folder, cpus, libraries) {
  if (!existsSync(at('dist/index.js'))) throw new PackError('dist/ is not there: npm run setup');
  const cuda = Object.fromEntries(libraries.map((path) => [checked(path).cpu, path]));
  for (const cpu of Object.keys(cuda)) if (!cpus.includes(cpu)) throw new PackError(`${cuda[cpu]} is for ${cpu}, which is not packed`);
  const stage = mkdtempSync(join(tmpdir(), 'mipha-pack-'));
  try {
    mkdirSync(folder, { recursive: true });
    for (const cpu of cpus) {
      const held = stagePlatform(join(stage, cpu), cpu, [compileAddon(cpu), ...(cuda[cpu] === undefined ? [] : [cuda[cpu]])]);
      const names = Object.entries(held.files).map(([name, { bytes }]) => `${name} ${(bytes / 1e6).toFixed(1)} MB`);
      console.log(`${tarballOf(join(stage, cpu), folder)}: ${names.join(', ')}; glibc ${held.glibc} or later`);
    }
    console.log(`${stageMain(stage, folder)}: names ${CPUS.map(nameOf).join(' and ')}`);
  } finally {
    rmSync(stage, { recursive: true, force: true });
  }
}

export function nameOf(cpu) {
  return `@mipha-edge/linux-${cpu}`;
}

/** Compiled by binding.gyp in a folder of its own, so that build/ stays as it is. Gives the path of the addon, stripped. */
function compileAddon(cpu) {
  const tool = (name) => (cpu === process.arch ? name : `${TRIPLES[cpu]}-${name}`);
  if (spawnSync(tool('g++'), ['--version']).status !== 0) {
    throw new PackError(
      `${tool('g++')} not found: sudo apt-get install -y ${cpu === process.arch ? 'g++' : `g++-${TRIPLES[cpu].replace('_', '-')}`}`,
    );
  }
  const folder = join(BUILD, cpu);
  mkdirSync(folder, { recursive: true });
  for (const name of ['native', 'binding.gyp', 'package.json', 'node_modules']) {
    if (!existsSync(join(folder, name))) symlinkSync(at(name), join(folder, name));
  }
  copyFileSync(EXPORTS, join(folder, 'exports.map'));
  run(tool('g++'), [...OLD_GLIBC_FLAGS, '-c', at(OLD_GLIBC), '-o', join(folder, 'old_glibc.o')]);
  console.error(`mipha-edge: compiling the addon for ${cpu} (1 to 3 minutes; seconds where nothing has changed)`);
  const prefix = resolve(dirname(process.execPath), '..'); // headers that came with Node; else node-gyp loads them down
  const headers = existsSync(join(prefix, 'include', 'node', 'node_api.h')) ? [`--nodedir=${prefix}`] : [];
  const flags = ['-Wl,--version-script=../exports.map', ...linkFlags('../old_glibc.o')].join(' '); // make runs in build/, and takes no spaces
  const env = { ...process.env, CC: tool('gcc'), CXX: tool('g++'), AR: tool('ar'), LDFLAGS: flags };
  const made = join(folder, 'build', 'Release', ADDON);
  rmSync(made, { force: true }); // what it is linked with is no file that make knows
  rmSync(join(folder, 'build', 'Release', 'obj.target', ADDON), { force: true });
  const gyp = at('node_modules', 'node-gyp', 'bin', 'node-gyp.js');
  run(process.execPath, [gyp, 'configure', 'build', `--arch=${cpu}`, '-j', 'max', ...headers], { cwd: folder, env });
  const stripped = join(folder, ADDON);
  run(tool('strip'), ['--strip-all', '-o', stripped, made]);
  return stripped;
}

/** The facts of a native file that may travel. */
function checked(path) {
  if (!existsSync(path)) throw new PackError(`${path}: no such file`);
  const facts = examineFile(path);
  const [first, ...more] = objections(facts);
  if (first !== undefined)
    throw new PackError(`${path} would not run on every system: ${first}${more.length > 0 ? `, and ${more.length} more` : ''}`);
  return facts;
}

/** Writes a platform package: package.json, README, licence, native files. Gives what its package.json says under `mipha`. */
export function stagePlatform(folder, cpu, paths) {
  mkdirSync(folder, { recursive: true });
  const files = {};
  let glibc = '2.17';
  for (const path of paths) {
    const facts = checked(path);
    if (facts.cpu !== cpu) throw new PackError(`${path}: expected a file for ${cpu}, received one for ${facts.cpu}`);
    if (Number(facts.glibc.split('.')[1]) > Number(glibc.split('.')[1])) glibc = facts.glibc;
    const bytes = readFileSync(path);
    const isCuda = basename(path) === CUDA;
    const about = isCuda ? readJson(path.replace(/\.so$/, '.json')) : {}; // written by cuda-library.mjs
    files[isCuda ? CUDA : ADDON] = { bytes: bytes.length, sha256: createHash('sha256').update(bytes).digest('hex'), ...about };
    copyFileSync(path, join(folder, isCuda ? CUDA : ADDON));
  }
  copyFileSync(at('LICENSE'), join(folder, 'LICENSE'));
  writeFileSync(join(folder, 'README.md'), readmeOf(cpu));
  const held = { glibc, files };
  const description = `The native binary of mipha-edge for Linux on ${cpu}`;
  const fits = { os: ['linux'], cpu: [cpu], libc: ['glibc'], engines };
  const manifest = { name: nameOf(cpu), version, description, license, repository, ...fits, files: Object.keys(files), mipha: held };
  writeFileSync(join(folder, 'package.json'), `${JSON.stringify(manifest, null, 2)}\n`);
  return held;
}

function readmeOf(cpu) {
  return `# ${nameOf(cpu)}
The native binary of [mipha-edge](${repository.url.replace(/^git\+|\.git$/g, '')}), compiled for Linux on ${cpu}. Install \`mipha-edge\`, which takes it where it fits.

GCC's C++ library is linked in, under the GCC Runtime Library Exception.
`;
}

/** mipha-edge as npm packs it, its package.json with the platform packages: a clone has none of them, so that it asks nobody for what is not published. */
function stageMain(stage, folder) {
  const packed = tarballOf(ROOT, stage);
  run('tar', ['-xzf', join(stage, packed), '-C', stage]);
  const path = join(stage, 'package', 'package.json');
  const optionalDependencies = Object.fromEntries(CPUS.map((cpu) => [nameOf(cpu), version]));
  writeFileSync(path, `${JSON.stringify({ ...readJson(path), optionalDependencies }, null, 2)}\n`);
  return tarballOf(join(stage, 'package'), folder);
}

/** Gives the name of the tarball. */
function tarballOf(folder, into) {
  const out = run('npm', ['pack', '--ignore-scripts', '--json', '--pack-destination', into], { cwd: folder });
  return Object.values(JSON.parse(out))[0].filename;
}

/** What a command printed. */
function run(command, args, options = {}) {
  const { status, stdout, stderr, error } = spawnSync(command, args, { encoding: 'utf8', maxBuffer: 1 << 28, ...options });
  if (error) throw new PackError(`${command} cannot be started: ${error.message}`);
  if (status === 0) return stdout;
  throw new PackError(`this command failed: ${[command, ...args].join(' ')}\n${`${stdout}${stderr}`.trimEnd().split('\n').slice(-30).join('\n')}`);
}

function readJson(path) {
  return JSON.parse(readFileSync(path, 'utf8'));
}
