/** The lines of docs/fleet.md, run as a reader would run them: three nodes, asked, seen, and one of them taken out. */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { parse } from 'yaml';
import { openPool, type Pool } from '../../src/pool/index.js';
import { configOf } from '../../src/service/config/config.js';
import { MAIN, ROOT, node as runNode } from '../cli/run.js';
import { type Mosquitto, startMosquitto, until } from '../support/mosquitto.js';
import { describeWith } from '../support/programs.js';

const document = await readFile(join(ROOT, 'docs', 'fleet.md'), 'utf8');
const fenced = (language: string) =>
  [...document.matchAll(new RegExp(`\`\`\`${language}\n([\\s\\S]*?)\`\`\``, 'g'))].map(([, text]) => text as string);
const [start = '', ask = '', shared = '', drain = '', ...more] = fenced('sh');

describeWith(['mosquitto', 'mosquitto_sub'], 'docs/fleet.md', () => {
  let broker: Mosquitto;
  let project = '';
  let nodes: ChildProcess;
  let pool: Pool;
  const shell = (text: string) =>
    spawn(
      'sh',
      [
        '-ec',
        `mipha() { command=$1; shift; case $command in
  run) exec "${process.execPath}" "${MAIN}" run "$@" ;;
  pool) "${process.execPath}" "${MAIN}" pool "$@" --broker ${broker.url} ;;
  *) "${process.execPath}" "${MAIN}" "$command" "$@" --broker ${broker.url} ;;
esac; }
mosquitto_pub() { command mosquitto_pub -p ${broker.port} "$@"; }
mosquitto_sub() { command mosquitto_sub -p ${broker.port} "$@"; }
${text}`,
      ],
      { cwd: project, stdio: ['ignore', 'pipe', 'inherit'], detached: true },
    );
  const outputOf = async (text: string): Promise<string> => {
    const child = shell(text);
    let output = '';
    child.stdout?.on('data', (part: Buffer) => (output += part.toString()));
    const code = await new Promise((resolve) => child.once('close', resolve));
    expect(code, text).toBe(0);
    return output;
  };

  beforeAll(async () => {
    broker = await startMosquitto();
    project = await mkdtemp(join(tmpdir(), 'mipha-fleet-'));
    await mkdir(join(project, 'node_modules'));
    await symlink(ROOT, join(project, 'node_modules', 'mipha-edge'));
    const mqtt = { url: broker.url, pool: 'hall-2', discovery: { enabled: false } };
    const config = {
      node: 'press',
      mqtt,
      http: { enabled: false },
      log: { level: 'fatal' },
      model: { threads: 1 },
      cameras: { front: { uri: 'synthetic://kitchen' } },
    };
    await writeFile(join(project, 'mipha.yaml'), JSON.stringify(config));
    nodes = shell(`${start.replace('http.port=946$n', 'http.enabled=false')}wait`);
    pool = await openPool({ url: broker.url, labels: { site: 'hall-2' } });
    await until(
      'three are ready',
      () => pool.status().nodes.filter(({ state, misfit, model }) => state === 'ready' && misfit === null && model?.id).length === 3,
      60_000,
    );
  }, 90_000);
  afterAll(async () => {
    await pool?.close();
    if (nodes?.pid !== undefined) process.kill(-nodes.pid, 'SIGKILL'); // the shell and its three nodes
    await broker?.close();
    await rm(project, { recursive: true, force: true });
  });

  it('has all its lines here', () => {
    expect(more).toEqual([]);
  });

  it('asks and shows three nodes', async () => {
    const output = await outputOf(ask);
    expect(output).toMatch(/^(true|false)\n/);
    expect(output).toMatch(/^press-1 [\s\S]*^press-2 [\s\S]*^press-3 [\s\S]*^3 of 3 online/m);
  });

  it('has a program that works', async () => {
    const [program = ''] = fenced('ts');
    await writeFile(join(project, 'ask.mjs'), program.replace('mqtt://127.0.0.1:1883', broker.url));
    const { code, stdout, stderr } = await runNode([join(project, 'ask.mjs')], { cwd: project });
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toMatch(/^press-[123] (true|false) 3\n$/);
  });

  it('shares a queue among them', async () => {
    const output = await outputOf(
      `${shared.replace('mosquitto_sub -t', 'mosquitto_sub -W 20 -C 2 -t').replace('response/query &', 'response/query & sleep 0.5')}wait`,
    );
    expect(
      output
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line)),
    ).toMatchObject([
      { transaction: 'ha-17', status: 'accepted' },
      { transaction: 'ha-17', status: 'ok', data: { type: 'boolean' } },
    ]);
  });

  it('takes one out', async () => {
    await outputOf(drain.replace('press-4', 'press-2'));
    await until('it is drained', () => pool.status().nodes.find(({ node }) => node === 'press-2')?.state === 'draining');
  });

  it('has settings that are settings', () => {
    const settings = fenced('yaml').map((text) => parse(text) as Record<string, unknown>);
    const own = settings.filter((values) => 'node' in values);
    expect([settings.length, own.length]).toEqual([3, 2]); // the other one is ejabberd's
    for (const values of own) configOf({ mqtt: { url: broker.url }, cameras: {}, ...values });
  });
});
