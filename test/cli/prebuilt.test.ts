/** Platform packages: which are used, which are named and passed over; and what may be in them. */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { appendFile, cp, mkdir, mkdtemp, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { loadAddon, loadedAddon } from '../../src/addon/load.js';
import { findPrebuilt, type Host } from '../../src/addon/prebuilt.js';
import { describeWith } from '../support/programs.js';
import { node, ROOT } from './run.js';

const PLATFORM = `linux-${process.arch}`;
const NAME = `@mipha-edge/${PLATFORM}`;
const ADDON = join(ROOT, 'build', 'Release', 'mipha_edge.node');
const { version: VERSION } = JSON.parse(await readFile(join(ROOT, 'package.json'), 'utf8')) as { version: string };
const script = <Module>(path: string) => import(pathToFileURL(join(ROOT, 'scripts', path)).href) as Promise<Module>;

let root = '';
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'mipha-prebuilt-'));
  await writeFile(join(root, 'package.json'), JSON.stringify({ name: 'mipha-edge', version: VERSION }));
});
afterEach(() => rm(root, { recursive: true }));

const folderOf = (platform = PLATFORM) => join(root, 'node_modules', '@mipha-edge', platform);
const fileOf = (name = 'mipha_edge.node') => join(folderOf(), name);

/** A platform package with the addon of this checkout, or with `bytes` in its place; `changes` are of its package.json. */
async function place(
  changes: Record<string, unknown> = {},
  { platform = PLATFORM, bytes }: { platform?: string; bytes?: string } = {},
): Promise<void> {
  const content = bytes === undefined ? await readFile(ADDON) : Buffer.from(bytes);
  const held = { bytes: content.length, sha256: createHash('sha256').update(content).digest('hex') };
  const mipha = { glibc: '2.29', files: { 'mipha_edge.node': held } };
  await mkdir(folderOf(platform), { recursive: true });
  await writeFile(join(folderOf(platform), 'mipha_edge.node'), content);
  await writeFile(join(folderOf(platform), 'package.json'), JSON.stringify({ name: `@mipha-edge/${platform}`, version: VERSION, mipha, ...changes }));
}

describe('a platform package that fits', () => {
  it('is loaded where nothing was compiled, and is said', async () => {
    await place();
    const { addon, ...rest } = loadedAddon(root);
    expect(addon.version).toBe(loadAddon().version);
    expect(rest).toEqual({ path: fileOf(), prebuilt: NAME, passedOver: [] });
  });

  it('stands behind what was compiled here, and in the place of what cannot be loaded', async () => {
    await place();
    const compiled = join(root, 'build', 'Release', 'mipha_edge.node');
    await mkdir(join(compiled, '..'), { recursive: true });
    await writeFile(compiled, 'not a library');
    expect(loadedAddon(root)).toMatchObject({
      prebuilt: NAME,
      passedOver: [{ path: compiled, reason: expect.stringContaining('mipha_edge.node: ') }],
    });
    await cp(ADDON, compiled);
    expect(loadedAddon(root)).toMatchObject({ path: compiled, prebuilt: null, passedOver: [] });
  });

  it('may bring the CUDA backend', async () => {
    await place();
    const library = Buffer.from('a library');
    const { mipha } = JSON.parse(await readFile(fileOf('package.json'), 'utf8'));
    mipha.files['mipha_cuda.so'] = {
      bytes: library.length,
      sha256: createHash('sha256').update(library).digest('hex'),
      cuda: '13.0',
      code: ['sm_87', 'compute_80'],
    };
    await writeFile(fileOf('package.json'), JSON.stringify({ name: NAME, version: VERSION, mipha }));
    await writeFile(fileOf('mipha_cuda.so'), library);
    expect(findPrebuilt(root)).toMatchObject({
      reason: null,
      cuda: { path: fileOf('mipha_cuda.so'), version: '13.0', code: ['sm_87', 'compute_80'] },
    });
    await appendFile(fileOf('mipha_cuda.so'), 'x');
    expect(findPrebuilt(root)).toMatchObject({ reason: 'mipha_cuda.so is damaged: 10 bytes, expected 9', cuda: null });
  });
});

