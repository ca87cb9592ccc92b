/** The programs in examples/, compiled and run as a user would, in a project of somebody else that has mipha-edge installed. */
import { type ChildProcess, spawn } from 'node:child_process';
import { copyFile, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ROOT, node as runNode } from '../cli/run.js';
import { fakeModel, listen, startNode } from '../service/support.js';
import { type Mosquitto, startMosquitto, until } from '../support/mosquitto.js';
import { describeWith } from '../support/programs.js';

let project = '';

beforeAll(async () => {
  project = await mkdtemp(join(tmpdir(), 'mipha-examples-'));
  await mkdir(join(project, 'node_modules'));
  for (const name of ['zod', 'mqtt', '@types']) await symlink(join(ROOT, 'node_modules', name), join(project, 'node_modules', name));
  await symlink(ROOT, join(project, 'node_modules', 'mipha-edge'));
  await symlink(join(ROOT, 'models'), join(project, 'models'));
  const programs = (await readdir(join(ROOT, 'examples'))).filter((name) => name.endsWith('.ts'));
  for (const name of programs) await copyFile(join(ROOT, 'examples', name), join(project, name));
  const compilerOptions = {
    module: 'nodenext',
    target: 'es2023',
    lib: ['es2023', 'esnext.disposable'],
    types: ['node'],
    strict: true,
    skipLibCheck: true,
  };
  await writeFile(join(project, 'package.json'), '{ "type": "module" }');
  await writeFile(join(project, 'tsconfig.json'), JSON.stringify({ compilerOptions, files: programs }));
  const compiled = await runNode([join(ROOT, 'node_modules', 'typescript', 'bin', 'tsc'), '-p', project]);
  expect(compiled).toEqual({ code: 0, stdout: '', stderr: '' });
});
afterAll(() => rm(project, { recursive: true, force: true }));

describe('own-loop', () => {
  it('asks the newest frames of a camera and ends', async () => {
    const { code, stdout, stderr } = await runNode([join(project, 'own-loop.js'), 'synthetic://kitchen', '3'], { cwd: project });
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    const lines = stdout.trim().split('\n');
    expect(lines).toHaveLength(3);
    for (const line of lines) expect(line).toMatch(/^\S+-\d+: person (true|false) \([01]\.\d\d\), objects \d, answered at \d+ ms$/);
  });

  it('ends with a camera that ends', async () => {
    const pictures = `images://${join(ROOT, 'test/fixtures/eval/pictures/000*.png')}?fps=10`;
    const { code, stdout, stderr } = await runNode([join(project, 'own-loop.js'), pictures, '100'], { cwd: project });
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout.trim().split('\n').length).toBeLessThanOrEqual(10);
  });
});

