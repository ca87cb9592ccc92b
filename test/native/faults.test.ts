/** The machine without a GPU (native/test/machine) finds the faults that are planted in its example kernels, and nothing in these as they are. */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ROOT } from '../architecture/sources.js';
import { counts, THOROUGH } from '../support/counts.js';
import { NVCC } from '../support/nvcc.js';
import { EXAMPLES, FAULTS, type Fault } from './faults.js';
import { planted } from './planted.js';

const NATIVE = join(ROOT, 'native');
const MACHINE = join(NATIVE, 'test/machine');
const KERNELS = join(NATIVE, EXAMPLES);
const SOURCES = ['gemv_s8.cu', 'gemm_s8.cu', 'attention.cu', 'examples.cc'];

let folder = '';
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'mipha-faults-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

/** Headers come from `first`, where it has them, else from the repository. */
function compile(source: string, object: string, first: string): string {
  const include = [`-I${first}`, `-I${NATIVE}`];
  const target = ['-gencode', 'arch=compute_87,code=compute_87', '--no-compress', '-cudart', 'none', '-lineinfo'];
  const how = source.endsWith('.cu') ? ['-O3', ...target] : ['-O2', '-Xcompiler', '-ffp-contract=off'];
  execFileSync(NVCC?.path as string, ['-std=c++17', ...how, ...include, '-c', source, '-o', object], { stdio: 'pipe' });
  return object;
}

/** Everything that no fault is planted in. */
const library: string[] = [];
function compileMachine() {
  const sources = readdirSync(MACHINE).filter((name) => name.endsWith('.cc') && !name.startsWith('test_'));
  for (const source of [...sources.map((name) => join(MACHINE, name)), join(KERNELS, 'run_examples.cc')]) {
    library.push(compile(source, join(folder, `machine-${library.length}.o`), folder));
  }
}
const sound = new Map<string, string>();
function compileExamples() {
  for (const name of SOURCES) sound.set(name, compile(join(KERNELS, name), join(folder, `${name}.o`), folder));
}

function link(changed: Map<string, string>, program: string): string {
  const examples = SOURCES.map((name) => changed.get(name) ?? (sound.get(name) as string));
  execFileSync(process.env.CXX ?? 'g++', [...examples, ...library, '-o', program, '-lpthread'], { stdio: 'pipe' });
  return program;
}

/** What is said about the examples under one of the seeds; null when nothing is found. */
function complaint(program: string, examples: string, seeds: string[]): string | null {
  for (const seed of seeds) {
    const env = { ...process.env, MIPHA_MACHINE_SEED: seed, MIPHA_MACHINE_TARGET: '87' };
    const { status, signal, stdout, stderr } = spawnSync(program, [examples], { encoding: 'utf8', env, timeout: 120_000 });
    if (status !== 0) return `${signal ?? ''} ${stdout}${stderr}`;
  }
  return null;
}

function plant(fault: Fault): Map<string, string> {
  const { file } = fault;
  const include = mkdtempSync(join(folder, 'fault-'));
  const place = join(include, fault.folder);
  mkdirSync(place, { recursive: true });
  writeFileSync(join(place, file), planted(readFileSync(join(NATIVE, fault.folder, file), 'utf8'), fault));
  const sources = file.endsWith('.cuh') ? SOURCES.filter((other) => other.endsWith('.cu')) : [file];
  const changed = sources.map((other): [string, string] => {
    const source = other === file ? join(place, file) : join(KERNELS, other);
    return [other, compile(source, join(include, `${other}.o`), include)];
  });
  return new Map(changed);
}

const where = NVCC === null ? ' (needs nvcc: the CUDA toolkit; CUDA_HOME names its folder)' : '';
describe.runIf(THOROUGH && NVCC !== null)(`faults in kernels${where}`, () => {
  beforeAll(() => {
    compileMachine();
    compileExamples();
  }, 300_000);

  it('are not found where there are none', () => {
    expect(complaint(link(new Map(), join(folder, 'sound')), '', ['0', '1', '2', '3'])).toBeNull();
  });

  it('are as many as test/README.md says', () => {
    expect(FAULTS).toHaveLength(counts(0, 46));
  });

  it.each(FAULTS.map((fault) => [fault.name, fault] as const))('%s', (_, fault) => {
    const program = link(plant(fault), join(folder, 'faulty'));
    expect(complaint(program, fault.examples, ['0', '1', '2', '3'])).not.toBeNull();
  });
});
