/** Logging: JSON lines on stdout, or coloured lines for people; passwords, questions and answers never get into it. */
import { type DestinationStream, type Logger, pino } from 'pino';
import pretty from 'pino-pretty';
import { redactor } from '../../redact.js';
import type { Config } from '../config/schema.js';
import { droppedLines, type LineWriter, stdoutWriter } from './line-writer.js';
import { Repeats } from './repeats.js';
import { type Warning, WarningRelay } from './warning-relay.js';

export type { Logger } from 'pino';
export type { Warning } from './warning-relay.js';

/** Questions and answers are personal data: log ids. */
const SECRET_KEYS = ['password', 'passphrase', 'secret', 'token', 'authorization', 'question', 'prompt', 'answer', 'text', 'observed'];
const DEPTHS = ['', '*.', '*.*.', '*.*.*.'];
const WARN = 40;
/** Warnings and worse that repeat themselves, or come in a flood: what others send must not fill the disk. */
const WINDOW_MS = 10_000;
const MOST_PER_WINDOW = 100; // different ones, by room and level
const LEVEL_NAMES: Record<number, Warning['level']> = { 40: 'warn', 50: 'error', 60: 'fatal' };

export interface LogOptions {
  /** Instead of stdout; for tests. */
  sink?: DestinationStream;
  /** Instead of the writer of stdout. */
  writer?: LineWriter;
  /** Colours in the pretty format. Default: when stdout is a terminal. */
  colors?: boolean;
}

export class Log {
  /** Of the service itself. */
  readonly logger: Logger;
  private readonly root: Logger;
  private readonly children = new Map<string, Logger>();
  private readonly relay = new WarningRelay();
  private readonly repeats = new Map<string, Repeats<string>>(); // by room and level
  private readonly writer: LineWriter | null;
  private readonly write: (line: string) => void;

  constructor({ level, format }: Config['log'], { sink, writer, colors }: LogOptions = {}) {
    if (sink === undefined) {
      const lines = writer ?? stdoutWriter();
      const shown = format === 'pretty' ? prettyLines(colors ?? process.stdout.isTTY === true) : (line: string) => line;
      lines.notice = (dropped) => shown(serviceLine({ msg: droppedLines(dropped), count: dropped }));
      this.writer = lines;
      this.write = (line) => lines.write(shown(line));
    } else {
      this.writer = null;
      this.write = (line) => sink.write(line);
    }
    this.root = pino(
      {
        level,
        base: null,
        timestamp: pino.stdTimeFunctions.isoTime,
        redact: { paths: DEPTHS.flatMap((depth) => SECRET_KEYS.map((key) => depth + key)), censor: '***' },
      },
      this.destination(),
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

  /** Lines that nobody read in time, since the process began. */
  get dropped(): number {
    return this.writer?.dropped ?? 0;
  }

  /** For the end of a process: repeats are told, and what the reader takes within a moment is out when this returns. */
  flushSync(): void {
    for (const repeats of this.repeats.values()) repeats.endWindow();
    this.writer?.flushSync();
  }

  /** Leaves no timer behind; repeats that were counted but not told yet are told. */
  close(): void {
    this.relay.close();
    for (const repeats of this.repeats.values()) repeats.endWindow();
  }

  /** pino tells what it just wrote through properties of its destination. */
  private destination(): DestinationStream {
    const { relay, write } = this;
    const limited = (warning: Warning, line: string) => this.limited(warning, line);
    return {
      [Symbol.for('pino.metadata')]: true,
      lastLevel: 0,
      write(line: string) {
        const masked = redactor.line(line);
        if (this.lastLevel < WARN) {
          write(masked);
          return;
        }
        const warning = toWarning(this.lastLevel, masked);
        limited(warning, masked);
        relay.take(warning);
      },
    } as DestinationStream & { lastLevel: number };
  }

  /** Writes a warning at once, unless it is a repetition or one too many. */
  private limited({ ns, level }: Warning, line: string): void {
    const name = `${ns} ${level}`;
    let repeats = this.repeats.get(name);
    if (repeats === undefined) {
      repeats = new Repeats({
        windowMs: WINDOW_MS,
        most: MOST_PER_WINDOW,
        tell: (text, count) => this.write(count === 1 ? text : counted(text, count)),
        leftOut: (count) => this.write(serviceLine({ msg: `${count} more lines of ${ns} (${level}) were left out`, count })),
      });
      this.repeats.set(name, repeats);
    }
    repeats.take(line.replace(TIME, ''), line);
  }
}

const TIME = /"time":"[^"]*"/;

function counted(line: string, count: number): string {
  return `${JSON.stringify({ ...JSON.parse(line), count })}\n`;
}

/** A line that the log itself has to say. */
function serviceLine(fields: { msg: string; count: number }): string {
  return `${JSON.stringify({ level: WARN, time: new Date().toISOString(), ns: 'service', ...fields })}\n`;
}

function toWarning(level: number, line: string): Warning {
  const { ns = 'service', msg = '', time, err } = JSON.parse(line) as { ns?: string; msg?: string; time: string; err?: { message?: string } };
  return { ts: time, level: LEVEL_NAMES[level] ?? 'error', ns, msg: msg || (err?.message ?? ''), count: 1 };
}

/** JSON lines → lines for people. */
function prettyLines(colorize: boolean): (line: string) => string {
  return pretty.prettyFactory({ colorize, translateTime: 'SYS:HH:MM:ss.l', ignore: 'ns', messageFormat: '{ns}: {msg}' });
}
