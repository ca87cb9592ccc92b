/** `mipha run` among other processes: readers of its log that stand still or leave, early signals, starts that die. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { closeSync, constants, existsSync, openSync, readdirSync, readFileSync, readSync, writeSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { MAIN, mipha } from '../cli/run.js';
import { freePort, type Mosquitto, sleep, startMosquitto, until } from '../support/mosquitto.js';
import { describeWith } from '../support/programs.js';
import { type Ear, listen, ROOT } from './support.js';

let folder = '';
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mipha-process-'));
});
afterEach(() => rm(folder, { recursive: true }));

const ended = (child: ChildProcess) => new Promise<number | string>((done) => child.once('exit', (code, signal) => done(code ?? signal ?? '')));

/** A pipe with a name, so that a reader can leave and come back. */
function fifo() {
  const path = join(folder, 'log');
  execFileSync('mkfifo', [path]);
  const reader = () => openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  let reading = reader();
  let text = '';
  const writing = openSync(path, constants.O_WRONLY);
  return {
    writing,
    /** Until nothing more fits. */
    fill() {
      const filling = openSync(path, constants.O_WRONLY | constants.O_NONBLOCK);
      try {
        for (const bytes = Buffer.alloc(4096, '\n'); ; ) writeSync(filling, bytes);
      } catch {
        closeSync(filling);
      }
    },
    /** All that was read so far. */
    read() {
      const bytes = Buffer.alloc(1 << 16);
      try {
        for (let count = -1; count !== 0; text += bytes.toString('utf8', 0, count)) count = readSync(reading, bytes, 0, bytes.length, null);
      } catch {
        // nothing more now
      }
      return text;
    },
    leave: () => closeSync(reading),
    comeBack: () => {
      reading = reader();
    },
    close() {
      closeSync(reading);
      closeSync(writing);
    },
  };
}

const write = (url: string, more = '') =>
  writeFile(
    join(folder, 'config.yaml'),
    `node: test\nstate_dir: state\nmqtt: { url: "${url}", discovery: { enabled: false } }\nshutdown_ms: 2000
cameras: { kitchen: { uri: "synthetic://kitchen" } }\nwatches: { lamp: { camera: kitchen, question: "Is the lamp on?" } }\n${more}`,
  );
const start = (stdout: 'pipe' | number, ...flags: string[]) =>
  spawn(process.execPath, [MAIN, 'run', '--config', join(folder, 'config.yaml'), ...flags], { stdio: ['ignore', stdout, stdout] });

describeWith(['mosquitto'], 'the log of a node', () => {
  let mosquitto: Mosquitto;
  let ear: Ear;
  beforeAll(async () => {
    mosquitto = await startMosquitto();
  });
  afterAll(() => mosquitto[Symbol.asyncDispose]());
  beforeEach(async () => {
    ear = await listen(mosquitto.url);
  });
  afterEach(() => ear[Symbol.asyncDispose]());

  it.each(['json', 'pretty'])(
    'may stand still (%s): the node answers, counts what it could not say, tells it later, and ends on SIGTERM',
    async (format) => {
      const port = await freePort();
      await write(mosquitto.url, `http: { port: ${port} }\nlog: { format: ${format}, level: trace }`);
      const pipe = fifo();
      pipe.fill();
      const child = start(pipe.writing);
      try {
        await until('online', () => ear.on('availability').some(({ text, retained }) => text === 'online' && !retained), 30_000);
        const wrong = async (word: string) => await ear.client.publishAsync(`${ROOT}/watch/lamp/interval/set`, word, { qos: 1 });
        const answers = async (transaction: string) => {
          await ear.request('health', { transaction });
          expect(await ear.response(transaction)).toMatchObject({ status: 'ok' });
        };
        for (let n = 0; n < 50; n++) await wrong(`stalled ${n}`);
        await answers('stalled');
        await until('what was held', () => /stalled 0[\s\S]*stalled 49/.test(pipe.read()));

        pipe.leave();
        for (let n = 0; n < 10; n++) await wrong(`gone ${n}`);
        await answers('gone');
        const dropped = await until('the metric', async () => {
          const text = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
          return Number(/^mipha_log_dropped_total (\d+)$/m.exec(text)?.[1]);
        });
        pipe.comeBack();
        await wrong('back');
        const text = await until('the gap', () => /(\d+) lines were dropped while nobody read the log[\s\S]*back/.exec(pipe.read()));
        expect(Number(text[1])).toBeGreaterThanOrEqual(dropped);

        pipe.fill();
        for (let n = 0; n < 50; n++) await wrong(`full ${n}`);
        const begun = performance.now();
        child.kill('SIGTERM');
        expect(await ended(child)).toBe(0);
        expect(performance.now() - begun).toBeLessThan(2000 + 3000);
        expect(ear.on('availability').at(-1)?.text).toBe('offline');
      } finally {
        child.kill('SIGKILL');
        pipe.close();
      }
    },
  );

  it('does not keep a process that cannot start, though nobody reads why', async () => {
    await write(mosquitto.url, 'http: { enabled: false }');
    const pipe = fifo();
    pipe.fill();
    const child = start(pipe.writing, '--set', 'model.folder=/nonexistent');
    try {
      expect(await Promise.race([ended(child), sleep(20_000)])).toBe(1);
    } finally {
      child.kill('SIGKILL');
      pipe.close();
    }
  });
});

