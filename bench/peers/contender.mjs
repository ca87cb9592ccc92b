// The parent's side of worker.mjs.
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const WORKER = fileURLToPath(new URL('worker.mjs', import.meta.url));
const KEPT = 4000; // characters of what it wrote to stderr

export class Contender {
  #child;
  #words = '';

  constructor(name, setup) {
    this.name = name;
    this.setup = setup;
  }

  /** Does nothing when it runs already. */
  async start() {
    if (this.#child !== undefined) return;
    this.#child = fork(WORKER, { stdio: ['ignore', 'ignore', 'pipe', 'ipc'] });
    this.#child.stderr.setEncoding('utf8').on('data', (text) => {
      this.#words = (this.#words + text).slice(-KEPT);
    });
    console.error(`${this.name}: opening`);
    this.facts = await this.#ask({ name: this.name, setup: this.setup });
    console.error(`${this.name}: ${this.facts.detail}`);
  }

  /** Milliseconds. */
  async measure(stage) {
    const { ms } = await this.#ask({ stage });
    console.error(`${this.name}: ${stage} ${ms.toFixed(2)} ms`);
    return ms;
  }

  /** What it has touched of its memory, files it maps included. */
  residentBytes() {
    return 1024 * Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${this.#child.pid}/status`, 'utf8'))[1]);
  }

  async stop() {
    const child = this.#child;
    this.#child = undefined;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    child.kill('SIGKILL'); // nothing of it is worth an orderly end
    await once(child, 'exit');
  }

  async #ask(message) {
    const child = this.#child;
    const ended = new AbortController();
    try {
      child.send(message);
      const answer = await Promise.race([
        once(child, 'message', { signal: ended.signal }).then(([received]) => received),
        once(child, 'exit', { signal: ended.signal }).then(([code, signal]) => ({ error: `ended by ${signal ?? `status ${code}`}` })),
      ]);
      if (answer.error !== undefined) throw new Error(`${this.name}: ${answer.error}\n${this.#words}`);
      return answer;
    } finally {
      ended.abort();
    }
  }
}
