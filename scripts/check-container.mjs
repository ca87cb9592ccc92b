// Runs the steps of examples/Containerfile in a fresh root instead of an image, for machines without a container engine: as root, with debootstrap.
import { spawnSync } from 'node:child_process';
import { chmodSync, cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { readArguments, refuse } from './arguments.mjs';

const USAGE = `node scripts/check-container.mjs FOLDER [SUITE]    FOLDER: what scripts/pack.mjs has made; SUITE: a release that debootstrap knows, bookworm
                                                   if none is named, jammy for what JetPack 6 is made of. DEBIAN_MIRROR names its mirror`;
const CONTAINERFILE = fileURLToPath(new URL('../examples/Containerfile', import.meta.url));

/** As npm here is configured, for the root has no settings of its own: its registry, and certificates that it may be signed by. */
const [REGISTRY, CERTIFICATES] = ['registry', 'cafile'].map((name) => {
  const value = spawnSync('npm', ['config', 'get', name], { encoding: 'utf8' }).stdout.trim();
  return ['', 'null', 'undefined'].includes(value) ? undefined : value;
});

const { positionals } = readArguments(USAGE, { positionals: 2 });
const [given, suite = 'bookworm'] = positionals;
if (given === undefined) refuse(USAGE, 'FOLDER is not named');
const packed = resolve(given);
const root = mkdtempSync(join(tmpdir(), 'mipha-container-'));
chmodSync(root, 0o755); // its user comes in too
let environment = {};

try {
  run('debootstrap', ['--variant=minbase', ...components(suite), suite, root, ...mirror()], `a root of ${suite}`);
  for (const step of steps()) take(step);
  const version = inside('mipha --version && mipha doctor | head -1 && id -un', 'the entry point, as its user');
  console.log(version.trimEnd());
} finally {
  rmSync(root, { recursive: true, force: true });
}

/** The instructions of the last stage, lines joined. */
function steps() {
  const text = readFileSync(CONTAINERFILE, 'utf8')
    .replace(/^#.*\n/gm, '')
    .replace(/\\\n/g, ' ');
  return text
    .slice(text.lastIndexOf('\nFROM '))
    .split('\n')
    .filter((line) => line.trim() !== '');
}

function take(step) {
  const [, instruction, rest] = /^([A-Z]+) (.*)$/.exec(step) ?? [];
  if (instruction === 'RUN') inside(rest, rest);
  else if (instruction === 'USER') environment = { ...environment, user: rest };
  else if (instruction === 'COPY' && rest.startsWith('--from=node ')) copyNode(rest.split(' ').at(-1));
  else if (instruction === 'COPY') copyTarballs(rest.split(' ').at(-1));
  else if (!['FROM', 'ENV', 'VOLUME', 'STOPSIGNAL', 'ENTRYPOINT', 'CMD'].includes(instruction)) throw new Error(`this step is not known: ${step}`);
}

/** This machine's Node stands for that of the image. */
function copyNode(target) {
  const source = target.endsWith('/node') ? process.execPath : join(dirname(process.execPath), '..', 'lib', 'node_modules');
  mkdirSync(dirname(join(root, target)), { recursive: true });
  cpSync(source, join(root, target), { recursive: true, dereference: target.endsWith('/node') });
}

function copyTarballs(target) {
  mkdirSync(join(root, target), { recursive: true });
  for (const name of readdirSync(packed)) cpSync(join(packed, name), join(root, target, name));
  if (CERTIFICATES !== undefined) cpSync(CERTIFICATES, join(root, CERTIFICATES), { dereference: true });
}

function inside(command, what) {
  const user = environment.user === undefined ? [] : [`--userspec=${environment.user}`];
  const shell = 'mount -t proc proc "$0/proc" && mount --rbind /dev "$0/dev" && cp /etc/resolv.conf "$0/etc/resolv.conf" && exec chroot "$@"';
  return run('unshare', ['--mount', 'sh', '-c', shell, root, ...user, root, '/bin/sh', '-c', command], what);
}

function run(command, args, what) {
  const start = Date.now();
  const env = { ...process.env, npm_config_registry: REGISTRY, npm_config_cafile: CERTIFICATES };
  const { status, stdout, stderr, error } = spawnSync(command, args, { env, encoding: 'utf8', maxBuffer: 1 << 26 });
  if (error) throw new Error(`${command} cannot be started: ${error.message}`);
  console.log(`${((Date.now() - start) / 1000).toFixed(0).padStart(4)} s  ${what.replace(/ +/g, ' ').slice(0, 120)}`);
  if (status !== 0) throw new Error(`${stdout}${stderr}`.trimEnd().split('\n').slice(-20).join('\n'));
  return stdout;
}

/** Ubuntu keeps GStreamer's plugins outside main. */
function components(name) {
  return /^(focal|jammy|noble)$/.test(name) ? ['--components=main,universe'] : [];
}

function mirror() {
  return process.env.DEBIAN_MIRROR ? [process.env.DEBIAN_MIRROR] : [];
}
