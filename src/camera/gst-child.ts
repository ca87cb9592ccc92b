/** One run of gst-launch-1.0: spawned, read, and ended for certain. */
import { type ChildProcess, spawn } from 'node:child_process';
import type { Readable } from 'node:stream';
import { MiphaError } from '../errors.js';
import { installCommand } from './elements.js';
import { FRAMES_FD, type Pipeline } from './pipelines.js';

const STDERR_CHARS = 8192; // the end of what it said is kept
/** SIGINT lets the pipeline take leave of camera and server; what does not listen is ended. Milliseconds until the next one. */
const SIGNALS = [
  ['SIGINT', 1000],
  ['SIGTERM', 1000],
  ['SIGKILL', 5000],
] as const;
const CLOSE_MS = 1000; // a process that has gone may have left its descriptors to another

/** Reads what comes on FRAMES_FD. */
export interface Reader {
  /** Throws ERR_CAMERA when the stream is not what it should be. */
  push(chunk: Uint8Array): void;
  /** A stream that ends here was cut off. */
  readonly partial: boolean;
}

export class GstChild {
  /** The process has gone and its descriptors are closed. Rejects with ERR_CAMERA unless it ended normally. */
  readonly ended: Promise<void>;
  private readonly child: ChildProcess;
  private readonly gone: Promise<void>;
  private stderr = '';
  private failure: Error | undefined;
  private stopping: Promise<void> | undefined;

  constructor(
    private readonly pipeline: Pipeline,
    private readonly frames: Reader,
  ) {
    const stdio = ['ignore', 'ignore', 'pipe', 'pipe'] as const; // FRAMES_FD is the last
    this.child = spawn('gst-launch-1.0', ['-q', ...pipeline.args], {
      stdio: [...stdio],
      detached: true, // Ctrl-C is for the parent, which ends its children in order
      env: { ...process.env, LC_ALL: 'C.UTF-8', GST_DEBUG_NO_COLOR: '1', ...pipeline.env },
    });
    const pixels = this.child.stdio[FRAMES_FD] as Readable;
    pixels.on('data', (chunk: Buffer) => this.read(chunk));
    pixels.on('end', () => pixels.destroy()); // a socket, whose other half would stay open
    this.child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.stderr += text;
      if (this.stderr.length > 2 * STDERR_CHARS) this.stderr = endOf(this.stderr);
    });
    // Their errors come with the end of the process, which tells more.
    for (const stream of [pixels, this.child.stderr]) stream?.on('error', () => undefined);
    this.gone = this.watch();
    this.ended = this.gone.then(() => {
      const { exitCode, signalCode } = this.child;
      if (this.failure === undefined && exitCode === 0 && !this.frames.partial) return;
      throw this.failure ?? this.explain(signalCode ?? `exit code ${exitCode}`);
    });
    this.ended.catch(() => undefined);
  }

  /** Ends the process, however stubborn, and resolves when it has gone. Throws ERR_CAMERA when not even SIGKILL ends it. */
  stop(): Promise<void> {
    this.stopping ??= this.end();
    return this.stopping;
  }

  private read(chunk: Buffer): void {
    if (this.stopping !== undefined || this.failure !== undefined) return;
    try {
      this.frames.push(chunk);
    } catch (error) {
      this.failure = error as Error;
      this.stop().catch(() => undefined);
    }
  }

  private watch(): Promise<void> {
    return new Promise<void>((resolve) => {
      let timer: NodeJS.Timeout | undefined;
      const finish = () => {
        clearTimeout(timer);
        for (const stream of this.child.stdio) stream?.destroy();
        resolve();
      };
      this.child.once('error', (error: NodeJS.ErrnoException) => {
        if (this.child.pid !== undefined) return; // a signal that could not be sent
        this.failure = spawnFailure(error);
        finish();
      });
      this.child.once('exit', () => {
        timer = setTimeout(finish, CLOSE_MS);
      });
      this.child.once('close', finish);
    });
  }

  private async end(): Promise<void> {
    for (const [signal, graceMs] of SIGNALS) {
      if (this.child.exitCode === null && this.child.signalCode === null) this.child.kill(signal);
      let timer: NodeJS.Timeout | undefined;
      const patience = new Promise<'late'>((resolve) => {
        timer = setTimeout(resolve, graceMs, 'late');
      });
      const outcome = await Promise.race([this.gone, patience]);
      clearTimeout(timer);
      if (outcome !== 'late') return;
    }
    for (const stream of this.child.stdio) stream?.destroy();
    this.child.unref();
    throw new MiphaError('ERR_CAMERA', `Process ${this.child.pid} (gst-launch-1.0) does not end, not even on SIGKILL`, {
      details: { pid: this.child.pid },
    });
  }

  /** What went wrong, out of what the child said. */
  private explain(ending: string): MiphaError {
    const stderr = endOf(this.pipeline.redactor.text(this.stderr));
    const element = /no element "([^"]+)"/.exec(stderr)?.[1];
    if (element !== undefined) {
      const remedy = installCommand([element]);
      return new MiphaError('ERR_CAMERA', `GStreamer has no element ${element}: ${remedy}`, { details: { element, remedy, stderr } });
    }
    const decoder = /Missing decoder: ([^\n(]+)/.exec(stderr)?.[1]?.trim();
    if (decoder !== undefined) {
      const remedy = installCommand(['avdec_', 'h264parse']);
      return new MiphaError('ERR_CAMERA', `GStreamer has no decoder for ${decoder}: ${remedy}`, { details: { decoder, remedy, stderr } });
    }
    const reason = firstError(stderr) ?? stderr.trim().split('\n').at(-1) ?? '';
    return new MiphaError('ERR_CAMERA', `gst-launch-1.0 ended (${ending})${reason === '' ? '' : `: ${reason}`}`, { details: { ending, stderr } });
  }
}

/** Whole lines: half a secret would not be known as one. */
function endOf(text: string): string {
  if (text.length <= STDERR_CHARS) return text;
  const newline = text.indexOf('\n', text.length - STDERR_CHARS);
  return newline < 0 ? '' : text.slice(newline + 1);
}

/** The first error that an element posted: its message, and the last line of its details, which names the reason. */
function firstError(stderr: string): string | undefined {
  const found = /ERROR: from element \S+: (.+)(?:\nAdditional debug info:\n((?:(?!ERROR|WARNING|Setting).*\n?)*))?/.exec(stderr);
  if (found !== null) {
    const detail = found[2]?.trim().split('\n').at(-1);
    return detail === undefined || detail === '' ? found[1] : `${found[1]} (${detail})`;
  }
  return /(?:ERROR|erroneous pipeline): (.+)/.exec(stderr)?.[1];
}

function spawnFailure(error: NodeJS.ErrnoException): MiphaError {
  const remedy = installCommand([]);
  const message = error.code === 'ENOENT' ? `gst-launch-1.0 is not installed: ${remedy}` : `gst-launch-1.0 cannot be started: ${error.message}`;
  return new MiphaError('ERR_CAMERA', message, { details: error.code === 'ENOENT' ? { remedy } : {}, cause: error });
}