describe('a platform package that does not fit is passed over:', () => {
  const HERE: Host = { platform: PLATFORM, glibc: () => '2.36' };
  const flip = async () => {
    const bytes = await readFile(fileOf());
    bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] ?? 0) ^ 1;
    await writeFile(fileOf(), bytes);
  };

  it.each<[string, RegExp, () => Promise<unknown>, Host?]>([
    ['another version', new RegExp(`^it is version 0\\.0\\.9, expected ${VERSION.replaceAll('.', '\\.')}$`), () => place({ version: '0.0.9' })],
    ['musl', /^it needs glibc 2\.29 or later, the C library of this system is another$/, place, { ...HERE, glibc: () => null }],
    ['an old system', /^it needs glibc 2\.29 or later, this system has 2\.9$/, place, { ...HERE, glibc: () => '2.9' }],
    ['one bit', /^mipha_edge\.node is damaged: its SHA-256 is [\da-f]{64}, expected [\da-f]{64}$/, () => place().then(flip)],
    ['cut short', /^mipha_edge\.node is damaged: 4096 bytes, expected \d+$/, () => place().then(() => truncate(fileOf(), 4096))],
    ['no file', /ENOENT.*mipha_edge\.node/, () => place().then(() => rm(fileOf()))],
    ['no description', /package\.json does not say what the package holds$/, () => place({ mipha: undefined })],
    ['a description of nothing', /^its package\.json does not name mipha_edge\.node$/, () => place({ mipha: { glibc: '2.29', files: {} } })],
    ['half a package.json', /JSON/, () => place().then(() => truncate(fileOf('package.json'), 40))],
  ])('%s', async (_, reason, prepare, host = HERE) => {
    await prepare();
    const found = findPrebuilt(root, host);
    expect(found?.reason).toMatch(reason);
    expect(found?.name).toBe(NAME);
    if (host !== HERE) return; // this system is another than that
    const details = expect.objectContaining({ attempts: expect.arrayContaining([{ path: NAME, reason: expect.stringMatching(reason) }]) });
    expect(() => loadAddon(root)).toThrow(expect.objectContaining({ code: 'ERR_ADDON_LOAD', message: expect.stringContaining(NAME), details }));
  });

  it('one for another processor is not looked at', async () => {
    await place({}, { platform: 'linux-mips' });
    expect(findPrebuilt(root)).toBeNull();
    expect(findPrebuilt(root, { ...HERE, platform: 'linux-mips' })).toMatchObject({ reason: null });
  });
});

describe('npm install', () => {
  /** As the package stands in node_modules: no compiler is found on the path. */
  const setup = async () => {
    const scripts = ['setup', 'arguments', 'tensorrt-shim', 'cuda-library', 'cuda-toolkit', 'cuda/nvcc', 'pack/portable'].map(
      (name) => `${name}.mjs`,
    );
    for (const name of scripts) await cp(join(ROOT, 'scripts', name), join(root, 'scripts', name));
    await cp(join(ROOT, 'dist', 'addon'), join(root, 'dist', 'addon'), { recursive: true });
    await mkdir(join(root, 'native'), { recursive: true });
    await writeFile(join(root, 'binding.gyp'), '{}');
    await writeFile(join(root, 'package.json'), JSON.stringify({ name: 'mipha-edge', version: VERSION, type: 'module' }));
    return node([join(root, 'scripts', 'setup.mjs'), 'addon'], { env: { PATH: root, CXX: '', MAKE: '', PYTHON: '' } });
  };

  it('compiles nothing where a platform package fits', async () => {
    await place();
    expect(await setup()).toEqual({ code: 0, stdout: '', stderr: '' });
  });

  it('says why one is not used, then compiles', async () => {
    await place({ version: '0.0.9' });
    const old = await setup();
    expect(old.stderr).toContain(`mipha-edge: ${NAME} is not used: it is version 0.0.9, expected ${VERSION}\n`);
    expect(old.stderr).toContain('compiling the native addon needs python3, make, g++');
    await place({}, { bytes: 'whole, but no library' });
    const wrong = await setup();
    expect(wrong.code).toBe(1);
    expect(wrong.stderr).toMatch(/is not used: Error: .*mipha_edge\.node: .*\n.*compiling the native addon needs/);
  });
});