describeWith(['mosquitto'], 'on a broker', () => {
  let mosquitto: Mosquitto;
  beforeAll(async () => {
    mosquitto = await startMosquitto();
  });
  afterAll(() => mosquitto[Symbol.asyncDispose]());

  const env = () => ({ MQTT_URL: mosquitto.url, MIPHA_NODE: 'test' });
  /** A node that answers `answer()` after `lookMs`, once it is online and has a frame. */
  const started = async (answer: () => unknown, { lookMs = 0, watches = {} }: { lookMs?: number; watches?: object } = {}) => {
    await using ear = await listen(mosquitto.url);
    const node = await startNode(mosquitto.url, { watches }, { loadModel: async () => fakeModel({ lookMs, answer }) });
    await until('it is online', () => ear.on('availability').at(-1)?.text === 'online');
    await until('a frame', () => node.service.cameras.get('kitchen')?.slot.newest());
    return node;
  };
  const robot = (more: Record<string, string> = {}) => runNode([join(project, 'robot.js'), '1'], { cwd: project, env: { ...env(), ...more } });

  it('the robot moves when nobody is there, and not when somebody is', async () => {
    let person = false;
    await using _node = await started(() => person);
    expect(await robot()).toEqual({ code: 0, stdout: 'step 1: the way is free, moving\n', stderr: '' });
    person = true;
    expect(await robot()).toEqual({ code: 0, stdout: 'step 1: standing still, somebody is there\n', stderr: '' });
    expect((await robot({ MIPHA_CAMERA: 'attic' })).stdout).toMatch(/^step 1: standing still, the node says UNKNOWN_CAMERA/);
  });

  it('the robot stands still when the node is away, slow, or blind, and says so when there was no answer', async () => {
    const alone = await robot();
    expect(alone).toMatchObject({ code: 1, stdout: 'step 1: standing still, no answer in time\n' });
    expect(alone.stderr).toMatch(/^mipha\/v1\/test\/request\/query: no answer on mipha\/v1\/robot\/reply\/\S+ within 2000 ms: is the node online/);
    {
      await using _slow = await startNode(
        mosquitto.url,
        { watches: {} },
        { loadModel: async () => fakeModel({ lookMs: 3000, answer: () => false }) },
      );
      expect((await robot()).stdout).toMatch(/^step 1: standing still, (no answer in time|the node says (TIMEOUT|EXPIRED|STALE_FRAME|NO_FRAME))/);
    }
    await using blind = await started(() => false);
    await blind.service.cameras.get('kitchen')?.stop();
    await until('it is old', () => (blind.service.cameras.get('kitchen')?.status().frameAgeMs ?? 0) > 1600);
    expect((await robot()).stdout).toMatch(/^step 1: standing still, the node says STALE_FRAME/);
  });

  it('the robot is answered under the shipped access list as it stands, and says why where it is not', async () => {
    const names = ['kitchen-1', 'robot', 'dashboard'];
    await using guarded = await startMosquitto({
      users: Object.fromEntries(names.map((name) => [name, 'secret'])),
      acl: await readFile(join(ROOT, 'examples', 'mosquitto.acl'), 'utf8'),
    });
    const password_file = join(guarded.folder, 'secret');
    await writeFile(password_file, 'secret\n');
    await using node = await startNode(
      guarded.url,
      { node: 'kitchen-1', mqtt: { username: 'kitchen-1', password_file }, watches: {} },
      { loadModel: async () => fakeModel({ answer: () => false }) },
    );
    await until('a frame', () => node.service.cameras.get('kitchen')?.slot.newest());
    const as = (user: string) =>
      runNode([join(project, 'robot.js'), '1'], { cwd: project, env: { MQTT_URL: guarded.url, MQTT_USERNAME: user, MQTT_PASSWORD: 'secret' } });
    await until('the node answers', async () => (await as('robot')).stdout === 'step 1: the way is free, moving\n', 20_000);
    expect(await as('dashboard')).toEqual({
      code: 1,
      stdout: 'step 1: standing still, no answer in time\n',
      stderr: 'mipha/v1/kitchen-1/request/query: the broker refuses the question: Publish error: Not authorized\n',
    });
  });

  it('the appliance follows events and knows nothing when the node is gone', async () => {
    let lamp = false;
    const node = await started(() => lamp, {
      watches: { lamp: { camera: 'kitchen', question: 'Is the lamp on?', interval_ms: 100, change_percent: 0 } },
    });
    await using ear = await listen(mosquitto.url);
    await until('the first answer', () => ear.on('watch/lamp/state').at(-1)?.text === 'OFF');
    const child: ChildProcess = spawn(process.execPath, [join(project, 'appliance.js')], { cwd: project, env: { ...process.env, ...env() } });
    let output = '';
    child.stdout?.on('data', (text: Buffer) => (output += text.toString()));
    child.stderr?.on('data', (text: Buffer) => (output += text.toString()));
    try {
      await until('it knows the present state', () => output.includes('light full: found so'));
      lamp = true;
      await until('it reacts', () => output.includes('light dimmed: triggered'));
      lamp = false;
      await until('it reacts again', () => output.includes('light full: cleared'));
      await node[Symbol.asyncDispose]();
      await until('it knows nothing', () => output.includes('light unchanged: nothing is known'));
    } finally {
      child.kill('SIGINT');
      await new Promise((done) => child.once('close', done));
    }
  });
});
