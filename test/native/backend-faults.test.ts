/** Faults are planted in every kernel of the CUDA backend, and in its host code; the machine without a GPU (native/test/machine) or its tests find them. */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ROOT } from '../architecture/sources.js';
import { alone } from '../support/alone.js';
import { counts, THOROUGH } from '../support/counts.js';
import { FOLDER, MACHINE_ENV, MACHINE_LACKS } from '../support/machine.js';
import { NVCC } from '../support/nvcc.js';
import { FAULTS, type Fault } from './backend-faults.js';
import { planted } from './planted.js';

const BACKEND = join(ROOT, 'native/backend/cuda');
const BUILD = FOLDER;
const TARGET = MACHINE_ENV.MIPHA_MACHINE_TARGET;
const KERNELS = readdirSync(join(BACKEND, 'kernels')).filter((name) => name.endsWith('.cu'));
const PROGRAMS = [...new Set(FAULTS.map(({ program }) => program))];
const SEEDS = ['0', '1', '2', '3'];
/** Each takes the compiler half a minute: after a change of kernels or of their tests all are due, `MIPHA_FAULTS=all`. */
const PLANTED = FAULTS.filter(
  ({ file }, index) => process.env.MIPHA_FAULTS === 'all' || index % 3 === 0 || FAULTS.findIndex((other) => other.file === file) === index,
);

let scratch = '';
const found: string[] = [];
beforeAll(() => {
  scratch = mkdtempSync(join(tmpdir(), 'mipha-faults-'));
});
afterAll(() => {
  rmSync(scratch, { recursive: true });
  if (found.length > 0) process.stdout.write(`${found.join('\n')}\n`);
});

/** The programs as they are, and the objects that they are linked of. */
function build() {
  const cmake = (...args: string[]) => execFileSync('cmake', args, { cwd: ROOT, stdio: 'pipe' });
  return alone(BUILD, () => {
    cmake('-S', 'native', '-B', BUILD, '-DCMAKE_BUILD_TYPE=Release', `-DMIPHA_CUDA_TARGETS=${TARGET}`);
    cmake('--build', BUILD, '-j', '2', '--target', ...PROGRAMS);
  });
}

/** Headers come from `first`, where it has them, else from the repository. */
function compile(source: string, object: string, first: string) {
  const kernel = ['-O3', '-gencode', `arch=compute_${TARGET},code=compute_${TARGET}`, '--no-compress', '-cudart', 'none', '-lineinfo'];
  const how = source.endsWith('.cu') ? kernel : ['-O2', '-Xcompiler', '-ffp-contract=off,-fPIC,-fvisibility=hidden'];
  execFileSync(NVCC?.path as string, ['-std=c++17', ...how, `-I${first}`, `-I${join(ROOT, 'native')}`, '-c', source, '-o', object], {
    stdio: 'pipe',
  });
}

const link = (...args: string[]) => execFileSync(process.env.CXX ?? 'g++', [...args, '-lpthread', '-ldl'], { stdio: 'pipe' });
const kernelObjects = () => KERNELS.map((name) => join(BUILD, 'cuda', `${name}.o`));

/** A program with the fault, or one that opens a library with it. */
interface Faulty {
  program: string;
  library?: string;
}

