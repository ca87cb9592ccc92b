/** The bounded run on a machine with a GPU, with programs of the shell in the place of ours and of NVIDIA's: every way it may go. */
import { spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { ROOT } from '../architecture/sources.js';
import { pathOf } from '../support/program-list.js';

interface Result {
  run?: string;
  step?: string;
  status?: number;
  skipped?: string;
  words?: string;
  [more: string]: unknown;
}

const SYSTEM = [
  'bash',
  'sh',
  'cat',
  'cut',
  'echo',
  'env',
  'grep',
  'head',
  'ldd',
  'ls',
  'mkdir',
  'nproc',
  'printf',
  'rm',
  'sed',
  'sleep',
  'sync',
  'tail',
  'timeout',
  'tr',
  'uname',
];
const OURS = ['primitives', 'cuda_one_test', 'cuda_two_test', 'cuda_widths_test', 'gpu_answers', 'gpu_bench', 'mipha_cuda.so', 'pytorch.py'];
const NVIDIAS = ['nvidia-smi', 'compute-sanitizer', 'ncu', 'python3'];
const ORDER = [
  ...['machine', 'primitives', 'cuda_one_test', 'cuda_two_test', 'answers', 'speed-short', 'cuda_widths_test'],
  ...['memcheck', 'racecheck', 'synccheck', 'initcheck'].map((tool) => `sanitizer-${tool}`),
  ...['ncu', 'pytorch', 'speed-long', 'all'],
];

/** A folder of programs and a PATH with the system's and NVIDIA's; `bodies` in the place of what goes well, null: not there. */
function check(bodies: Record<string, string | null> = {}, environment: Record<string, string> = {}) {
  const root = mkdtempSync(join(tmpdir(), 'mipha-gpu-check-'));
  onTestFinished(() => rmSync(root, { recursive: true }));
  const [folder, path, out] = ['folder', 'path', 'out'].map((name) => join(root, name)) as [string, string, string];
  for (const name of ['nano', 'questions']) mkdirSync(join(folder, name), { recursive: true });
  mkdirSync(path);
  for (const name of SYSTEM) symlinkSync(pathOf(name) as string, join(path, name));
  const write = (place: string, name: string, usual: string) => {
    const body = bodies[name] === undefined ? usual : bodies[name];
    if (body === null) return;
    writeFileSync(join(place, name), `#!/bin/sh\n${body}\n`);
    chmodSync(join(place, name), 0o755);
  };
  for (const name of OURS) write(folder, name, `echo '{"step":"check","name":"${name}","ok":true}'`);
  for (const name of NVIDIAS) write(path, name, name === 'nvidia-smi' ? 'echo "Some GPU, 580.1, 80000 MiB, 1980 MHz"' : 'exit 0');
  const began = Date.now();
  const { status, stderr, stdout } = spawnSync(pathOf('bash') as string, [join(ROOT, 'scripts/gpu-check.sh'), folder, out], {
    env: { PATH: path, ...environment },
    encoding: 'utf8',
    timeout: 60_000,
  });
  const lines = readFileSync(join(out, 'results.jsonl'), 'utf8').trimEnd().split('\n');
  expect(stdout.trimEnd().split('\n')).toEqual(lines);
  const results = lines.map((line) => JSON.parse(line) as Result);
  const of = (run: string) => results.find((result) => result.run === run);
  return { status, stderr, results, of, out, seconds: (Date.now() - began) / 1000, log: readFileSync(join(out, 'log.txt'), 'utf8') };
}

it('takes its steps in order and writes what they print', () => {
  const { status, stderr, results, of } = check();
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  expect(results.flatMap(({ run }) => run ?? [])).toEqual(ORDER);
  expect(results.filter(({ skipped }) => skipped !== undefined)).toEqual([]);
  expect(results[0]).toMatchObject({ step: 'machine', gpu: 'Some GPU', driver: '580.1', memory: '80000 MiB', clock: '1980 MHz' });
  expect(results.filter(({ name }) => name === 'gpu_bench')).toHaveLength(2);
  expect(of('primitives')).toMatchObject({ status: 0 });
});

it('asks every program for what the step needs', () => {
  const { log } = check({
    gpu_bench: 'echo "bench $*"',
    gpu_answers: 'echo "answers $*"',
    'compute-sanitizer': 'echo "sanitizer $*"',
    ncu: 'echo "ncu $*"',
    python3: 'echo "python $*"',
  });
  expect(log).toMatch(/^bench --short$[\s\S]*^bench $/m);
  expect(log).toMatch(/^answers \S+\/nano \S+\/questions$/m);
  for (const tool of ['memcheck', 'racecheck', 'synccheck', 'initcheck']) {
    expect(log.match(new RegExp(`^sanitizer --tool ${tool} --error-exitcode 9 .*/cuda_(one|two)_test `, 'gm'))).toHaveLength(2);
  }
  expect(log).toMatch(/^ncu --clock-control none .*gpu_bench --once$/m);
  expect(log).toMatch(/^python -u \S+\/pytorch\.py$/m);
});

it.each(['primitives', 'cuda_one_test', 'gpu_answers'])('measures nothing when %s fails, and looks for the reason', (program) => {
  const { status, of } = check({ [program]: 'echo "line 3: expected 4, received 5"; exit 1' });
  const run = program === 'gpu_answers' ? 'answers' : program;
  expect(status).toBe(1);
  expect(of(run)).toMatchObject({ status: 1, words: 'line 3: expected 4, received 5' });
  for (const speed of ['speed-short', 'cuda_widths_test', 'ncu', 'pytorch', 'speed-long'])
    expect(of(speed)?.skipped).toBe('a step that it needs failed or had no time');
  expect(of('sanitizer-racecheck')).toMatchObject({ status: 0 });
  expect(of('cuda_two_test')).toMatchObject({ status: 0 });
});

it('says the first failure of a test program, whose last line counts what has passed', () => {
  const failure = `printf '%s\\n' 'rows_test.cc:7: Failure' 'Expected equality: "a"' '[  FAILED  ] Rows.Norm' '[  PASSED  ] 2 tests.'; exit 1`;
  const { of } = check({ cuda_two_test: failure });
  expect(of('cuda_two_test')).toMatchObject({ status: 1, words: 'rows_test.cc:7: Failure Expected equality: "a" ' });
});

it('measures nothing more when the test behind the first speeds fails', () => {
  const { of } = check({ cuda_widths_test: 'exit 1' });
  expect(of('speed-short')).toMatchObject({ status: 0 });
  for (const speed of ['ncu', 'pytorch', 'speed-long']) expect(of(speed)?.skipped).toBe('a step that it needs failed or had no time');
});

it('goes on when a step fails that nothing needs', () => {
  const { status, of } = check({ 'compute-sanitizer': 'echo "========= 1 error"; exit 9', ncu: 'exit 3' });
  expect(status).toBe(1);
  expect(of('sanitizer-memcheck')).toMatchObject({ status: 9, words: '========= 1 error' });
  expect(of('ncu')).toMatchObject({ status: 3 });
  expect(of('speed-long')).toMatchObject({ status: 0 });
});

it('stops a step at its limit and keeps what it had printed, but for half a line', () => {
  const printed = `echo '{"step":"kernel","name":"first"}'; printf '{"step":"kernel","na'; sleep 30`;
  const { status, of, results, seconds } = check({ gpu_bench: printed }, { MIPHA_GPU_CHECK_LIMIT: '1' });
  expect(status).toBe(1);
  expect(of('speed-short')).toMatchObject({ status: 124, words: 'stopped after 1 s' });
  expect(results.filter(({ name }) => name === 'first')).toHaveLength(2);
  expect(of('all')).toMatchObject({ status: 1 });
  expect(seconds).toBeLessThan(20);
});

it('ends a step that takes no notice of being asked', () => {
  const { of } = check({ cuda_one_test: 'trap "" TERM; while :; do sleep 1; done' }, { MIPHA_GPU_CHECK_LIMIT: '1' });
  expect(of('cuda_one_test')).toMatchObject({ status: 137, words: 'stopped after 1 s' });
  expect(of('cuda_two_test')).toMatchObject({ status: 0 });
});

it('ends in time and says what it had none for', () => {
  const environment = { MIPHA_GPU_CHECK_SECONDS: '11', MIPHA_GPU_CHECK_LIMIT: '7' }; // 5 of them for a program to end
  const { of, seconds } = check({ cuda_one_test: 'sleep 30' }, environment);
  expect(of('cuda_one_test')).toMatchObject({ status: 124, words: expect.stringMatching(/^stopped after [3-6] s$/) });
  expect(of('cuda_two_test')?.skipped).toMatch(/^only -?[01] of 11 seconds were left$/);
  expect(of('speed-long')?.skipped).toBe('a step that it needs failed or had no time');
  expect(seconds).toBeLessThan(20);
});

it('ends within all of its time though nothing ends when it is asked to', () => {
  const stubborn = 'trap "" TERM; while :; do sleep 1; done';
  const bodies = Object.fromEntries(OURS.map((name) => [name, stubborn]));
  const { of, seconds } = check(bodies, { MIPHA_GPU_CHECK_SECONDS: '14', MIPHA_GPU_CHECK_LIMIT: '20' });
  expect(of('primitives')).toMatchObject({ status: 137, words: expect.stringMatching(/^stopped after [89] s$/) });
  expect(of('answers')?.skipped).toMatch(/^only -?\d of 14 seconds were left$/);
  expect(seconds).toBeLessThan(17.5);
});

it('measures nothing when there was no time to check', () => {
  const { of } = check({}, { MIPHA_GPU_CHECK_SECONDS: '20' });
  expect(of('cuda_one_test')?.skipped).toMatch(/^only 1\d of 20 seconds were left$/);
  expect(of('speed-short')?.skipped).toBe('a step that it needs failed or had no time');
});

it('skips with words what is missing', () => {
  const nothing = Object.fromEntries([...OURS, ...NVIDIAS].map((name) => [name, null]));
  const { of, results } = check(nothing);
  expect(results[0]).toMatchObject({ step: 'machine', gpu: 'no nvidia-smi' });
  const skipped = results.filter((result) => result.skipped !== undefined).map(({ run }) => run);
  expect(skipped).toEqual([...ORDER.filter((run) => !/^cuda_(one|two)|^machine$|^all$/.test(run))].toSpliced(1, 0, 'kernels'));
  expect(of('primitives')?.skipped).toBe('primitives is not in the folder');
  expect(of('ncu')?.skipped).toBe('ncu (Nsight Compute) is not on this machine');
  expect(of('sanitizer-memcheck')?.skipped).toBe('compute-sanitizer is not on this machine');
  expect(of('pytorch')?.skipped).toBe('python3 is not on this machine');
});

it('says what PyTorch lacks', () => {
  const { of, status } = check({ python3: 'echo "torch and transformers"; exit 1' });
  expect(of('pytorch')?.skipped).toBe('python3 says what it lacks: torch and transformers');
  expect(status).toBe(0);
});

it('refuses to begin without a folder', () => {
  const run = (...args: string[]) => spawnSync('bash', ['scripts/gpu-check.sh', ...args], { cwd: ROOT, encoding: 'utf8' });
  expect(run('/no/such')).toMatchObject({ status: 2, stderr: 'FOLDER: no such folder: /no/such\n' });
  expect(run()).toMatchObject({ status: 2, stderr: expect.stringContaining('gpu-check.sh FOLDER [OUT]') });
  expect(run('--help')).toMatchObject({ status: 0, stdout: expect.stringContaining('gpu-check.sh FOLDER [OUT]') });
});

it('becomes tables', () => {
  const bench = [
    { step: 'limit', name: 'read', value: 3912.4, unit: 'GB/s' },
    { step: 'kernel', name: 'decode qkv', shape: '1 x 17920 x 2560', us: 1, GBps: 1, bandwidth: 0.1 },
    { step: 'kernel', name: 'decode qkv', shape: '1 x 17920 x 2560', us: 14.25, GBps: 3221.1, bandwidth: 0.823, TOPS: 6.4, compute: 0.004 },
    { step: 'model', name: 'Mipha-3B decode', batch: 1, context: 64, ms: 1.152, p95_ms: 1.2, bandwidth: 0.61, tokens_per_second: 868.1 },
    { step: 'model', name: 'Mipha-3B picture RGB 640 x 480 and 30 tokens: first token', batch: 1, context: 759, ms: 5, p95_ms: 6 },
    { step: 'memory', name: 'Mipha-3B weights', MB: 3061.24 },
    { step: 'pytorch', name: 'SigLIP tower, one picture', ms: 4, how: 'graph' },
    { step: 'pytorch', name: 'Phi-2 prefill, 759 rows', ms: 11, how: 'graph' },
    { step: 'pytorch', name: 'Phi-2 decode step', batch: 1, context: 64, ms: 3.456, how: 'graph' },
    { step: 'pytorch', name: 'Phi-2 decode step', batch: 8, context: 64, failed: 'no memory' },
  ];
  const { out } = check({ gpu_bench: bench.map((line) => `echo '${JSON.stringify(line)}'`).join('\n'), ncu: null, primitives: 'exit 1' });
  const results = join(out, 'results.jsonl');
  const tables = () => spawnSync(process.execPath, ['scripts/gpu-report.mjs', results], { cwd: ROOT, encoding: 'utf8' });
  expect(tables().stdout).toMatch(/^Some GPU, driver 580\.1, 80000 MiB, .*\n/);
  expect(tables().stdout).toContain('| primitives | **failed** (1) |');
  expect(tables().stdout).toContain('| ncu | skipped: ncu (Nsight Compute) is not on this machine |');
  writeFileSync(results, bench.map((line) => JSON.stringify(line)).join('\n'));
  expect(tables().stdout).toContain('| read | 3912 GB/s |');
  expect(tables().stdout).toContain('| decode qkv | 1 x 17920 x 2560 | 14.3 | 3221 | 82 % | 6.4 | 0 % |');
  expect(tables().stdout).not.toContain('10 %');
  expect(tables().stdout).toContain('| Mipha-3B decode | 1 | 64 | 1.15 | 1.2 | 61 % | 868 |');
  expect(tables().stdout).toContain('| Mipha-3B weights | 3061 |');
  expect(tables().stdout).toContain('| Phi-2 decode step | 1 | 64 | 3.46 | graph |');
  expect(tables().stdout.split('### Against PyTorch')[1]?.trim().split('\n').slice(2)).toEqual([
    '| decode step | 1 | 64 | 1.15 | 3.46 | 3 |',
    '| picture and 30 tokens to the first token | 1 | 759 | 5 | 15 | 3 |',
  ]);
  writeFileSync(results, 'half a li');
  expect(tables()).toMatchObject({ status: 2, stderr: expect.stringContaining('line 1 is not JSON: half a li') });
});