/** Whether the process has a handler for the signal (proc(5)). */
function catches(pid: number, signal: number): boolean {
  const caught = /^SigCgt:\s*([0-9a-f]+)$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? '0';
  return ((BigInt(`0x${caught}`) >> BigInt(signal - 1)) & 1n) === 1n;
}

describe('a signal that comes early', () => {
  const HUP = 1;

  it('finds a handler before anything large is loaded, and SIGHUP at any time after ends nothing', async () => {
    await write(`mqtt://127.0.0.1:${await freePort()}`, 'http: { enabled: false }');
    const child = start('pipe');
    let output = '';
    child.stdout?.on('data', (text) => {
      output += text;
    });
    const over = ended(child);
    const pid = child.pid as number;
    try {
      await until('SIGHUP is caught', () => catches(pid, HUP));
      expect(readFileSync(`/proc/${pid}/maps`, 'utf8')).not.toMatch(/sharp|mipha_edge|libvips/);
      for (let n = 0; n < 200 && !output.includes('"running"'); n++) {
        child.kill('SIGHUP');
        await sleep(20);
      }
      await until('it runs', () => output.includes('"running"'), 30_000);
      await until('it has read its configuration again', () => output.includes('configuration read again'));
      child.kill('SIGTERM');
      expect(await over).toBe(0);
    } finally {
      child.kill('SIGKILL');
    }
  });

  it('is obeyed when it is SIGTERM: the node ends before it begins', async () => {
    await write(`mqtt://127.0.0.1:${await freePort()}`, 'http: { enabled: false }');
    const child = start('pipe');
    const over = ended(child);
    try {
      await until('SIGHUP is caught, the last of them', () => catches(child.pid as number, HUP)); // Node itself catches SIGTERM, and dies
      child.kill('SIGTERM');
      expect(await over).toBe(0);
    } finally {
      child.kill('SIGKILL');
    }
  });
});

describeWith(['mosquitto'], 'SIGTERM while a node starts', () => {
  it.each([0, 150, 300, 600, 1000])('%i ms after it began to load: it says so and ends, whatever it was making', async (afterMs) => {
    await using mosquitto = await startMosquitto();
    await write(mosquitto.url, 'http: { enabled: false }');
    const file = join(folder, 'config.yaml');
    const text = readFileSync(file, 'utf8')
      .replace('synthetic://kitchen"', 'synthetic://kitchen", images: true')
      .replace('on?"', 'on?", record: true');
    await writeFile(file, text);
    const child = start('pipe');
    let output = '';
    child.stdout?.on('data', (chunk) => {
      output += chunk;
    });
    const over = ended(child);
    try {
      await until('it loads', () => output.includes('loading the model'));
      await sleep(afterMs);
      child.kill('SIGTERM');
      expect(await Promise.race([over, sleep(10_000).then(() => `still there: ${output}`)])).toBe(0);
    } finally {
      child.kill('SIGKILL');
    }
  });
});

