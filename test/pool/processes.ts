/** Whole nodes as child processes, `mipha run` with the shipped model: killed, started again, slowed down. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { MAIN } from '../cli/run.js';
import type { Access } from '../support/clusters.js';
import { sleep } from '../support/mosquitto.js';

export interface NodeProcess {
  readonly id: string;
  start(): void;
  /** SIGKILL; its configuration stays. */
  kill(): Promise<void>;
  /** From now on, until it is killed, it runs in slices of 40 ms, one in `times`: as on a board that somebody else keeps busy. */
  slowDown(times: number): void;
}

export interface NodeProcessOptions extends Access {
  id: string;
  /** Of the broker, on 127.0.0.1. */
  port: number;
  /** Addresses by camera. */
  cameras: Readonly<Record<string, string>>;
}

const SLICE_MS = 40;

/** The configuration is written into `folder`. */
export function nodeProcess(folder: string, { id, port, protocol, username, passwordFile, cameras }: NodeProcessOptions): NodeProcess {
  const file = join(folder, `${id}.json`); // which is YAML too
  const login = username === undefined ? {} : { username, password_file: passwordFile };
  writeFileSync(
    file,
    JSON.stringify({
      node: id,
      mqtt: { url: `mqtt://127.0.0.1:${port}`, protocol, ...login, discovery: { enabled: false } },
      http: { enabled: false },
      log: { level: 'fatal' },
      model: { threads: 1 },
      cameras: Object.fromEntries(Object.entries(cameras).map(([camera, uri]) => [camera, { uri }])),
    }),
  );
  let child: ChildProcess | undefined;
  const orphaned = () => child?.kill('SIGKILL'); // a test run that ends early takes it along
  return {
    id,
    start() {
      child = spawn(process.execPath, [MAIN, 'run', '--config', file], { stdio: 'ignore' });
      process.once('exit', orphaned);
    },
    async kill() {
      const running = child;
      child = undefined;
      process.removeListener('exit', orphaned);
      if (running === undefined || running.exitCode !== null || running.signalCode !== null) return;
      const ended = once(running, 'exit');
      running.kill('SIGKILL');
      await ended;
    },
    slowDown(times) {
      const slowed = child;
      const takeTurns = async () => {
        while (slowed !== undefined && slowed === child) {
          slowed.kill('SIGSTOP');
          await sleep((times - 1) * SLICE_MS);
          slowed.kill('SIGCONT');
          await sleep(SLICE_MS);
        }
      };
      void takeTurns();
    },
  };
}
