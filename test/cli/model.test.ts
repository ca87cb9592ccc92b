/** `mipha model` as the owner of a machine uses it: beside a node that runs, and without one. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { freePort, until } from '../support/mosquitto.js';
import { copyNano, nanoRelease } from '../support/nano-release.js';
import { newSigner } from '../update/helpers.js';
import { mipha } from './in-process.js';
import { MAIN } from './run.js';

const signer = newSigner();
let folder = '';
let config = '';
let node: ChildProcess | null = null;
const path = (name: string) => join(folder, name);
const model = (command: string, ...args: string[]) => mipha('model', command, ...args, '--config', config);
const listed = async () => JSON.parse((await model('list', '--json')).stdout);

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mipha-model-'));
  config = path('mipha.yaml');
  await writeFile(path('key.pem'), signer.privateKey.export({ type: 'pkcs8', format: 'pem' }));
  const broker = `mqtt: { url: mqtt://127.0.0.1:${await freePort()} }`;
  const rest = 'http: { enabled: false }\ncameras: { kitchen: { uri: synthetic://kitchen } }';
  await writeFile(
    config,
    `node: n\nstate_dir: state\n${broker}\n${rest}\nmodel: { backend: cpu, threads: 1, updates: { keys: ['${signer.text}'] } }\n`,
  );
});
afterAll(async () => {
  await stopNode();
  await rm(folder, { recursive: true, force: true });
});

async function startNode(): Promise<() => string> {
  const child = spawn(process.execPath, [MAIN, 'run', '--config', config], { stdio: ['ignore', 'pipe', 'pipe'] });
  node = child;
  let log = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (text: Buffer) => (log += text.toString()));
  await until('the node runs', () => log.includes('"running"') || child.exitCode !== null);
  expect(log).toContain('"running"');
  return () => log;
}

async function stopNode(): Promise<void> {
  const child = node;
  node = null;
  if (child === null || child.exitCode !== null) return;
  const ended = once(child, 'exit');
  child.kill('SIGTERM');
  await ended;
}

it('signs, and refuses what is no package, no key and no name', async () => {
  copyNano(path('one'), 'nano-one');
  const signed = await mipha('model', 'sign', path('one'), '--key', path('key.pem'), '--release', '1.0');
  expect(signed).toMatchObject({ code: 0, stderr: expect.not.stringContaining('PRIVATE') });
  expect(signed.stdout).toContain('one is release 1.0 of nano-one');
  expect(signed.stdout).toContain(`model.updates.keys      ${signer.text}`);
  for (const [args, words] of [
    [[path('one'), '--key', config, '--release', '1.0'], 'Ed25519 private key'],
    [[path('one'), '--key', path('none'), '--release', '1.0'], 'ENOENT'],
    [[path('one'), '--key', path('key.pem'), '--release', 'a b'], 'letters, digits'],
    [[folder, '--key', path('key.pem'), '--release', '1.0'], 'manifest.json'],
  ] as const) {
    expect(await mipha('model', 'sign', ...args)).toMatchObject({ stdout: '', stderr: expect.stringContaining(words) });
  }
});

it('says that nothing can be installed without keys, and lists what is there', async () => {
  const bare = path('bare.yaml');
  await writeFile(bare, 'node: n\nstate_dir: state\n');
  expect(await mipha('model', 'list', '--config', bare)).toMatchObject({
    code: 1,
    stderr: expect.stringContaining('model.updates.keys names no key'),
  });
  expect(await model('list')).toMatchObject({ code: 0, stdout: expect.stringMatching(/^\(configuration\) +serves\n$/) });
  expect(await model('prune')).toMatchObject({ code: 0, stdout: 'there is nothing to remove\n' });
  expect(await model('rollback')).toMatchObject({ code: 1, stderr: expect.stringContaining('nothing to go back to') });
});

it('installs for a node that does not run, which takes it up when it starts; and takes back and installs while it runs', async () => {
  const waiting = await model('install', path('one'));
  expect(waiting).toMatchObject({ code: 0, stdout: '1.0 is here, whole and signed; the node does not run: it takes this up when it starts\n' });
  expect((await listed()).releases).toMatchObject([{ release: '1.0', role: 'waits for the node' }]);
  const log = await startNode();
  await until('it serves', async () => (await listed()).active !== null);
  await until('it says so', () => log().includes('1.0 serves: it reproduces its own golden answers'));

  await nanoRelease(path('two'), '2.0', signer.privateKey);
  expect(await model('install', path('two'))).toMatchObject({ code: 0, stdout: expect.stringMatching(/^2\.0 serves: .*\n$/) });
  await nanoRelease(path('three'), '3.0', signer.privateKey, { spoilt: true });
  expect(await model('install', path('three'))).toMatchObject({ code: 1, stdout: '', stderr: expect.stringContaining('self-test failed') });
  expect((await listed()).releases.map(({ release, role }: { release: string; role: string }) => [release, role]).sort()).toEqual([
    ['1.0', 'before'],
    ['2.0', 'on trial'],
    ['3.0', ''],
  ]);
  expect(await model('prune')).toMatchObject({ code: 0, stdout: expect.stringMatching(/^removed [0-9a-f]{16}\n$/) });
  expect(await model('rollback')).toMatchObject({ code: 0, stdout: expect.stringContaining('2.0 is taken back for 1.0; the node was told') });
  await until('the node follows', () => log().includes('2.0 was taken back on this machine'));
  await stopNode();
  const back = await model('rollback', '--json');
  expect(JSON.parse(back.stdout)).toMatchObject({ from: '1.0', to: 'the package of the configuration', node: 'not running' });
  expect((await listed()).active).toBeNull();
});

it('refuses what is not what was signed, before anything is kept', async () => {
  await nanoRelease(path('foreign'), '9.0', newSigner().privateKey);
  for (const [args, words] of [
    [[path('foreign')], 'release.sig'],
    [[path('one'), '--sha256', 'f'.repeat(64)], 'expected the sha256'],
    [[path('one'), '--sha256', 'f'], '64 hexadecimal digits'],
    [[path('none')], 'ENOENT'],
    [['http://models.example/one'], 'https://HOST/FOLDER'],
  ] as const) {
    const { code, stderr } = await model('install', ...args);
    expect(code).not.toBe(0);
    expect(stderr).toContain(words);
  }
  const golden = join(path('two'), 'golden.json');
  await chmod(golden, 0o644);
  await writeFile(golden, `${await readFile(golden, 'utf8')} `);
  expect((await model('install', path('two'))).stderr).toContain('golden.json: expected');
  expect((await listed()).active).toBeNull();
});