describe('overrides of a node that is killed', () => {
  const state = () => join(folder, 'state');
  const aside = () => readdirSync(state()).filter((name) => name.includes('.dropped-'));

  it('are dropped when it was killed twice while it started with them', async () => {
    await write(`mqtt://127.0.0.1:${await freePort()}`, 'http: { enabled: false }');
    execFileSync('mkdir', [state()]);
    await writeFile(join(state(), 'overrides.json'), JSON.stringify({ version: 1, overrides: { model: { threads: 1 } } }));
    for (let n = 0; n < 2; n++) {
      const child = start('pipe');
      const over = ended(child);
      await until(
        'it starts',
        () => existsSync(join(state(), 'starts.json')) && readFileSync(join(state(), 'starts.json'), 'utf8').includes(`"unfinished":${n + 1}`),
        20_000,
      );
      child.kill('SIGKILL');
      expect(await over).toBe('SIGKILL');
      expect(aside()).toEqual([]);
    }
    const child = start('pipe');
    let output = '';
    child.stdout?.on('data', (text) => {
      output += text;
    });
    const over = ended(child);
    try {
      await until('it runs', () => output.includes('"running"'), 30_000);
      expect(output).toMatch(/overrides\.json kept the node from starting and were dropped .*2 starts with them in a row/);
      expect(aside()).toHaveLength(1);

      const running = await mipha(['drop-overrides', '--config', join(folder, 'config.yaml')]);
      expect(running).toMatchObject({ code: 1, stdout: '' });
      expect(running.stderr).toMatch(
        new RegExp(`process ${child.pid} is using this state folder: ask the running node with the request overrides/drop, or stop it`),
      );
    } finally {
      child.kill('SIGTERM');
    }
    expect(await over).toBe(0);
  });

  it('are dropped by hand while it is stopped, some or all, and print-config tells', async () => {
    await write('mqtt://127.0.0.1:1', 'log: { level: warn }');
    const file = join(folder, 'config.yaml');
    const drop = (...paths: string[]) => mipha(['drop-overrides', '--config', file, ...paths]);
    expect(await drop()).toEqual({ code: 0, stdout: 'there are no overrides\n', stderr: '' });
    await writeFile(
      join(state(), 'overrides.json'),
      JSON.stringify({ version: 1, overrides: { log: { level: 'debug' }, watches: { lamp: { question: 'Is it dark?', interval_ms: 50 } } } }),
    );
    const shown = await mipha(['print-config', file]);
    expect(shown.stdout).toMatch(
      /^watches\.lamp\.question +"Is it dark\?" {2}# mqtt .*overrides\.json, over "Is the lamp on\?" of .*config\.yaml:6$/m,
    );
    expect(shown.stdout).toMatch(/^log\.level +"debug" {2}# mqtt .*, over "warn" of /m);
    expect(shown.stderr).toMatch(/warning: log\.level: .*config\.yaml:7 says "warn", the override "debug" is in force/);
    expect((await mipha(['check-config', file])).stderr).toContain('log.level');
    expect(await drop('log.levl')).toMatchObject({ code: 1, stderr: expect.stringMatching(/did you mean log\.level/) });
    expect(await drop('watches.lamp.question')).toMatchObject({ code: 0, stdout: 'dropped watches.lamp.question\n' });
    expect((await mipha(['print-config', file])).stdout).toMatch(/^watches\.lamp\.question +"Is the lamp on\?" {2}# file /m);
    expect(await drop('--json')).toMatchObject({ code: 0, stdout: expect.stringContaining('"log.level"') });
    expect(JSON.parse(readFileSync(join(state(), 'overrides.json'), 'utf8')).overrides).toEqual({});
  });
});
