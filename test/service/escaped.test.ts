/** What nobody caught, in a node that is a process of its own: one line in the log, `offline` on the broker, exit code 1. */
import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { MAIN } from '../cli/run.js';
import { type Mosquitto, startMosquitto, until } from '../support/mosquitto.js';
import { describeWith } from '../support/programs.js';
import { type Ear, listen } from './support.js';

const BREAKS = fileURLToPath(new URL('breaks.mjs', import.meta.url));

interface Line {
  level: number;
  msg: string;
  err?: { message: string; stack: string };
}

describeWith(['mosquitto'], 'an error that nobody caught', () => {
  let mosquitto: Mosquitto;
  let ear: Ear;
  const started: ChildProcess[] = [];

  beforeAll(async () => {
    mosquitto = await startMosquitto();
    ear = await listen(mosquitto.url);
  });
  afterAll(async () => {
    for (const child of started) child.kill('SIGKILL');
    await ear[Symbol.asyncDispose]();
    await mosquitto[Symbol.asyncDispose]();
  });

  /** A node that is online, about to break. */
  async function node(how: string, ...flags: string[]) {
    ear.all.length = 0;
    const settings = ['node=test', `mqtt.url=${mosquitto.url}`, 'mqtt.discovery.enabled=false', 'http.enabled=false', ...flags];
    const watch = ['cameras.kitchen.uri=synthetic://kitchen?change_ms=300', 'watches.lamp.camera=kitchen', 'watches.lamp.question=Is the lamp on?'];
    const args = [...settings, ...watch].flatMap((setting) => ['--set', setting]);
    const child = spawn(process.execPath, ['--import', BREAKS, MAIN, 'run', ...args], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, MIPHA_TEST_BREAK: how },
    });
    started.push(child);
    let output = '';
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (data: Buffer) => (output += data.toString()));
    const ended = new Promise<number | string>((done) => child.once('close', (code, signal) => done(code ?? signal ?? '')));
    await until('an answer', () => ear.on('watch/lamp/result').some(({ text }) => text.includes('"status":"ok"')), 30_000);
    await until('online', () => ear.on('availability').at(-1)?.text === 'online');
    return { child, ended, output: () => output };
  }

  const words = (output: string) => output.split('\n').filter((line) => line.includes('broken on purpose'));

  it.each(['timer', 'several at once', 'rejection', 'message handler', 'camera listener', 'publication'])(
    'ends the node after it has said offline: %s',
    async (how) => {
      const { child, ended, output } = await node(how, 'log.format=json', 'log.mqtt=true');
      const begun = performance.now();
      child.kill('SIGUSR2');
      if (how === 'message handler') {
        await until('signal taken', async () => {
          await ear.request('health', { transaction: 'last' });
          return child.exitCode !== null;
        });
      }
      expect(await ended, output()).toBe(1);
      expect(performance.now() - begun).toBeLessThan(5000);
      const told = words(output());
      expect(told, output()).toHaveLength(1);
      const line = JSON.parse(told[0] as string) as Line;
      expect(line).toMatchObject({ level: 60, msg: 'an error that nobody caught, the process ends: broken on purpose' });
      expect(line.err?.stack).toMatch(/^Error: broken on purpose\n\s+at .*breaks\.mjs/);
      // Said by the node itself: the broker's will would take two seconds, as that of the node before may have.
      const since = () => ear.all.slice(ear.all.findLastIndex(({ topic, text }) => topic.endsWith('availability') && text === 'online'));
      const offline = () => since().findIndex(({ topic, text }) => topic.endsWith('availability') && text === 'offline');
      await until('offline', () => offline() > 0, 1900);
      const after = since().slice(offline() + 1);
      const late = ({ topic, text }: { topic: string; text: string }) => topic.endsWith('availability') && text === 'offline'; // the will of a node before
      expect(after.filter((message) => !late(message) && !message.topic.includes('request/'))).toEqual([]);
      expect(ear.on('log').some(({ text }) => text.includes('broken on purpose'))).toBe(true);
    },
  );

  it.each(['farewell that throws', 'farewell that breaks something else', 'farewell that never ends'])(
    'ends the node even where the farewell is broken too, and the will says offline: %s',
    async (how) => {
      const { child, ended, output } = await node(how, 'log.format=json');
      const begun = performance.now();
      child.kill('SIGUSR2');
      expect(await ended, output()).toBe(1);
      expect(performance.now() - begun).toBeLessThan(how.endsWith('never ends') ? 6000 : 3000);
      expect(words(output())).toHaveLength(1);
      await until('offline', () => ear.on('availability').at(-1)?.text === 'offline', 8000);
    },
  );
});
