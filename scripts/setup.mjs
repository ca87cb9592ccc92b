// Makes a clone ready to run: packages, the native addon where no platform package brings it, the TensorRT shim where its headers are, the CUDA backend where nvcc and a GPU are, dist/ with the page in it.
// Runs before `npm run demo` and `npm test`, has no dependencies, does only what is missing and prints nothing when nothing is.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { oneOf, readArguments } from './arguments.mjs';
import { BuildError, buildLibrary, isFor, wantedHere } from './cuda-library.mjs';
import { findHeaders, shimCommand } from './tensorrt-shim.mjs';

const USAGE = `node scripts/setup.mjs          packages, the native addon, the TensorRT shim where its headers are, the CUDA backend where nvcc and a
                                GPU are, dist/
node scripts/setup.mjs addon    the native code only: the install script of package.json
node scripts/setup.mjs shim     the TensorRT shim only
node scripts/setup.mjs cuda     the CUDA backend only`;

const ROOT = resolve(dirname(fileURLToPath(import.meta.url)), '..');
const at = (...parts) => join(ROOT, ...parts);
const ADDON = at('build', 'Release', 'mipha_edge.node');
const ADDON_STAMP = at('build', 'stamp');
const SHIM = at('build', 'Release', 'mipha_tensorrt.so');
const SHIM_STAMP = at('build', 'tensorrt-stamp');
const SHIM_ERROR = at('build', 'tensorrt-error.txt'); // read by `mipha doctor`
const DIST_STAMP = at('dist', '.stamp');
const PAGE_STAMP = at('dist', '.page-stamp');
/** Something the user can put right: shown without a stack. */
class SetupError extends Error {}
const TOOLCHAIN_HINT = 'On Debian and Ubuntu (Jetson too): sudo apt-get install -y python3 make g++';

try {
  checkNode();
  const only = oneOf(USAGE, 'argument', readArguments(USAGE, { positionals: 1 }).positionals[0], [undefined, 'addon', 'shim', 'cuda']);
  if (only === undefined) installPackages();
  const all = only === undefined || only === 'addon';
  const prebuilt = all || only === 'cuda' ? await findPrebuilt() : null;
  if (all) compileAddon(prebuilt);
  if (all || only === 'shim') compileShim();
  if (all || only === 'cuda') await compileCuda(prebuilt);
  if (only === undefined) compileTypeScript();
  if (only === undefined) buildPage();
} catch (error) {
  if (!(error instanceof SetupError)) throw error;
  console.error(`mipha-edge: ${error.message}`);
  process.exitCode = 1;
}

function checkNode() {
  const [major, minor] = process.versions.node.split('.').map(Number);
  if (major > 20 || (major === 20 && minor >= 9)) return;
  throw new SetupError(`Node 20.9 or newer is needed, this is ${process.versions.node}. See https://nodejs.org`);
}

function installPackages() {
  if (packagesMatchLock()) return;
  const npm = process.env.npm_execpath?.endsWith('.js') ? [process.execPath, process.env.npm_execpath] : ['npm'];
  // No dependency has an install script, and our own is compileAddon(), which follows.
  step('installing packages (npm ci, up to a minute)', [...npm, 'ci', '--ignore-scripts', '--no-audit', '--no-fund'], 'Is the network reachable?');
}

/** Every package of the lock file is there in its version; packages for other platforms may be absent. */
function packagesMatchLock() {
  const installed = at('node_modules', '.package-lock.json');
  if (!existsSync(installed)) return false;
  const wanted = readJson(at('package-lock.json')).packages;
  const present = readJson(installed).packages;
  return Object.entries(wanted).every(([path, { version, optional }]) => {
    if (path === '') return true;
    if (!(path in present)) return optional === true;
    return present[path].version === version && (optional === true || existsSync(at(path, 'package.json')));
  });
}

