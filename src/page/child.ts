/** A command of `mipha` beside the node: what it computes or breaks is its own. */
import { spawn } from 'node:child_process';

export interface Finished {
  code: number | null;
  output: string;
  /** What it said on stderr, the end of it. */
  words: string;
}

const MOST_OUTPUT = 32 * 2 ** 20; // characters
const MOST_WORDS = 4000;

/** Rejects when it cannot be started or `signal` aborts, which ends it. */
export function runBeside([program = '', ...args]: readonly string[], { input, signal }: { input: string; signal: AbortSignal }): Promise<Finished> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { stdio: ['pipe', 'pipe', 'pipe'], signal, killSignal: 'SIGTERM' });
    const finished: Finished = { code: null, output: '', words: '' };
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      finished.output += text;
      if (finished.output.length > MOST_OUTPUT) child.kill('SIGKILL');
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      finished.words = (finished.words + text).slice(-MOST_WORDS);
    });
    child.stdin.on('error', () => {}); // it ended before it had read all
    child.stdin.end(input);
    child.on('error', reject);
    child.on('close', (code) => resolve({ ...finished, code }));
  });
}
