/** Runs the compiled command line as a child process, the way a shell does. */
import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const ROOT = fileURLToPath(new URL('../../', import.meta.url));
export const MAIN = join(ROOT, 'dist', 'cli', 'main.js');
export const NANO = join(ROOT, 'models', 'mipha-nano');
export const EVAL = join(ROOT, 'test', 'fixtures', 'eval');

export interface Outcome {
  code: number | null;
  stdout: string;
  stderr: string;
}

export interface RunOptions {
  cwd?: string;
  env?: NodeJS.ProcessEnv;
  /** What comes on stdin; nothing by default. */
  stdin?: Uint8Array;
  /** Called with everything written to stdout or stderr so far, whenever there is more. */
  onOutput?: (output: string, child: ChildProcess) => void;
}

/** `node ...args`. */
export function node(args: string[], { cwd, env, stdin, onOutput }: RunOptions = {}): Promise<Outcome> {
  return new Promise((done, fail) => {
    const child = spawn(process.execPath, args, {
      cwd,
      env: { ...process.env, ...env },
      stdio: [stdin === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'],
    });
    child.stdin?.on('error', () => undefined).end(stdin); // who has seen enough closes it
    let [stdout, stderr] = ['', ''];
    child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      stdout += text;
      onOutput?.(stdout + stderr, child);
    });
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      stderr += text;
      onOutput?.(stdout + stderr, child);
    });
    child.once('error', fail).once('close', (code) => done({ code, stdout, stderr }));
  });
}

/** `mipha ...args`. */
export function mipha(args: string[], options?: RunOptions): Promise<Outcome> {
  return node([MAIN, ...args], options);
}
