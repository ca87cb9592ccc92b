/** The static report on CUDA kernels: what it reads in machine code is what nvcc was given, and worse code fails it. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ROOT } from '../architecture/sources.js';
import { counts } from '../support/counts.js';
import { NVCC } from '../support/nvcc.js';

interface Instruction {
  name: string;
  bytes: number;
}
interface Kernel {
  symbol: string;
  registers: number;
  threads: number | null;
  shared: number;
  stack: number;
  code: Buffer;
}
interface Row {
  file: string;
  kernel: string;
  target: number;
  [measure: string]: string | number | null;
}
const script = (name: string) => import(pathToFileURL(join(ROOT, 'scripts/cuda', name)).href);
const { decode, innerLoops, kernelsOf, loadsInFlight } = (await script('code.mjs')) as {
  decode(code: Buffer, target: number): Instruction[];
  innerLoops(instructions: Instruction[]): Instruction[][];
  kernelsOf(cubin: Buffer, target: number): Kernel[];
  loadsInFlight(loop: object[]): number;
};
const { compare, failures, format, parse } = (await script('table.mjs')) as {
  compare(old: Row[], now: Row[]): Record<'worse' | 'better' | 'other', string[]>;
  failures(row: Row, bars: object, onlySpills: boolean): string[];
  format(version: string, rows: Row[]): string;
  parse(text: string): { version: string; rows: Row[] };
};
const { measure } = (await script('measures.mjs')) as { measure(kernel: Kernel, target: number, bars: object): Row };
const { compileCubin } = (await script('nvcc.mjs')) as {
  compileCubin(nvcc: object, source: string, target: number, include: string, cubin: string): Promise<void>;
};
const TARGETS = NVCC !== null && Number.parseInt(NVCC.version, 10) >= 13 ? [87, 90, 110] : [87, 90];

/** Its one load and one store have the size of the name; `copy` likewise from device to shared memory. */
const ONE_INSTRUCTION = `#include <cstdint>
#define MOVE(bytes, type) extern "C" __global__ void move_##bytes(const type* a, type* b) { b[threadIdx.x] = a[threadIdx.x]; }
MOVE(1, uint8_t) MOVE(2, uint16_t) MOVE(4, uint32_t) MOVE(8, uint2) MOVE(16, uint4)
#define COPY(bytes, cache) extern "C" __global__ void copy_##bytes(const char* a, float* b) { \\
  extern __shared__ __align__(16) char m[]; const unsigned to = static_cast<unsigned>(__cvta_generic_to_shared(m + threadIdx.x * 16)); \\
  asm volatile("cp.async." #cache ".shared.global [%0], [%1], " #bytes ";" ::"r"(to), "l"(a + threadIdx.x * 16) : "memory"); \\
  asm volatile("cp.async.wait_all;" ::: "memory"); __syncthreads(); b[threadIdx.x] = m[threadIdx.x]; }
COPY(4, ca) COPY(8, ca) COPY(16, cg)
extern "C" __global__ void __launch_bounds__(128) staged(const float* a, float* b) {
  __shared__ float s[100]; s[threadIdx.x % 100] = a[threadIdx.x]; __syncthreads(); b[threadIdx.x] = s[99 - threadIdx.x % 100]; }
`;
/** 96 values that all live through a loop: too many where `threads` is 1024, which leaves each 64 registers. */
const crowded = (threads: number) => `__global__ void __launch_bounds__(${threads}) gemv_crowded(const float* a, float* b, int n) {
  float v[96];
#pragma unroll
  for (int i = 0; i < 96; ++i) v[i] = a[i * 1024 + threadIdx.x];
  for (int k = 0; k < n; ++k)
#pragma unroll
    for (int i = 0; i < 96; ++i) v[i] = v[i] * v[(i + 1) % 96] + a[k];
#pragma unroll
  for (int i = 0; i < 96; ++i) b[i * 1024 + threadIdx.x] = v[i];
}
`;

let folder = '';
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'mipha-report-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

