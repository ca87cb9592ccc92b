import { execFileSync } from 'node:child_process';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { DemoScreen } from '../../src/cli/demo-screen.js';
import { WATCHES } from '../../src/cli/demo-watches.js';
import { followLines } from '../../src/cli/demo-words.js';
import type { Result } from '../../src/mqtt/messages.js';
import { topicsOf } from '../../src/mqtt/topics.js';
import type { Config } from '../../src/service/config/config.js';

const ESC = '\u001b';
const MOVES = new RegExp([`${ESC}\\[(\\d+)A`, `(${ESC}\\[2K)`, `(${ESC}\\[J)`, `(${ESC}\\[\\d+m)`, '(\\n)', `([^${ESC}\\n]+)`].join('|'), 'g');

/** What a terminal shows after these bytes: enough of one for cursor up, erase line and erase below. */
function shown(output: string): string[] {
  const lines = [''];
  let row = 0;
  for (const [, up, erase, below, colour, newline, text = ''] of output.matchAll(MOVES)) {
    if (up !== undefined) row -= Number(up);
    else if (erase !== undefined) lines[row] = '';
    else if (below !== undefined) lines.length = row + 1;
    else if (newline !== undefined) row++;
    else if (colour === undefined) lines[row] = `${lines[row] ?? ''}${text}`;
    lines[row] ??= '';
  }
  return lines;
}

const result = (watch: string, value: Result['value'], frame = 'kitchen-1-7') =>
  ({ watch, value, confidence: 0.97, frame: { id: frame, age_ms: 12 } }) as unknown as Result;

describe('what to copy', () => {
  const topics = topicsOf('mipha', 'demo');
  const mqtt = (url: string, more = {}) => ({ url, ...more }) as Config['mqtt'];

  it.each([20, 40, 72, 80, 100, Number.POSITIVE_INFINITY])('runs as it stands at %d columns', (width) => {
    const lines = followLines(topics, mqtt('mqtt://127.0.0.1:41131'), width);
    const script = lines.filter((line) => line.startsWith('  ')).join('\n');
    const shell = `mosquitto_sub() { printf '%s\\n' sub "$@"; }; mosquitto_pub() { printf '%s\\n' pub "$@"; }\n${script}`;
    expect(execFileSync('sh', ['-c', shell], { encoding: 'utf8' }).trimEnd().split('\n')).toEqual([
      ...['sub', '-h', '127.0.0.1', '-p', '41131', '-t', 'mipha/v1/demo/#', '-v'],
      ...['pub', '-h', '127.0.0.1', '-p', '41131', '-t', 'mipha/v1/demo/request/query', '-m', '{"question":"What is on the table?"}'],
    ]);
    if (width >= 72) expect(lines.filter((line) => line.length > width)).toEqual([]);
  });

  it('is quoted, and names user and TLS where the broker wants them', () => {
    const text = followLines(topics, mqtt('mqtts://[::1]', { username: "a' b", password_file: '/p' }), 300).join('\n');
    expect(text).toContain(`mosquitto_sub -h ::1 -p 8883 -u 'a'\\'' b' -P PASSWORD --tls-use-os-certs -t 'mipha/v1/demo/#' -v`);
  });

  it('is written once, above what is redrawn, and never cut', () => {
    vi.useFakeTimers();
    let output = '';
    const terminal = { isTTY: true, columns: 40, write: (text: string) => (output += text) };
    const screen = new DemoScreen(WATCHES, terminal, () => ({ head: ['h'.repeat(60)], foot: ['foot'] }));
    const command = `mosquitto_pub ${'x'.repeat(100)}`;
    screen.begin([command]);
    vi.advanceTimersByTime(3000);
    screen.end();
    vi.useRealTimers();
    expect(output.split(command)).toHaveLength(2);
    expect(shown(output)[0]).toBe(command);
    expect(shown(output).filter((line) => line === 'h'.repeat(39))).toHaveLength(1);
  });
});

describe('the demo on a terminal', () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  it('redraws its table in place and leaves it above what is printed afterwards', () => {
    let output = '';
    const terminal = { isTTY: true, columns: 80, write: (text: string) => (output += text) };
    const screen = new DemoScreen(WATCHES, terminal, () => ({ head: ['camera online'], foot: ['follow'] }));
    screen.begin([]);
    vi.advanceTimersByTime(1000);
    screen.received('lamp', { result: result('lamp', true), truth: true });
    screen.received('door', { result: result('door', true), truth: false });
    vi.advanceTimersByTime(1000);
    screen.end();
    terminal.write('summary\n');
    screen.end();
    vi.advanceTimersByTime(5000);
    const lines = shown(output);
    expect(lines.filter((line) => line === 'camera online')).toHaveLength(1);
    expect(lines.find((line) => line.includes('Is the lamp on?'))).toMatch(/✓ +97 % +true$/);
    expect(lines.find((line) => line.includes('Is the door open?'))).toMatch(/✗ +97 % +true, drawn: false$/);
    expect(lines.find((line) => line.includes('What color'))).toMatch(/…$/);
    expect(lines.indexOf('summary')).toBeGreaterThan(lines.indexOf('follow'));
    expect(lines.every((line) => line.length < 80)).toBe(true);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('prints a line per frame elsewhere, once all its answers are there', () => {
    let output = '';
    const screen = new DemoScreen(WATCHES, { write: (text) => (output += text) }, () => ({ head: [], foot: [] }));
    screen.begin(['follow']);
    for (const watch of Object.keys(WATCHES)) screen.received(watch, { result: result(watch, 'x'), truth: watch === 'cup' ? 'y' : 'x' });
    screen.received('lamp', { result: result('lamp', 'x', 'kitchen-1-8'), truth: 'x' });
    screen.end();
    const lines = output.trimEnd().split('\n');
    expect(lines).toHaveLength(4); // follow, nothing, names, one frame
    expect(lines.at(-1)).toMatch(/^ +7 .*x ✗ y/);
  });
});
