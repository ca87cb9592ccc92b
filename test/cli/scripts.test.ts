/** Every script and bench, as somebody would call it who has not read it. */
import { spawnSync } from 'node:child_process';
import { copyFileSync, cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { ROOT } from './run.js';

const scripts = ['bench', 'scripts'].flatMap((folder) =>
  readdirSync(join(ROOT, folder))
    .filter((name) => name.endsWith('.mjs') && name !== 'arguments.mjs')
    .map((name) => `${folder}/${name}`),
);

function run(script: string, ...args: string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [script, ...args], { cwd: ROOT, encoding: 'utf8', timeout: 60_000 });
  return { status, stdout, stderr };
}

describe.each(scripts)('%s', (script) => {
  const called = new RegExp(`^([^\\n]*\\n)?[^\\n]*(node ${script}|npm run (check:tensorrt|build:cuda))`);

  it('explains itself', () => {
    for (const flag of ['--help', '-h']) {
      const { status, stdout, stderr } = run(script, flag);
      expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
      expect(stdout).toMatch(called);
    }
  });

  it.each([['--nosuch'], ['--chekc'], ['--check=yes', 'no', 'no'], ['nosuch', 'nosuch', 'nosuch'], ['-1']])('refuses %j %j %j', (...args) => {
    const { status, stdout, stderr } = run(script, ...args.filter((arg) => arg !== undefined));
    expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
    expect(stderr).toMatch(called);
    expect(stderr).not.toMatch(/^\s+at |TypeError/m);
  });
});

it.each([
  ['bench/convert.mjs', ['mipha-9b'], /size: expected one of mipha-3b, mipha-2\.4b, mipha-1\.6b, llava-1\.5-7b, nano, received mipha-9b/],
  ['bench/convert.mjs', ['nano', '/no/such/folder'], /FOLDER: no such folder: \/no\/such\/folder/],
  ['bench/convert.mjs', ['child'], /size: expected one of/],
  ['bench/eval.mjs', ['--benchmarks', 'pope,dance'], /--benchmarks: expected some of vqav2, gqa, .*, received dance/],
  ['bench/eval.mjs', ['--model', '/no/such/folder'], /--model: no such folder: \/no\/such\/folder/],
  ['bench/loop.mjs', ['many'], /SECONDS: expected a whole number from 1, received many/],
  ['bench/loop.mjs', ['1', '0'], /FRAMES: expected a whole number from 1, received 0/],
  ['bench/loop.mjs', ['broker'], /SECONDS: expected/],
  ['scripts/cuda-library.mjs', ['--arch', 'orin'], /--arch: expected compute capabilities from 80 on and ptx, as in 87,90,ptx, received orin/],
  ['scripts/setup.mjs', ['adon'], /argument: expected one of addon, shim, cuda, received adon/],
] as const)('%s %j is refused', (script, args, words) => {
  const { status, stderr } = run(script, ...args);
  expect(status).toBe(2);
  expect(stderr).toMatch(words);
});

it.each(['bench/convert.mjs', 'bench/loop.mjs', 'bench/soak.mjs', 'scripts/docs.mjs'])(
  '%s says where nothing is compiled yet what to run',
  (script) => {
    const clone = mkdtempSync(join(tmpdir(), 'mipha-scripts-'));
    onTestFinished(() => rmSync(clone, { recursive: true }));
    for (const folder of ['bench', 'scripts']) mkdirSync(join(clone, folder));
    for (const path of [script, 'scripts/arguments.mjs']) copyFileSync(join(ROOT, path), join(clone, path));
    cpSync(join(ROOT, 'bench/loop'), join(clone, 'bench/loop'), { recursive: true }); // what loop.mjs is made of
    const { status, stderr } = spawnSync(process.execPath, [join(clone, script)], { encoding: 'utf8' });
    expect(status).toBe(1);
    expect(stderr).toMatch(/^dist\/\S+ is not there: npm run setup\n$/);
  },
);
