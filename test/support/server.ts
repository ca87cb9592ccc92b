/** A server of the system as a child process of a test: started until it listens, killed without ceremony, never left behind. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createConnection } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

export interface ServerOptions {
  command: string;
  args: readonly string[];
  env?: NodeJS.ProcessEnv;
  cwd?: string;
  /** Of 127.0.0.1: once somebody listens there it has started. */
  port: number;
}

export interface Server {
  readonly port: number;
  start(): Promise<void>;
  /** SIGKILL; its files stay. */
  kill(): Promise<void>;
}

const START_MS = 30_000;

export function serverOf({ command, args, env = {}, cwd, port }: ServerOptions): Server {
  let child: ChildProcess | undefined;
  return {
    port,
    async start() {
      if (child !== undefined) throw new Error(`${command} is running`);
      const running = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ...env }, cwd });
      child = running;
      const orphaned = () => running.kill('SIGKILL'); // a test run that ends early takes it along
      process.once('exit', orphaned);
      running.once('exit', () => process.removeListener('exit', orphaned));
      let log = '';
      for (const output of [running.stdout, running.stderr]) {
        output.on('data', (data: Buffer) => {
          log = (log + data.toString()).slice(-10_000);
        });
      }
      for (const end = performance.now() + START_MS; !(await listens(port)); await sleep(25)) {
        if (running.exitCode !== null || performance.now() > end) throw new Error(`${command} does not start:\n${log}`);
      }
    },
    async kill() {
      const running = child;
      child = undefined;
      if (running === undefined || running.exitCode !== null || running.signalCode !== null) return;
      const exited = once(running, 'exit');
      running.kill('SIGKILL');
      await exited;
    },
  };
}

export function listens(port: number): Promise<boolean> {
  return new Promise((done) => {
    const socket = createConnection(port, '127.0.0.1');
    socket.once('connect', () => {
      socket.destroy();
      done(true);
    });
    socket.once('error', () => done(false));
  });
}