/** One source compiled with the fault, and linked with all others as they are. */
function plant(fault: Fault): Faulty {
  const { folder, file, source } = fault;
  const own = mkdtempSync(join(scratch, 'fault-'));
  const place = join(own, 'backend/cuda', folder);
  mkdirSync(place, { recursive: true });
  writeFileSync(join(place, file), planted(readFileSync(join(BACKEND, folder, file), 'utf8'), fault));
  const object = join(own, `${source}.o`);
  compile(join(source === file ? place : join(BACKEND, folder), source), object, own);
  const exchanged = (objects: string[]) => objects.map((other) => (basename(other) === basename(object) ? object : other));

  if (folder === 'runtime') {
    const objects = readdirSync(join(BUILD, 'CMakeFiles/mipha_cuda.dir'), { recursive: true, withFileTypes: true })
      .filter(({ name }) => name.endsWith('.o'))
      .map(({ parentPath, name }) => join(parentPath, name));
    const library = join(own, 'mipha_cuda.so');
    link('-shared', ...exchanged(objects), ...kernelObjects(), join(BUILD, 'libmachine.a'), '-Wl,--exclude-libs,ALL', '-Wl,-z,defs', '-o', library);
    return { program: join(BUILD, fault.program), library };
  }
  const libraries = [BUILD, join(BUILD, 'lib')].flatMap((path) =>
    readdirSync(path)
      .filter((entry) => /^lib.*\.a$/.test(entry))
      .map((entry) => join(path, entry)),
  );
  const test = join(BUILD, `CMakeFiles/${fault.program}.dir/test/${fault.program}.cc.o`);
  const program = join(own, fault.program);
  const objects = folder === 'kernels' ? exchanged(kernelObjects()) : [object];
  link(test, ...objects, '-Wl,--start-group', ...libraries, '-Wl,--end-group', '-o', program);
  return { program };
}

/** What is said under one of the seeds; null when nothing is found. */
function complaint({ program, library }: Faulty, filter: string, seeds: string[]): string | null {
  const wholeModels = basename(program).startsWith('cuda_backend_'); // as in machine.cmake
  const machine = {
    MIPHA_MACHINE_TARGET: TARGET,
    MIPHA_MACHINE_PROCESSORS: wholeModels ? '2' : '0',
    MIPHA_CUDA: library ?? join(BUILD, 'mipha_cuda.so'),
  };
  for (const seed of seeds) {
    const env = { ...process.env, ...machine, MIPHA_MACHINE_SEED: seed };
    const { status, signal, stdout, stderr } = spawnSync(program, [`--gtest_filter=${filter}`, '--gtest_fail_fast', '--gtest_brief=1'], {
      encoding: 'utf8',
      env,
      timeout: 120_000,
    });
    if (/Running 0 tests/.test(stdout)) throw new Error(`${filter} is no test of ${program}`);
    if (status !== 0) return `${signal ?? ''} ${stdout}${stderr}`;
  }
  return null;
}

/** What found it: the machine, in its words, or a value that the test did not expect. */
function finder(said: string): string {
  const report = /\bblock \([\d,]+\)[^\n]*? at ([^\n]*)/.exec(said)?.[1];
  return report === undefined ? `values, ${/\w+(_test\.cc|\.h):\d+/.exec(said)?.[0] ?? said.slice(0, 200)}` : `the machine, ${report.slice(0, 200)}`;
}

if (THOROUGH && MACHINE_LACKS !== '') console.warn(`\nNOT TESTED HERE are faults in the CUDA backend. They need ${MACHINE_LACKS}\n`);
describe.runIf(THOROUGH && MACHINE_LACKS === '')(`faults in the CUDA backend${MACHINE_LACKS && ` (needs ${MACHINE_LACKS})`}`, () => {
  beforeAll(build, 1_200_000);

  it('are as many as test/README.md says, and every kernel has one', () => {
    expect(FAULTS).toHaveLength(counts(0, 85));
    const sources = FAULTS.filter(({ folder }) => folder === 'kernels').map(({ source }) => source);
    expect([...new Set(sources)].sort()).toEqual(KERNELS.sort());
  });

  it('are not found where there are none', () => {
    for (const program of PROGRAMS) {
      const filters = [...new Set(FAULTS.filter((fault) => fault.program === program).map(({ filter }) => filter))];
      expect(complaint({ program: join(BUILD, program) }, filters.join(':'), SEEDS), program).toBeNull();
    }
  }, 600_000);

  it.each(PLANTED.map((fault) => [fault.name, fault] as const))('%s', (name, fault) => {
    const said = complaint(plant(fault), fault.filter, SEEDS);
    expect(said, `${fault.from} → ${fault.to}`).not.toBeNull();
    found.push(`${name}: found by ${finder(said as string)}`);
  });
});
