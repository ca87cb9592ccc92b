/** `mipha run` as a process: signals, configuration files, and what is left when it ends. */
import { type ChildProcess, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { MAIN } from '../cli/run.js';
import { counts } from '../support/counts.js';
import { freePort, type Mosquitto, startMosquitto, until } from '../support/mosquitto.js';
import { describeWith } from '../support/programs.js';
import { type Ear, listen } from './support.js';

const CYCLES = counts(2, 40);

interface Running {
  child: ChildProcess;
  output: () => string;
  ended: Promise<number | string>;
}

/** Inherited by everything that the nodes of this file start, whoever is its parent by now. */
const MARK = `MIPHA_TEST_MARK=${randomUUID()}`;

function run(args: string[]): Running {
  const [name = '', value] = MARK.split('=');
  const child = spawn(process.execPath, [MAIN, 'run', ...args], { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, [name]: value } });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (text: Buffer) => (output = (output + text.toString()).slice(-100_000)));
  const ended = new Promise<number | string>((done) => child.once('close', (code, signal) => done(code ?? signal ?? '')));
  return { child, output: () => output, ended };
}

/** Commands of the processes that carry the mark. */
function marked(): string[] {
  return readdirSync('/proc')
    .filter((entry) => /^\d+$/.test(entry))
    .flatMap((pid) => {
      try {
        if (!readFileSync(`/proc/${pid}/environ`, 'utf8').includes(MARK)) return [];
        return [readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0')[0] ?? ''];
      } catch {
        return []; // gone meanwhile, or a zombie, which has no environment: those are counted by the camera tests
      }
    });
}

describeWith(['mosquitto', 'gstreamer'], 'mipha run', () => {
  let mosquitto: Mosquitto;
  let ear: Ear;
  let folder = '';
  const file = () => join(folder, 'config.yaml');

  /** A kitchen, a GStreamer camera, one watch; `more` are further lines. */
  const write = async (more = '', interval = 100) =>
    await writeFile(
      file(),
      `
node: test
state_dir: ./state
mqtt: { url: "${mosquitto.url}", discovery: { enabled: false } }
http: { enabled: false }
shutdown_ms: 3000
cameras:
  kitchen: { uri: "synthetic://kitchen?change_ms=500" }
  yard: { uri: "gst:videotestsrc is-live=true ! video/x-raw,width=64,height=48,framerate=5/1" }
watches:
  lamp: { camera: kitchen, question: "Is the lamp on?", interval_ms: ${interval} }
${more}`,
    );

  beforeAll(async () => {
    mosquitto = await startMosquitto();
    ear = await listen(mosquitto.url);
    folder = await mkdtemp(join(tmpdir(), 'mipha-run-'));
  });
  afterAll(async () => {
    await ear[Symbol.asyncDispose]();
    await mosquitto[Symbol.asyncDispose]();
    await rm(folder, { recursive: true, force: true });
  });

  it(
    `ends within its budget on SIGTERM, says offline, and leaves no process behind, ${CYCLES} times`,
    async () => {
      await write();
      for (let cycle = 0; cycle < CYCLES; cycle++) {
        ear.all.length = 0;
        const { child, output, ended } = run(['--config', file()]);
        await until(`cycle ${cycle} is online`, () => ear.on('availability').at(-1)?.text === 'online', 30_000);
        if (cycle % 2 === 0) {
          await until('the yard is online', () => ear.on('camera/yard/status').at(-1)?.text === 'online', 30_000);
          expect(marked().some((command) => command.includes('gst-launch'))).toBe(true);
        }
        const begun = performance.now();
        child.kill('SIGTERM');
        expect(await ended, output()).toBe(0);
        expect(performance.now() - begun).toBeLessThan(3000 + 3000);
        await until('offline', () => ear.on('availability').at(-1)?.text === 'offline', 5000);
        expect(marked()).toEqual([]);
      }
    },
    60_000 + CYCLES * 15_000,
  );

  it('takes a new configuration on SIGHUP, and keeps the old one when the new one is broken', async () => {
    await write();
    ear.all.length = 0;
    const { child, output, ended } = run(['--config', file()]);
    try {
      await until('it runs', () => output().includes('running'), 30_000);
      await write('  door: { camera: kitchen, question: "Is the door open?" }\n', 300);
      child.kill('SIGHUP');
      await until('the new watch', () => ear.on('watch/door/state').at(-1)?.text, 20_000);
      await until('the new interval', () => ear.on('watch/lamp/interval/state').at(-1)?.text === '0.3');

      await write('  window: { camera: attic, question: "Is the window open?", intervall_ms: 3 }\n');
      child.kill('SIGHUP');
      const alert = await until('the alert', () => ear.on('alert/config').find(({ text }) => text !== ''));
      expect(alert.text).toContain('watches.window');
      expect(output()).toContain('intervall_ms');
      expect(ear.on('watch/door/enabled/state').at(-1)?.text).toBe('ON');

      await write();
      child.kill('SIGHUP');
      await until('the alert is gone', () => ear.on('alert/config').at(-1)?.text === '');
      await until('the door is forgotten', () => ear.on('watch/door/state').at(-1)?.text === '');
    } finally {
      child.kill('SIGTERM');
      await ended;
    }
  });

  it('keeps what was changed over MQTT through a restart by request and by hand', async () => {
    await write();
    ear.all.length = 0;
    const first = run(['--config', file()]);
    await until('it runs', () => first.output().includes('running'), 30_000);
    await ear.request('watch/put', { watch: 'person', spec: { camera: 'kitchen', question: 'Is there a person?' }, transaction: 'put' });
    expect(await ear.response('put')).toMatchObject({ data: { created: true, persisted: true } });
    await ear.request('restart', { transaction: 'restart' });
    expect(await ear.response('restart')).toMatchObject({ status: 'ok' });
    await until('a new session', () => new Set(ear.on('info').map(({ text }) => JSON.parse(text).session)).size === 2, 20_000);
    await until('online again', () => ear.on('availability').at(-1)?.text === 'online');
    first.child.kill('SIGTERM');
    expect(await first.ended).toBe(0);

    ear.all.length = 0;
    const second = run(['--config', file()]);
    await until('the kept watch answers', () => ear.on('watch/person/state').find(({ text, retained }) => !retained && text !== ''), 30_000);
    second.child.kill('SIGTERM');
    expect(await second.ended).toBe(0);
    expect(await readFile(join(folder, 'state', 'overrides.json'), 'utf8')).toContain('Is there a person?');
    await rm(join(folder, 'state'), { recursive: true });
  });

  it('ends with 1 and one line when it cannot begin', async () => {
    await write();
    const broken = async (...flags: string[]) => {
      const { ended, output } = run(['--config', file(), '--set', 'log.level=fatal', ...flags]);
      return { code: await ended, lines: output().trim().split('\n') };
    };
    const busy = await freePort();
    const blocker = await import('node:net').then(({ createServer }) => createServer().listen(busy, '127.0.0.1'));
    expect(await broken('--set', 'http.enabled=true', '--set', `http.port=${busy}`)).toEqual({
      code: 1,
      lines: [expect.stringContaining('http.port')],
    });
    blocker.close();
    const noModel = await broken('--set', 'model.folder=/nonexistent');
    expect(noModel.code).toBe(1);
    expect(noModel.lines.join('\n')).toContain('model.folder');
    const badCamera = await broken('--set', 'cameras.kitchen.uri=sinthetic://kitchen');
    expect(badCamera.code).toBe(1);
    expect(badCamera.lines.join('\n')).toContain('synthetic:');
  });

  it('comes up without a broker, and is there when the broker comes', async () => {
    await write();
    await mosquitto.stop();
    ear.all.length = 0;
    const { child, output, ended } = run(['--config', file()]);
    await until('it runs', () => output().includes('running'), 30_000);
    await mosquitto.start();
    await until('online', () => ear.on('availability').at(-1)?.text === 'online', 20_000);
    await until('an answer', () => ear.on('watch/lamp/state').at(-1)?.text, 20_000);
    child.kill('SIGINT');
    expect(await ended).toBe(0);
  });
});
