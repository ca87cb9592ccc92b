import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { EVAL, mipha, NANO, ROOT } from './run.js';

const PICTURE = join(EVAL, 'pictures', '0000.png');
const COMMANDS = [
  'ask',
  'run',
  'serve',
  'convert',
  'calibrate',
  'build',
  'eval',
  'doctor',
  'bench',
  'demo',
  'check-config',
  'print-config',
  'drop-overrides',
  'cameras',
  'mask',
  'label',
  'schema',
];

describe('mipha', () => {
  it('lists its commands', async () => {
    const { code, stdout } = await mipha(['--help']);
    expect(code).toBe(0);
    for (const command of COMMANDS) expect(stdout).toContain(`  ${command} `);
  });

  it.each(COMMANDS)('explains %s', async (command) => {
    const { code, stdout, stderr } = await mipha([command, '--help']);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toContain(`Usage: mipha ${command}`);
    expect(stdout.split('\n').filter((line) => line.length > 80)).toEqual([]);
  });

  it('tells its version', async () => {
    const { version } = JSON.parse(await readFile(join(ROOT, 'package.json'), 'utf8')) as { version: string };
    expect(await mipha(['--version'])).toEqual({ code: 0, stdout: `${version}\n`, stderr: '' });
  });

  it.each([
    [[]],
    [['dance']],
    [['ask', PICTURE]],
    [['ask', PICTURE, 'Why?', '--loud']],
    [['ask', PICTURE, 'Why?', '--max-tokens', '0']],
    [['ask', PICTURE, 'Why?', '--stream', '--json']],
    [['ask', PICTURE, 'Why?', '--as', 'bool']],
    [['ask', PICTURE, 'Why?', '--as', 'boolean', '--max-tokens', '3']],
    [['ask', PICTURE, ' ']],
    [['bench', '--random', 'mipha-9b']],
    [['bench', NANO, '--random', 'nano']],
    [['demo', '--frames', 'many']],
    [['demo', '--set', 'nothing']],
    [['run', '--cofig', 'x']],
    [['schema', 'resullt']],
    [['schema', '--out', 'package.json']],
    [['schema', '--out', '/proc/nothing/here']],
    [['demo', '--broker', 'nonsense']],
    [['demo', '--broker', 'mqtt://user:hush@host']],
    [['demo', '--protocol', '4']],
  ])('exits with 2 for %j', async (args) => {
    const { code, stdout, stderr } = await mipha(args);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).not.toBe('');
    expect(stderr).not.toMatch(/^\s+at |hush/m);
  });
});
