// What a native file asks of the system it runs on: read from its ELF headers by readelf, which reads those of every processor.
import { spawnSync } from 'node:child_process';

/** glibc's version in Debian 11 and Ubuntu 20.04: older than that of every system that Node 20, JetPack 6 and JetPack 7 are for. */
export const FLOOR = '2.31';
/** Libraries that are part of glibc, and libgcc_s, which Node itself needs. */
const ALLOWED = /^(lib(c|m|dl|pthread|rt)\.so\.\d+|ld-linux-(x86-64|aarch64)\.so\.\d|libgcc_s\.so\.1)$/;
/** Of what libgcc_s has got since GCC 4 nothing of ours has need. */
const LIBGCC = /^GCC_[34]\./;

/**
 * { cpu: 'x64' or 'arm64', glibc: '2.29', needed: ['libc.so.6', …], symbols: [{ name: 'exp', version: 'GLIBC_2.29' }, …], exported: ['…'] }. `glibc` is the
 * newest version that a symbol asks for.
 */
export function examineFile(path) {
  const header = readelf('--file-header', path);
  const cpu = /Machine:.*X86-64/.test(header) ? 'x64' : /Machine:.*AArch64/.test(header) ? 'arm64' : null;
  const needed = [...readelf('--dynamic', path).matchAll(/\(NEEDED\).*\[(.+)\]/g)].map(([, name]) => name);
  const table = [...readelf('--dyn-syms', path).matchAll(/^ +\d+: [\da-f]+ .* (UND|\d+) (\S+?)(?:@+(\S+)(?: \(\d+\))?)?$/gm)];
  const symbols = table.filter(([, place, , version]) => place === 'UND' && version).map(([, , name, version]) => ({ name, version }));
  const exported = table.filter(([, place]) => place !== 'UND').map(([, , name]) => name);
  const glibc = symbols.map(({ version }) => /^GLIBC_([\d.]+)$/.exec(version)?.[1]).filter(Boolean);
  return { cpu, glibc: glibc.sort(byVersion).at(-1) ?? null, needed, symbols, exported };
}

/** Why a file would not run on every system that a package is for; empty where it would. */
export function objections({ needed, symbols }) {
  const tooNew = symbols.filter(({ version }) => {
    const glibc = /^GLIBC_([\d.]+)$/.exec(version)?.[1];
    return glibc === undefined ? !LIBGCC.test(version) : byVersion(glibc, FLOOR) > 0;
  });
  return [
    ...needed.filter((name) => !ALLOWED.test(name)).map((name) => `it needs ${name}`),
    ...tooNew.map(({ name, version }) => `${name} is asked for as ${version}, expected none but GLIBC_ up to ${FLOOR}`),
  ];
}

function byVersion(a, b) {
  const [left, right] = [a, b].map((text) => text.split('.').map(Number));
  for (let i = 0; i < 3; i++) if ((left[i] ?? 0) !== (right[i] ?? 0)) return (left[i] ?? 0) - (right[i] ?? 0);
  return 0;
}

function readelf(option, path) {
  const { status, stdout, stderr, error } = spawnSync('readelf', [option, '--wide', path], {
    encoding: 'utf8',
    maxBuffer: 1 << 26,
    env: { ...process.env, LC_ALL: 'C' },
  });
  if (error) throw new Error(`readelf cannot be started (package binutils): ${error.message}`);
  if (status !== 0) throw new Error(`${path} cannot be read as a library: ${stderr.trim().split('\n')[0]}`);
  return stdout;
}
