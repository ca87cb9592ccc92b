/** What the commands print: sizes and times in words, a progress bar on a terminal and plain lines elsewhere. */

import { redactor } from '../redact.js';

const UNITS = ['B', 'kB', 'MB', 'GB', 'TB'];

/** 1234567 → "1.23 MB" (powers of 1000). */
export function bytes(count: number): string {
  const power = Math.min(UNITS.length - 1, Math.max(0, Math.floor(Math.log10(Math.max(1, count)) / 3)));
  return `${Number((count / 1000 ** power).toPrecision(3))} ${UNITS[power]}`;
}

/** Size of the files that a manifest lists. */
export function totalBytes(files: Record<string, { bytes: number }>): number {
  return Object.values(files).reduce((sum, { bytes: size }) => sum + size, 0);
}

/** 0.1234 s and more, in the unit that reads best. */
export function milliseconds(ms: number): string {
  if (ms >= 10_000) return `${(ms / 1000).toFixed(1)} s`;
  return `${ms < 10 ? ms.toFixed(2) : ms < 100 ? ms.toFixed(1) : ms.toFixed(0)} ms`;
}

/** Hours, minutes or seconds, for what takes long. */
export function duration(ms: number): string {
  const seconds = Math.round(ms / 1000);
  if (seconds < 90) return `${seconds} s`;
  const minutes = Math.round(seconds / 60);
  return minutes < 90 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/** Lines of "name   value", the values in one column. */
export function table(rows: [name: string, value: string][]): string {
  const width = Math.max(...rows.map(([name]) => name.length));
  return rows.map(([name, value]) => `${name.padEnd(width)}  ${value}`).join('\n');
}

/** Of the terminal on stdout; 80 elsewhere. */
export function columns(): number {
  return process.stdout.columns ?? 80;
}

/** Broken at spaces into lines of at most `width` columns, the second and further ones indented; a word that is longer stays whole. */
export function wrap(text: string, width: number, indent = 0): string[] {
  const [start = ''] = /^ */.exec(text) ?? [];
  const lines: string[] = [];
  let line = start;
  for (const word of text.slice(start.length).split(/ (?! )/)) {
    const isFirst = line.trim() === '';
    if (isFirst || line.length + 1 + word.length <= width) {
      line += `${isFirst ? '' : ' '}${word}`;
    } else {
      lines.push(line);
      line = `${' '.repeat(indent)}${word}`;
    }
  }
  return [...lines, line];
}

/** What stands below the options of a command: paragraphs as wide as the terminal; lines that begin with a space, such as examples, as they are. */
export function notes(text: string): string {
  const paragraphs = text.trim().split(/\n\s*\n/);
  const lines = paragraphs.map((paragraph) => {
    const parts = paragraph.split(/\n(?= )/).map((part) => (part.startsWith(' ') ? part : wrap(part.replaceAll('\n', ' '), columns()).join('\n')));
    return parts.join('\n');
  });
  return `\n${lines.join('\n\n')}`;
}

export interface ProgressSink {
  isTTY?: boolean;
  columns?: number;
  write(text: string): unknown;
}

/** `update` may be called as often as one likes: a terminal sees at most one change per percent, a pipe one line per stage and per quarter. */
export class ProgressBar {
  #stage = '';
  #shown = '';

  constructor(readonly sink: ProgressSink = process.stderr) {}

  /** `detail` is for a terminal only: it may change with every call. */
  update(stage: string, fraction: number, detail = ''): void {
    const share = Math.min(1, Math.max(0, fraction));
    const percent = Math.floor(share * 100 + 1e-9);
    const shown = this.sink.isTTY ? `${stage} ${percent} ${detail}` : `${stage} ${Math.floor(percent / 25) * 25}`;
    if (shown === this.#shown) return;
    this.#shown = shown;
    if (this.sink.isTTY) {
      const width = Math.max(10, Math.min(40, (this.sink.columns ?? 80) - 40));
      const full = Math.round(share * width);
      this.sink.write(`\r\x1b[K${'█'.repeat(full)}${'░'.repeat(width - full)} ${String(percent).padStart(3)} %  ${stage}${detail}`);
    } else {
      this.sink.write(`${shown} %\n`);
    }
    this.#stage = stage;
  }

  /** Takes the bar off the terminal. */
  end(): void {
    if (this.sink.isTTY && this.#stage !== '') this.sink.write('\r\x1b[K');
    this.#stage = '';
  }
}

/** For programs: a line for each percent that is new. */
export class ProgressLines {
  #percent = -1;

  constructor(readonly sink: Pick<ProgressSink, 'write'> = process.stderr) {}

  update(fraction: number): void {
    const percent = Math.floor(Math.min(1, Math.max(0, fraction)) * 100);
    if (percent <= this.#percent) return; // a clock may have been set back on the way
    this.#percent = percent;
    this.sink.write(`{"progress":${percent / 100}}\n`);
  }
}

/** Without the secrets that are known, unless `redacted` is false. */
export function printJson(value: unknown, { redacted = true } = {}): void {
  process.stdout.write(`${JSON.stringify(redacted ? redactor.value(value) : value, null, 2)}\n`);
}

/** Without the secrets that are known. */
export function print(text: string): void {
  process.stdout.write(redactor.text(text));
}