function report(environment: Record<string, string>, ...args: string[]) {
  const env = { ...process.env, ...environment };
  const run = spawnSync(process.execPath, ['scripts/cuda-report.mjs', ...args], { cwd: ROOT, env, encoding: 'utf8', timeout: 120_000 });
  return { status: run.status, text: run.stdout + run.stderr };
}

async function compiled(source: string, target: number): Promise<Kernel[]> {
  const cubin = join(folder, 'one.cubin');
  await compileCubin(NVCC as object, source, target, join(ROOT, 'native'), cubin);
  return kernelsOf(readFileSync(cubin), target);
}

const words = NVCC === null ? ' (needs nvcc: the CUDA toolkit; CUDA_HOME names its folder)' : '';
describe.runIf(NVCC !== null)(`machine code${words}`, () => {
  it.each(TARGETS)('of one instruction each is read for sm_%i', async (target) => {
    const source = join(folder, 'one.cu');
    writeFileSync(source, ONE_INSTRUCTION);
    const kernels = new Map((await compiled(source, target)).map((kernel) => [kernel.symbol, kernel]));
    const accesses = (name: string) =>
      decode(kernels.get(name)?.code as Buffer, target)
        .filter(({ bytes }) => bytes > 0)
        .map((one) => `${one.name} ${one.bytes}`);
    for (const bytes of [1, 2, 4, 8, 16]) expect(accesses(`move_${bytes}`)).toEqual([`LDG ${bytes}`, `STG ${bytes}`]);
    for (const bytes of [4, 8, 16]) expect(accesses(`copy_${bytes}`)[0]).toBe(`LDGSTS ${bytes}`);
    expect(accesses('staged')).toEqual(['LDG 4', 'STS 4', 'LDS 4', 'STG 4']);
    expect(kernels.get('staged')).toMatchObject({ shared: 400, threads: 128, stack: 0 });
    expect(kernels.get('move_4')).toMatchObject({ shared: 0, threads: null, stack: 0 });
  });

  it.each(TARGETS.slice(0, counts(1, 3)))('has the loops of the example kernels, instruction by instruction, for sm_%i', async (target) => {
    const kernels = join(ROOT, 'native/test/machine/kernels');
    const wanted: [string, RegExp, Record<string, number>][] = [
      ['gemm_s8.cu', /gemm_s8ILb0/, { IMMA: 16, LDSM: 4, LDGSTS: 3 }],
      ['attention.cu', /9attentionE/, { HMMA: 20, LDSM: 10, LDGSTS: 10 }],
    ];
    for (const [file, name, mix] of wanted) {
      const kernel = (await compiled(join(kernels, file), target)).find(({ symbol }) => name.test(symbol)) as Kernel;
      const loop = innerLoops(decode(kernel.code, target)).find((one) => one.some((instruction) => /^[IH]MMA$/.test(instruction.name)));
      for (const [opcode, count] of Object.entries(mix)) expect(loop?.filter((one) => one.name === opcode)).toHaveLength(count);
    }
  });

  it.each(TARGETS)('of a kernel with more values than registers has a stack and uses it on sm_%i', async (target) => {
    const source = join(folder, 'crowded.cu');
    writeFileSync(source, crowded(1024));
    const [spilling] = await compiled(source, target);
    const row = measure(spilling as Kernel, target, {});
    expect(row.registers).toBeLessThanOrEqual(64);
    expect(row.stack).toBeGreaterThan(0);
    expect(row.local).toBeGreaterThan(0);
    writeFileSync(source, crowded(128));
    expect(measure((await compiled(source, target))[0] as Kernel, target, {})).toMatchObject({ stack: 0, local: 0 });
  });
});

describe.runIf(NVCC !== null)(`npm run report:cuda${words}`, () => {
  it('fails on spills, whatever made the table, and says what the table says', () => {
    const kernels = join(folder, 'kernels');
    mkdirSync(kernels);
    writeFileSync(join(kernels, 'gemv.cu'), crowded(1024));
    const spills = /Below the bar:\n {2}gemv\.cu: gemv_crowded, sm_87: stack \d+, expected at most 0\n/;
    expect(report({}, kernels, '--write')).toMatchObject({ status: 1, text: expect.stringMatching(spills) });
    const table = join(kernels, 'report.txt');
    writeFileSync(table, readFileSync(table, 'utf8').replace(/^nvcc \S+/, 'nvcc 12.6.20.'));
    const other = report({}, kernels);
    expect(other.status).toBe(1);
    expect(other.text).toMatch(/was made by nvcc 12\.6\.20, this is \d+\.\d+\.\d+: it does not apply, only spills are looked for/);
    expect(other.text).not.toMatch(/per 16 B/);
  });
});