/** The platform package of this machine, where it is of use: see src/addon/prebuilt.ts, which is not compiled yet in a clone that is new. Else null. */
async function findPrebuilt() {
  const module = at('dist', 'addon', 'prebuilt.js');
  const found = existsSync(module) ? (await import(pathToFileURL(module))).findPrebuilt(ROOT) : null;
  if (found === null) return null;
  const reason = found.reason ?? failureToLoad(found.addon);
  if (reason === null) return found;
  console.error(`mipha-edge: ${found.name} is not used: ${reason}`);
  return null;
}

/** In a process of its own, because nothing is known of a binary until it runs. null: none. */
function failureToLoad(addon) {
  const { status, signal, stderr } = spawnSync(process.execPath, ['-e', 'require(process.argv[1])', addon], { encoding: 'utf8' });
  if (status === 0) return null;
  return /^Error: .*$/m.exec(stderr)?.[0] ?? `it cannot be loaded: ${signal ?? `status ${status}`}`;
}

function compileAddon(prebuilt) {
  const { version } = readJson(at('package.json')); // compiled in
  const native = files(
    'native',
    (path) => /\.(h|cc|gypi|js)$/.test(path) && !/^native\/(test|bench)\/|\/shim[^/]*$|\/cuda\/runtime\/[^/]*\.cc$/.test(path),
  );
  const stamp = fingerprint(['binding.gyp', ...native], version);
  if (existsSync(ADDON) ? upToDate(ADDON_STAMP, stamp) : prebuilt !== null) return;
  checkToolchain();
  rmSync(ADDON_STAMP, { force: true });
  const local = at('node_modules', 'node-gyp', 'bin', 'node-gyp.js');
  const gyp = existsSync(local) ? [process.execPath, local] : ['node-gyp']; // installed as a dependency: npm puts its own on the path
  step('compiling the native addon (1 to 3 minutes)', [...gyp, 'configure', 'build', '-j', 'max', ...nodeHeaders()], TOOLCHAIN_HINT);
  if (!existsSync(ADDON)) throw new SetupError(`the build did not produce ${ADDON}`);
  writeFileSync(ADDON_STAMP, stamp);
}

/** TensorRT is an extra: where the shim cannot be compiled, everything else still works. */
function compileShim() {
  const headers = findHeaders();
  if (headers === null || headers.missing.length > 0) return;
  const native = files('native/backend/tensorrt', (path) => /\/(shim[^/]*|interface\.h)$/.test(path));
  const stamp = fingerprint(native, JSON.stringify(headers));
  if (existsSync(SHIM) && upToDate(SHIM_STAMP, stamp)) return;
  rmSync(SHIM_STAMP, { force: true });
  rmSync(SHIM_ERROR, { force: true });
  mkdirSync(dirname(SHIM), { recursive: true });
  const part = `${SHIM}.part`;
  const sources = native.filter((path) => path.endsWith('.cc'));
  try {
    step(`compiling the TensorRT shim for ${headers.version} (seconds)`, shimCommand(headers, sources, part), '');
  } catch (error) {
    if (!(error instanceof SetupError)) throw error;
    writeFileSync(SHIM_ERROR, error.message);
    console.error(`mipha-edge: TensorRT cannot be used, everything else can: ${error.message}`);
    return;
  }
  renameSync(part, SHIM); // a running process keeps the old one
  writeFileSync(SHIM_STAMP, stamp);
}

/** So is CUDA. */
async function compileCuda(prebuilt) {
  const wanted = wantedHere();
  if (wanted === null || isFor(prebuilt?.cuda, wanted.architectures)) return;
  try {
    await buildLibrary(wanted);
  } catch (error) {
    if (!(error instanceof BuildError)) throw error;
    console.error(`mipha-edge: CUDA cannot be used, everything else can: ${error.message}`);
  }
}

