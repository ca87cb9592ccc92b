/** Logging: JSON lines on stdout, or coloured lines for people; passwords, questions and answers never get into it. */
import { type DestinationStream, destination, type Logger, pino } from 'pino';
import pretty from 'pino-pretty';
import { redactor } from '../redact.js';
import type { Config } from './config/schema.js';
import { type Warning, WarningRelay } from './warning-relay.js';

export type { Logger } from 'pino';
export type { Warning } from './warning-relay.js';

/** Questions and answers are personal data: log ids. */
const SECRET_KEYS = ['password', 'passphrase', 'secret', 'token', 'authorization', 'question', 'prompt', 'answer', 'text', 'observed'];
const DEPTHS = ['', '*.', '*.*.', '*.*.*.'];
const WARN = 40;
const LEVEL_NAMES: Record<number, Warning['level']> = { 40: 'warn', 50: 'error', 60: 'fatal' };

export interface LogOptions {
  /** Instead of stdout; for tests. */
  sink?: DestinationStream;
  /** Colours in the pretty format. Default: when stdout is a terminal. */
  colors?: boolean;
}

export class Log {
  /** Of the service itself. */
  readonly logger: Logger;
  private readonly root: Logger;
  private readonly children = new Map<string, Logger>();
  private readonly relay = new WarningRelay();

  constructor({ level, format }: Config['log'], options: LogOptions = {}) {
    const sink = options.sink ?? (format === 'pretty' ? prettyStdout(options.colors ?? process.stdout.isTTY === true) : plainStdout());
    this.root = pino(
      {
        level,
        base: null,
        timestamp: pino.stdTimeFunctions.isoTime,
        redact: { paths: DEPTHS.flatMap((depth) => SECRET_KEYS.map((key) => depth + key)), censor: '***' },
      },
      this.relaying(sink),
    ) as Logger;
    this.logger = this.child('service');
  }

  /** The logger of a room: `camera`, `mqtt`, `watch` ...; the same one for the same name. */
  child(room: string): Logger {
    const known = this.children.get(room);
    if (known !== undefined) return known;
    const made = this.root.child({ ns: room }) as Logger;
    this.children.set(room, made);
    return made;
  }

  /** For all rooms, from now on. */
  setLevel(level: Config['log']['level']): void {
    for (const logger of [this.root, ...this.children.values()]) logger.level = level;
  }

  /**
   * `listener` gets warnings and worse, repeats counted and the rate bounded, for the log topic. What it logs itself is not forwarded.
   * Returns how to end it.
   */
  onWarning(listener: (warning: Warning) => void): () => void {
    return this.relay.add(listener);
  }

  /** Leaves no timer behind; repeats that were counted but not told yet are told. */
  close(): void {
    this.relay.close();
  }

  /** pino tells what it just wrote through properties of its destination. */
  private relaying(sink: DestinationStream): DestinationStream {
    const { relay } = this;
    return {
      [Symbol.for('pino.metadata')]: true,
      lastLevel: 0,
      write(line: string) {
        const masked = redactor.line(line);
        sink.write(masked);
        if (this.lastLevel >= WARN) relay.take(toWarning(this.lastLevel, masked));
      },
    } as DestinationStream & { lastLevel: number };
  }
}

function toWarning(level: number, line: string): Warning {
  const { ns = 'service', msg = '', time, err } = JSON.parse(line) as { ns?: string; msg?: string; time: string; err?: { message?: string } };
  return { ts: time, level: LEVEL_NAMES[level] ?? 'error', ns, msg: msg || (err?.message ?? ''), count: 1 };
}

/** Lines are out when a call returns, so the last words before a crash are not lost. */
function plainStdout(): DestinationStream {
  const stdout = destination({ fd: 1, sync: true });
  stdout.on('error', () => {}); // whoever read the log has gone; the node goes on
  return stdout;
}

function prettyStdout(colorize: boolean): DestinationStream {
  return pretty({ colorize, sync: true, translateTime: 'SYS:HH:MM:ss.l', ignore: 'ns', messageFormat: '{ns}: {msg}', destination: plainStdout() });
}
