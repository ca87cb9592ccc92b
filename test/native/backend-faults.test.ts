/** Every kernel of the CUDA backend has faults planted in it, and the machine without a GPU (native/test/machine) or the kernel's own tests find them. */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ROOT } from '../architecture/sources.js';
import { alone } from '../support/alone.js';
import { counts, THOROUGH } from '../support/counts.js';
import { MACHINE_LACKS } from '../support/machine.js';
import { NVCC } from '../support/nvcc.js';
import { FAULTS, type Fault } from './backend-faults.js';
import { planted } from './planted.js';

const FOLDER = 'native/backend/cuda/kernels';
const BUILD = join(ROOT, 'build-faults'); // kept: what has not changed is not compiled again
const TARGET = '87';
const KERNELS = readdirSync(join(ROOT, FOLDER)).filter((name) => name.endsWith('.cu'));
const PROGRAMS = [...new Set(FAULTS.map(({ program }) => program))];
const SEEDS = ['0', '1', '2', '3'];

let folder = '';
const found: string[] = [];
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'mipha-faults-'));
});
afterAll(() => {
  rmSync(folder, { recursive: true });
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

function compile(source: string, object: string, first: string) {
  const target = ['-gencode', `arch=compute_${TARGET},code=compute_${TARGET}`, '--no-compress', '-cudart', 'none', '-lineinfo'];
  const include = [`-I${first}`, `-I${join(ROOT, 'native')}`];
  execFileSync(NVCC?.path as string, ['-std=c++17', '-O3', ...target, ...include, '-c', source, '-o', object], { stdio: 'pipe' });
}

/** The program of a fault, one of its kernels compiled from a folder that has the fault. */
function plant(fault: Fault): string {
  const { file, source, program } = fault;
  const folderOfFault = mkdtempSync(join(folder, 'fault-'));
  const kernels = join(folderOfFault, 'backend/cuda/kernels');
  mkdirSync(kernels, { recursive: true });
  for (const other of readdirSync(join(ROOT, FOLDER))) {
    if (/\.(cuh|h)$/.test(other) || other === source) writeFileSync(join(kernels, other), readFileSync(join(ROOT, FOLDER, other)));
  }
  writeFileSync(join(kernels, file), planted(readFileSync(join(ROOT, FOLDER, file), 'utf8'), fault));
  compile(join(kernels, source), join(folderOfFault, `${source}.o`), folderOfFault);

  const objects = KERNELS.map((other) => (other === source ? join(folderOfFault, `${other}.o`) : join(BUILD, 'cuda', `${other}.o`)));
  const libraries = [BUILD, join(BUILD, 'lib')].flatMap((path) =>
    readdirSync(path)
      .filter((entry) => /^lib.*\.a$/.test(entry))
      .map((entry) => join(path, entry)),
  );
  const test = join(BUILD, `CMakeFiles/${program}.dir/test/${program}.cc.o`);
  const faulty = join(folderOfFault, program);
  execFileSync(process.env.CXX ?? 'g++', [test, ...objects, '-Wl,--start-group', ...libraries, '-Wl,--end-group', '-o', faulty, '-lpthread', '-ldl']);
  return faulty;
}

/** What is said under one of the seeds; null when nothing is found. */
function complaint(program: string, filter: string, seeds: string[]): string | null {
  for (const seed of seeds) {
    const env = { ...process.env, MIPHA_MACHINE_SEED: seed, MIPHA_MACHINE_TARGET: TARGET };
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
  return report === undefined ? `values, ${/\w+_test\.cc:\d+/.exec(said)?.[0] ?? said.slice(0, 200)}` : `the machine, ${report.slice(0, 200)}`;
}

if (THOROUGH && MACHINE_LACKS !== '') console.warn(`\nNOT TESTED HERE are faults in the kernels of the CUDA backend. They need ${MACHINE_LACKS}\n`);
describe.runIf(THOROUGH && MACHINE_LACKS === '')(`faults in the kernels of the CUDA backend${MACHINE_LACKS && ` (needs ${MACHINE_LACKS})`}`, () => {
  beforeAll(build, 1_200_000);

  it('are as many as test/README.md says, and every kernel has one', () => {
    expect(FAULTS).toHaveLength(counts(0, 56));
    expect([...new Set(FAULTS.map(({ source }) => source))].sort()).toEqual(KERNELS.sort());
  });

  it('are not found where there are none', () => {
    for (const program of PROGRAMS) {
      const filters = [...new Set(FAULTS.filter((fault) => fault.program === program).map(({ filter }) => filter))];
      expect(complaint(join(BUILD, program), filters.join(':'), SEEDS), program).toBeNull();
    }
  }, 600_000);

  it.each(FAULTS.map((fault) => [fault.name, fault] as const))('%s', (name, fault) => {
    const said = complaint(plant(fault), fault.filter, SEEDS);
    expect(said, `${fault.from} → ${fault.to}`).not.toBeNull();
    found.push(`${name}: found by ${finder(said as string)}`);
  });
});