it("a library of a package will do where it has code for the GPU, and the driver's CUDA is as new", async () => {
  const { isFor } = await script<{ isFor(library: object | null, architectures: string[], machine: object): boolean }>('cuda-library.mjs');
  const machine = (cuda: string | null) => ({
    environment: {},
    exists: () => false,
    read: (path: string) => (path === '/proc/driver/nvidia/version' ? 'NVRM version: NVIDIA UNIX Kernel Module  580.1' : null),
    list: () => [],
    run: (command: string, ...args: string[]) => (command === 'nvidia-smi' && args.length === 0 && cuda !== null ? `CUDA Version: ${cuda} ` : null),
  });
  const library = { version: '13.0', code: ['sm_87', 'sm_90', 'compute_80'] };
  expect(isFor(library, ['87'], machine('13.0'))).toBe(true);
  expect(isFor(library, ['87'], machine('13.2'))).toBe(true);
  expect(isFor(library, ['87'], machine('12.6'))).toBe(false);
  expect(isFor(library, ['87'], machine(null))).toBe(false);
  expect(isFor(library, ['110'], machine('13.2'))).toBe(false);
  expect(isFor(library, ['ptx'], machine('13.2'))).toBe(false);
  expect(isFor(null, ['87'], machine('13.2'))).toBe(false);
});

describeWith(['gcc'], 'what a package may hold', () => {
  /** What of the C and C++ libraries has got newer versions since, in its few lines. */
  const SOURCE = `#include <dlfcn.h>
#include <sys/stat.h>
#include <fstream>
#include <memory>
#include <mutex>
#include <random>
#include <shared_mutex>
#include <thread>
extern "C" __attribute__((visibility("default"))) int answer(const char* path) {
  struct stat status;
  std::shared_mutex mutex;
  std::unique_lock<std::shared_mutex> lock(mutex);
  std::thread([&] { stat(path, &status); }).join();
  thread_local std::string name(path);
  auto count = std::make_shared<int>(int(std::random_device{}() & 1));
  std::ifstream file(name);
  try { throw std::runtime_error(name); } catch (const std::exception&) { *count += dlopen(path, RTLD_NOW) == nullptr; }
  return *count + int(file.good());
}
`;
  interface Facts {
    glibc: string;
    cpu: string;
    exported: string[];
  }
  interface Symbols {
    examineFile(path: string): Facts;
    objections(facts: Facts): string[];
  }

  it('is what the floor allows: linked as packages are it does, linked as usual it is refused by name', async () => {
    const { examineFile, objections } = await script<Symbols>('pack/symbols.mjs');
    const { linkFlags, OLD_GLIBC, OLD_GLIBC_FLAGS } = await script<{
      linkFlags(object: string): string[];
      OLD_GLIBC: string;
      OLD_GLIBC_FLAGS: string[];
    }>('pack/portable.mjs');
    const [source, object, usual, packed] = ['a.cc', 'old.o', 'usual.so', 'packed.so'].map((name) => join(root, name)) as [
      string,
      string,
      string,
      string,
    ];
    await writeFile(source, SOURCE);
    const compile = (...args: string[]) => expect(spawnSync('g++', args, { encoding: 'utf8' })).toMatchObject({ status: 0, stderr: '' });
    const shared = ['-shared', '-fPIC', '-fvisibility=hidden', '-std=c++17', source];
    compile(...shared, '-o', usual);
    compile(...OLD_GLIBC_FLAGS, '-c', join(ROOT, OLD_GLIBC), '-o', object);
    compile(...shared, ...linkFlags(object), '-Wl,--exclude-libs,ALL', '-o', packed);
    expect(objections(examineFile(usual))).toContain('it needs libstdc++.so.6');
    expect(examineFile(packed)).toMatchObject({ cpu: process.arch, exported: expect.arrayContaining(['answer']) });
    expect(objections(examineFile(packed))).toEqual([]);
    const inside = { glibc: '2.36', cpu: 'x64', exported: [], needed: [], symbols: [{ name: 'arc4random', version: 'GLIBC_2.36' }] };
    expect(objections(inside)).toEqual(['arc4random is asked for as GLIBC_2.36, expected none but GLIBC_ up to 2.31']);
    const { stagePlatform } = await script<{ stagePlatform(folder: string, cpu: string, paths: string[]): void }>('pack.mjs');
    expect(() => stagePlatform(join(root, 'stage'), process.arch, [usual])).toThrow(/usual\.so would not run on every system: it needs libstdc\+\+/);
  });
});
