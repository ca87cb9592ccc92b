/** A mosquitto of our own: one process on a loopback port, in a temporary folder. Also `until`, the way to wait for something here. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { MqttClient } from 'mqtt';
import { pathOf } from './program-list.js';
import { listens } from './server.js';

export interface MosquittoOptions {
  /** Further lines of the configuration, e.g. `max_packet_size 2000`. */
  config?: string[];
  /** User names and passwords; without it anybody may connect. */
  users?: Record<string, string>;
  /** Text of an ACL file. */
  acl?: string;
  /** Paths of PEM files; the listener speaks TLS. */
  tls?: { cafile: string; certfile: string; keyfile: string; requireCertificate?: boolean };
}

export interface Mosquitto extends AsyncDisposable {
  readonly port: number;
  readonly url: string;
  readonly pid: number | undefined;
  /** Temporary; gone after `close`. */
  readonly folder: string;
  /** What it has written. */
  readonly log: string;
  /** On the same port again, with nothing remembered; `options` replace those it ran with. */
  start(options?: MosquittoOptions): Promise<void>;
  /** SIGKILL unless another signal is named. Clients see their connections break. */
  stop(signal?: NodeJS.Signals): Promise<void>;
  /** Sends a signal and goes on, e.g. SIGSTOP, SIGCONT, SIGHUP. */
  signal(signal: NodeJS.Signals): void;
  /** Stops it and removes its folder. */
  close(): Promise<void>;
}

export async function startMosquitto(options: MosquittoOptions = {}): Promise<Mosquitto> {
  const folder = mkdtempSync(join(tmpdir(), 'mipha-mosquitto-'));
  const port = await freePort();
  let child: ChildProcess | undefined;
  let log = '';
  let current = options;

  const start = async (replacement?: MosquittoOptions) => {
    if (child !== undefined) throw new Error('mosquitto is running');
    current = replacement ?? current;
    const configuration = join(folder, 'mosquitto.conf');
    writeFileSync(configuration, configurationOf(current, folder, port));
    const running = spawn(pathOf('mosquitto') ?? 'mosquitto', ['-v', '-c', configuration], { stdio: ['ignore', 'pipe', 'pipe'] });
    child = running;
    const orphaned = () => running.kill('SIGKILL'); // a test run that ends early takes it along
    process.once('exit', orphaned);
    running.once('exit', () => process.removeListener('exit', orphaned));
    for (const output of [running.stdout, running.stderr]) {
      output.on('data', (data: Buffer) => {
        log = (log + data.toString()).slice(-1_000_000);
      });
    }
    for (let attempt = 0; !(await listens(port)); attempt++) {
      if (running.exitCode !== null || attempt > 200) throw new Error(`mosquitto does not start:\n${log}`);
      await sleep(25);
    }
  };
  const stop = async (signal: NodeJS.Signals = 'SIGKILL') => {
    const running = child;
    child = undefined;
    if (running === undefined || running.exitCode !== null || running.signalCode !== null) return;
    const exited = once(running, 'exit');
    running.kill('SIGCONT');
    running.kill(signal);
    await exited;
  };
  const close = async () => {
    await stop();
    rmSync(folder, { recursive: true, force: true });
  };
  await start().catch(async (error: unknown) => {
    await close();
    throw error;
  });
  return {
    port,
    url: `${options.tls === undefined ? 'mqtt' : 'mqtts'}://127.0.0.1:${port}`,
    folder,
    get pid() {
      return child?.pid;
    },
    get log() {
      return log;
    },
    start,
    stop,
    signal: (signal) => {
      child?.kill(signal);
    },
    close,
    [Symbol.asyncDispose]: close,
  };
}

/** Polls until `probe` gives something truthy, and returns it; throws with `what` when `withinMs` has passed. */
export async function until<T>(what: string, probe: () => T | Promise<T>, withinMs = 30_000): Promise<NonNullable<T>> {
  const end = performance.now() + withinMs;
  for (;;) {
    const value = await probe();
    if (value) return value as NonNullable<T>;
    if (performance.now() > end) throw new Error(`not within ${withinMs} ms: ${what}`);
    await sleep(10);
  }
}

/** Waits until the broker has sent all it had for a client, as `received` counts it: a broker answers in order, a window of messages at a time. */
export async function caughtUp(client: MqttClient, received: () => number): Promise<void> {
  for (let before = -1; before !== received(); ) {
    before = received();
    await client.unsubscribeAsync('nothing');
  }
}

export const sleep = (ms: number) => new Promise<void>((done) => setTimeout(done, ms));

/** A loopback port that was free a moment ago. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

function configurationOf(options: MosquittoOptions, folder: string, port: number): string {
  const lines = [`listener ${port} 127.0.0.1`, 'persistence false', `allow_anonymous ${options.users === undefined}`];
  if (process.getuid?.() === 0) lines.push('user root');
  if (options.tls !== undefined) {
    const { cafile, certfile, keyfile, requireCertificate = false } = options.tls;
    lines.push(`cafile ${cafile}`, `certfile ${certfile}`, `keyfile ${keyfile}`, `require_certificate ${requireCertificate}`);
  }
  if (options.users !== undefined) {
    const file = join(folder, 'passwords');
    writeFileSync(
      file,
      Object.entries(options.users)
        .map(([name, password]) => `${name}:${password}\n`)
        .join(''),
      { mode: 0o600 },
    );
    const { status, stderr } = spawnSync('mosquitto_passwd', ['-U', file]);
    if (status !== 0) throw new Error(`mosquitto_passwd: ${stderr}`);
    lines.push(`password_file ${file}`);
  }
  if (options.acl !== undefined) {
    const file = join(folder, 'acl');
    writeFileSync(file, options.acl, { mode: 0o600 });
    lines.push(`acl_file ${file}`);
  }
  return `${[...lines, ...(options.config ?? [])].join('\n')}\n`;
}
