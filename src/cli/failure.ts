/** How a command ends badly: one line that says what and what to do, and an exit code. */
import { CommanderError } from 'commander';
import { MiphaError } from '../errors.js';
import { redactor } from '../redact.js';
import { adviceFor } from './advice.js';

export const EXIT_FAILURE = 1;
export const EXIT_USAGE = 2;
export const EXIT_INTERRUPTED = 130; // 128 + SIGINT, as shells have it
const EXIT_BROKEN_PIPE = 141; // 128 + SIGPIPE

class Interrupted extends Error {}

const running = new Set<AbortController>();
let isPipeBroken = false;

/** Aborted by Ctrl-C or SIGTERM; the second one ends the process at once. `release` gives the signals back. */
export function interruption(): { signal: AbortSignal; release: () => void } {
  const controller = new AbortController();
  const abort = () => controller.abort(new Interrupted('interrupted'));
  running.add(controller);
  process.once('SIGINT', abort);
  process.once('SIGTERM', abort);
  const release = () => {
    running.delete(controller);
    process.off('SIGINT', abort);
    process.off('SIGTERM', abort);
  };
  return { signal: controller.signal, release };
}

/** Output that nobody reads any more, as with `| head -1`, is an interruption without words; output that cannot be written is a failure. */
export function watchOutput(): void {
  for (const stream of [process.stdout, process.stderr]) {
    stream.on('error', (error: NodeJS.ErrnoException) => {
      if (isPipeBroken) return;
      if (error.code !== 'EPIPE') {
        if (stream === process.stdout) process.stderr.write(`mipha: the output cannot be written: ${error.message}\n`);
        process.exit(EXIT_FAILURE);
      }
      isPipeBroken = true;
      if (running.size === 0) process.exit(EXIT_BROKEN_PIPE);
      for (const controller of running) controller.abort(new Interrupted('nobody reads the output'));
    });
  }
}

/** Writes the error to stderr and returns the exit code. `command`: the one that failed. */
export function report(error: unknown, verbose: boolean, command = ''): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : EXIT_USAGE; // commander has already said what is wrong
  if (error instanceof Interrupted) {
    if (isPipeBroken) return EXIT_BROKEN_PIPE;
    process.stderr.write('mipha: interrupted\n');
    return EXIT_INTERRUPTED;
  }
  process.stderr.write(redactor.text(`mipha: ${line(error, command)}\n`));
  if (verbose) process.stderr.write(redactor.text(`${trace(error)}\n`));
  return error instanceof MiphaError && error.code === 'ERR_OPTION' ? EXIT_USAGE : EXIT_FAILURE;
}

function line(error: unknown, command: string): string {
  if (!(error instanceof MiphaError)) return `${(error as Error)?.message ?? error} (--verbose shows where)`;
  const advice = adviceFor(error, command);
  return `${error.code}: ${error.message}${advice === undefined ? '' : ` - ${advice}`}`;
}

function trace(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause === undefined ? `${error.stack}` : `${error.stack}\ncaused by: ${trace(error.cause)}`;
}
