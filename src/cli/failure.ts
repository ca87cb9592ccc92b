/** How a command ends badly: one line that says what and what to do, and an exit code. */
import { CommanderError } from 'commander';
import { type ErrorCode, MiphaError } from '../errors.js';
import { redactor } from '../redact.js';

export const EXIT_FAILURE = 1;
export const EXIT_USAGE = 2;
export const EXIT_INTERRUPTED = 130; // 128 + SIGINT, as shells have it

const REMEDY: Partial<Record<ErrorCode, string>> = {
  ERR_OPTION: 'see --help of the command',
  ERR_MODEL_MISSING: 'give the folder of a package, or write one with: mipha convert CHECKPOINT OUT',
  ERR_MODEL_FORMAT: 'convert the checkpoint again, or report it if the checkpoint is a published one',
  ERR_MODEL_CHECKSUM: 'the package is damaged: copy or convert it again',
  ERR_SELF_TEST: 'the package does not answer as it did when it was made: run mipha doctor, then convert it again',
  ERR_BACKEND_UNAVAILABLE: 'run mipha doctor to see what this machine has',
  ERR_MEMORY: 'close other programs, or take a smaller package',
  ERR_IMAGE: 'JPEG, PNG, WebP, AVIF, GIF and TIFF are read, up to 64 megapixels',
  ERR_CONTEXT_FULL: 'ask a shorter question or lower --max-tokens',
  ERR_MQTT: 'check that the broker runs and its address is right',
};

/** A message that says what to run needs no second advice. The commands by name: folders are called "mipha models" too. */
const NAMES_A_COMMAND = /\b(mipha (build|calibrate|convert|doctor)|npm rebuild mipha-edge)\b/;

class Interrupted extends Error {}

/** Aborted by Ctrl-C or SIGTERM; the second one ends the process at once. `release` gives the signals back. */
export function interruption(): { signal: AbortSignal; release: () => void } {
  const controller = new AbortController();
  const abort = () => controller.abort(new Interrupted('interrupted'));
  process.once('SIGINT', abort);
  process.once('SIGTERM', abort);
  const release = () => {
    process.off('SIGINT', abort);
    process.off('SIGTERM', abort);
  };
  return { signal: controller.signal, release };
}

/** Writes the error to stderr and returns the exit code. */
export function report(error: unknown, verbose: boolean): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : EXIT_USAGE; // commander has already said what is wrong
  if (error instanceof Interrupted) {
    process.stderr.write('mipha: interrupted\n');
    return EXIT_INTERRUPTED;
  }
  process.stderr.write(redactor.text(`mipha: ${line(error)}\n`));
  if (verbose) process.stderr.write(redactor.text(`${trace(error)}\n`));
  return error instanceof MiphaError && error.code === 'ERR_OPTION' ? EXIT_USAGE : EXIT_FAILURE;
}

function line(error: unknown): string {
  if (!(error instanceof MiphaError)) return `${(error as Error)?.message ?? error} (--verbose shows where)`;
  const remedy = REMEDY[error.code];
  const told = remedy === undefined || NAMES_A_COMMAND.test(error.message);
  return `${error.code}: ${error.message}${told ? '' : ` - ${remedy}`}`;
}

function trace(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause === undefined ? `${error.stack}` : `${error.stack}\ncaused by: ${trace(error.cause)}`;
}