/** Node's own headers where they came with the installation, so that node-gyp need not download them. */
function nodeHeaders() {
  const prefix = resolve(dirname(process.execPath), '..');
  const known = process.env.npm_config_nodedir ?? (existsSync(join(prefix, 'include', 'node', 'node_api.h')) ? prefix : undefined);
  return known === undefined ? [] : [`--nodedir=${known}`];
}

function checkToolchain() {
  const tools = [process.env.npm_config_python || process.env.PYTHON || 'python3', process.env.MAKE || 'make', process.env.CXX || 'g++'];
  const missing = tools.filter((tool) => spawnSync(`${tool} --version`, { shell: true, stdio: 'ignore' }).status !== 0);
  if (missing.length > 0) throw new SetupError(`compiling the native addon needs ${missing.join(', ')}. ${TOOLCHAIN_HINT}`);
}

function compileTypeScript() {
  const stamp = fingerprint([
    'tsconfig.json',
    'tsconfig.build.json',
    'node_modules/typescript/package.json',
    ...files('src', (path) => path.endsWith('.ts')),
  ]);
  if (upToDate(DIST_STAMP, stamp)) return;
  rmSync(at('dist'), { recursive: true, force: true });
  step('compiling TypeScript (seconds)', [process.execPath, at('node_modules', 'typescript', 'bin', 'tsc'), '-p', 'tsconfig.build.json'], '');
  mkdirSync(at('dist'), { recursive: true });
  writeFileSync(DIST_STAMP, stamp);
}

/** The page is an extra too: its builder wants a newer Node than the program. */
function buildPage() {
  const stamp = fingerprint([
    ...['vite', 'preact', 'uplot'].map((name) => `node_modules/${name}/package.json`),
    ...files('web', (path) => !path.endsWith('.md')),
  ]);
  if (upToDate(PAGE_STAMP, stamp)) return;
  rmSync(PAGE_STAMP, { force: true });
  try {
    step('building the page (seconds)', [process.execPath, at('node_modules', 'vite', 'bin', 'vite.js'), 'build', 'web'], '');
  } catch (error) {
    if (!(error instanceof SetupError)) throw error;
    console.error(`mipha-edge: there is no page, everything else works: ${error.message}`);
    return;
  }
  writeFileSync(PAGE_STAMP, stamp);
}

/** Runs a command quietly; the ends of its output are shown only when it fails. */
function step(what, [command, ...args], hint) {
  const start = Date.now();
  process.stderr.write(`mipha-edge: ${what} ... `);
  const { status, error, stdout, stderr } = spawnSync(command, args, {
    cwd: ROOT,
    encoding: 'utf8',
    maxBuffer: 1 << 28,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  process.stderr.write(status === 0 ? `${((Date.now() - start) / 1000).toFixed(1)} s\n` : 'failed\n');
  if (status === 0) return;
  const output = error === undefined ? ends(`${stdout}${stderr}`.trimEnd().split('\n')) : String(error);
  throw new SetupError(`this command failed: ${[command, ...args].join(' ')}\n${output}\n${hint}`.trimEnd());
}

/** Compilers say what matters last, npm says it first. */
function ends(lines, head = 15, tail = 30) {
  if (lines.length <= head + tail) return lines.join('\n');
  return [...lines.slice(0, head), `... ${lines.length - head - tail} lines ...`, ...lines.slice(-tail)].join('\n');
}

function files(folder, keep) {
  return readdirSync(at(folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name).slice(ROOT.length + 1))
    .filter(keep)
    .sort();
}

function fingerprint(paths, salt = '') {
  const hash = createHash('sha256').update(`${process.platform} ${process.arch} ${salt}`);
  for (const path of paths) {
    const bytes = readFileSync(at(path));
    hash.update(`\n${path} ${bytes.length}\n`).update(bytes);
  }
  return hash.digest('hex');
}

function upToDate(path, stamp) {
  return existsSync(path) && readFileSync(path, 'utf8') === stamp;
}

function readJson(path) {
  return JSON.parse(readFileSync(path, 'utf8'));
}
