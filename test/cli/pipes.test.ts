/** Output that nobody reads to its end, and output that cannot be written: no stack, no hanging process. */
import { spawn } from 'node:child_process';
import { existsSync, openSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { MAIN, mipha } from './run.js';

/** Runs it with a stdout whose reader leaves after the first bytes, or before any where `after` is 0. */
function leftEarly(args: string[], after = 1): Promise<{ code: number | null; stderr: string }> {
  return new Promise((done) => {
    const child = spawn(process.execPath, [MAIN, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
    let stderr = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr += text;
    });
    if (after === 0) child.stdout.destroy();
    else child.stdout.once('data', () => child.stdout.destroy());
    child.once('close', (code) => done({ code, stderr }));
  });
}

describe('a reader that leaves', () => {
  it.each([[['doctor']], [['doctor', '--json']], [['schema', 'config']], [['--help']]])('ends %j without a word', async (args) => {
    const { code, stderr } = await leftEarly(args, 0);
    expect([0, 141]).toContain(code); // 0: all was written before it left
    expect(stderr).toBe('');
  });

  it('ends a demo, its broker and its camera', async () => {
    const { code, stderr } = await leftEarly(['demo']);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  });

  it('ends a counted demo as an interruption', async () => {
    expect(await leftEarly(['demo', '--frames', '100000'])).toEqual({ code: 141, stderr: '' });
  });
});

it.skipIf(!existsSync('/dev/full'))('a full disk is told in one line', async () => {
  const child = spawn(process.execPath, [MAIN, 'schema', 'config'], { stdio: ['ignore', openSync('/dev/full', 'w'), 'pipe'] });
  let stderr = '';
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  const code = await new Promise((done) => child.once('close', done));
  expect(code).toBe(1);
  expect(stderr).toMatch(/^mipha: the output cannot be written: ENOSPC[^\n]*\n$/);
});

it('stdout has the answer and nothing else', async () => {
  const { code, stdout } = await mipha(['schema', 'result']);
  expect(code).toBe(0);
  expect(JSON.parse(stdout)).toHaveProperty('properties');
});
