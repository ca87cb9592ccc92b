/** What the demo shows: on a terminal a table that is redrawn in place a few times a second, elsewhere one line per frame that was answered about. */
import { type Result, stateOf } from '../mqtt/messages.js';
import type { Value } from '../watch/spec.js';
import type { DemoWatch } from './demo-watches.js';

const REDRAW_MS = 250;
const COLUMN = 14;

/** One answer as a subscriber received it. */
export interface Row {
  result: Result;
  truth: Value | undefined;
}

/** The lines above and below the table. What is meant for copying does not belong there: it is cut at the edge and drawn anew all the time. */
export type Surroundings = () => { head: string[]; foot: string[] };

export interface Terminal {
  isTTY?: boolean;
  columns?: number;
  write(text: string): unknown;
}

export class DemoScreen {
  private readonly rows = new Map<string, Row>();
  private lines = 0; // on the terminal at present
  private timer: NodeJS.Timeout | undefined;
  private frame: { id: string; rows: Map<string, Row> } | null = null;

  constructor(
    private readonly watches: Record<string, DemoWatch>,
    private readonly terminal: Terminal,
    private readonly surroundings: Surroundings,
  ) {}

  /** `lines` come first and stay as they are; elsewhere than on a terminal the names of the columns follow. */
  begin(lines: string[]): void {
    this.terminal.write(`${lines.join('\n')}\n\n`);
    if (this.terminal.isTTY) {
      this.timer = setInterval(() => this.draw(), REDRAW_MS);
      return;
    }
    const names = Object.keys(this.watches);
    const columns = [' frame', ...names.slice(0, -1).map(pad), '   seen in', names.at(-1)];
    this.terminal.write(`${columns.join('  ')}\n`);
  }

  received(watch: string, row: Row): void {
    this.rows.set(watch, row);
    if (!this.terminal.isTTY) this.collect(watch, row);
  }

  /** The last picture stays on the terminal; what is printed next comes below. Further calls do nothing. */
  end(): void {
    if (this.timer === undefined) return;
    clearInterval(this.timer);
    this.timer = undefined;
    this.draw();
  }

  private draw(): void {
    const { head, foot } = this.surroundings();
    const width = (this.terminal.columns ?? 100) - 1;
    const lines = [...head, '', ...Object.entries(this.watches).map(([id, watch]) => this.row(id, watch)), '', ...foot].map((line) =>
      clip(line, width),
    );
    this.terminal.write(`${this.lines > 0 ? `\x1b[${this.lines}A` : ''}${lines.map((line) => `\x1b[2K${line}\n`).join('')}\x1b[J`);
    this.lines = lines.length;
  }

  private row(id: string, { question }: DemoWatch): string {
    const left = `  ${id.padEnd(9)}${question.padEnd(36)}`;
    const row = this.rows.get(id);
    if (row === undefined) return `${left}…`;
    const { value, confidence } = row.result;
    const sure = confidence === null ? '' : `${(confidence * 100).toFixed(0).padStart(3)} %`;
    return `${left}${verdict(row)} ${sure.padEnd(6)}${String(value ?? 'unknown')}${isRight(row) ? '' : `, drawn: ${row.truth}`}`;
  }

  /** Answers of one frame arrive one after the other: the line is complete when the next frame begins, or with the last watch. */
  private collect(watch: string, row: Row): void {
    const id = row.result.frame?.id ?? '';
    if (this.frame?.id !== id) this.frame = { id, rows: new Map() };
    this.frame.rows.set(watch, row);
    if (this.frame.rows.size < Object.keys(this.watches).length) return;
    const { rows } = this.frame;
    const cells = Object.keys(this.watches).map((name) => cell(rows.get(name) as Row));
    const last = cells.pop()?.trimEnd();
    const ages = [...rows.values()].map(({ result }) => result.frame?.age_ms ?? 0);
    this.terminal.write(
      `${[(id.split('-').at(-1) ?? id).padStart(6), ...cells, `${Math.max(...ages).toFixed(0)} ms`.padStart(10), last].join('  ')}\n`,
    );
    this.frame = null;
  }
}

function isRight({ result, truth }: Row): boolean {
  return truth === undefined || result.value === truth;
}

function verdict(row: Row): string {
  return row.truth === undefined ? ' ' : isRight(row) ? '\x1b[32m✓\x1b[0m' : '\x1b[31m✗\x1b[0m';
}

function cell(row: Row): string {
  const said = stateOf(row.result.value);
  return pad(isRight(row) ? `${said} ✓` : `${said} ✗ ${row.truth}`);
}

function pad(text: string): string {
  return text.padEnd(COLUMN);
}

/** Cuts what is visible to `width` columns; colour codes take none. */
function clip(line: string, width: number): string {
  let visible = 0;
  let out = '';
  // biome-ignore lint/suspicious/noControlCharactersInRegex: colour codes start with ESC
  for (const part of line.split(/(\x1b\[\d+m)/)) {
    if (part.startsWith('\x1b')) out += part;
    else {
      out += part.slice(0, Math.max(0, width - visible));
      visible += part.length;
    }
  }
  return out;
}