describe('the report', () => {
  it('says what it lacks', () => {
    const empty = mkdtempSync(join(folder, 'empty-'));
    expect(report({ CUDA_HOME: '', PATH: '' }, empty).text).toMatch(/nvcc not found|no \.cu file/);
    expect(report({}, join(folder, 'nosuch'))).toMatchObject({ status: 2, text: expect.stringContaining('FOLDER: no such folder') });
    expect(() => kernelsOf(Buffer.from('not a cubin'), 87)).toThrow('expected a cubin');
    expect(() => parse('')).toThrow('not a table of this report');
  });

  const row: Row = {
    ...{ file: 'a.cu', kernel: 'decode<(Format)1, 8>', target: 87, registers: 40, stack: 0, local: 0, shared: 1024 },
    ...{ warps: 48, load: 16, flight: 96, perBytes: 4.6, perProduct: null },
  };

  it('reads its own table', () => {
    const rows = [row, { ...row, target: 110, load: null, perProduct: 5.1 }];
    expect(parse(format('13.0.88', rows))).toEqual({ version: '13.0.88', rows });
  });

  it.each([
    [{ warps: 40 }, 'worse', 'a.cu: decode<(Format)1, 8>, sm_87: warps 48 -> 40'],
    [{ perBytes: 4.7 }, 'worse', 'a.cu: decode<(Format)1, 8>, sm_87: per 16 B 4.6 -> 4.7'],
    [{ perBytes: null }, 'worse', 'a.cu: decode<(Format)1, 8>, sm_87: per 16 B 4.6 -> -'],
    [{ stack: 8 }, 'worse', 'a.cu: decode<(Format)1, 8>, sm_87: stack 0 -> 8'],
    [{ load: 8 }, 'worse', 'a.cu: decode<(Format)1, 8>, sm_87: load 16 -> 8'],
    [{ flight: 128 }, 'better', 'a.cu: decode<(Format)1, 8>, sm_87: in flight 96 -> 128'],
    [{ registers: 42 }, 'other', 'a.cu: decode<(Format)1, 8>, sm_87: registers 40 -> 42'],
    [{ kernel: 'new' }, 'other', 'a.cu: new, sm_87: not in the table'],
  ] as const)('calls %j %s', (change, kind, line) => {
    expect(compare([row], [{ ...row, ...change }])[kind]).toContain(line);
    expect(compare([row], [row])).toEqual({ worse: [], better: [], other: [] });
  });

  it('holds a kernel to its bars, to spills alone where nvcc is another', () => {
    const bars = { most: { perBytes: 4 }, least: { load: 16, flight: 100 } };
    const missed = failures({ ...row, stack: 16, load: null }, bars, false).map((line) => line.split('sm_87: ')[1]);
    expect(missed).toEqual([
      'stack 16, expected at most 0',
      'per 16 B 4.6, expected at most 4',
      'load not found, expected at least 16',
      'in flight 96, expected at least 100',
    ]);
    expect(failures({ ...row, stack: 16, load: null }, bars, true)).toHaveLength(1);
  });

  it('counts loads until they are waited for', () => {
    const load = (sets: number, waits = 0) => ({ name: 'LDG', bytes: 16, sets, waits });
    const use = (waits: number) => ({ name: 'IMMA', bytes: 0, sets: null, waits });
    expect(loadsInFlight([load(0), use(1)])).toBe(1);
    expect(loadsInFlight([load(0), load(1), load(1), use(3)])).toBe(3);
    expect(loadsInFlight([use(1), load(0), use(2), load(1)])).toBe(2); // each has a round to arrive
    expect(loadsInFlight([load(0), use(1), load(0), use(1)])).toBe(1);
  });
});
