/** The writer of the log against a reader that a test plays: slow, stalled, gone. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { LineWriter } from '../../src/service/log/line-writer.js';
import { ROOT } from '../cli/run.js';

const quoted = (text: string) => `'${text.replaceAll("'", `'\\''`)}'`;
const failure = (code: string) => Object.assign(new Error(code), { code });

/** A reader that begins when all is over. */
const STANDS_STILL = '| { while [ ! -e count ]; do sleep 0.1; done; cat > out; }';

/** A pipe with room for so many bytes. */
function pipe(room = 0) {
  const state = { room, text: '', error: null as string | null };
  const write = (bytes: Buffer) => {
    if (state.error !== null) throw failure(state.error);
    if (state.room === 0) throw failure('EAGAIN');
    const taken = Math.min(state.room, bytes.length);
    state.room -= taken;
    state.text += bytes.toString('utf8', 0, taken);
    return taken;
  };
  return { state, write };
}

describe('lines for a slow reader', () => {
  beforeEach(() => {
    vi.useFakeTimers();
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  it('are out when write() returns, as long as they fit', () => {
    const { state, write } = pipe(1000);
    const writer = new LineWriter({ write });
    writer.write('one\n');
    writer.write('two ü\n');
    expect(state.text).toBe('one\ntwo ü\n');
    expect(vi.getTimerCount()).toBe(0);
  });

  it('wait in memory, are never cut, and come in order', () => {
    const { state, write } = pipe(5);
    const writer = new LineWriter({ write });
    for (let n = 0; n < 10; n++) writer.write(`line ${n}\n`);
    expect(state.text).toBe('line ');
    for (let n = 0; n < 30; n++) {
      state.room = 3;
      vi.advanceTimersByTime(100);
    }
    expect(state.text).toBe(Array.from({ length: 10 }, (_, n) => `line ${n}\n`).join(''));
    expect(writer.dropped).toBe(0);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('are dropped beyond the capacity, counted, and the gap is told once, where it is', () => {
    const { state, write } = pipe(0);
    const writer = new LineWriter({ write, capacityBytes: 70 });
    for (let n = 0; n < 30; n++) writer.write(`line ${n % 10}\n`);
    expect(writer.dropped).toBe(20);
    state.room = 10;
    vi.advanceTimersByTime(100);
    writer.write('too early\n'); // there would be room, but what came before is lost
    state.room = 10_000;
    vi.advanceTimersByTime(100);
    writer.write('after\n');
    const held = Array.from({ length: 10 }, (_, n) => `line ${n}\n`).join('');
    expect(state.text).toBe(`${held}21 lines were dropped while nobody read the log\nafter\n`);
    expect(writer.dropped).toBe(21);
  });

  it.each(['EPIPE', 'ENOSPC', 'EIO', 'ECONNRESET'])('are dropped and counted after %s, and go on when it is over', (code) => {
    const { state, write } = pipe(3);
    const writer = new LineWriter({ write });
    writer.write('first\n');
    state.error = code;
    for (let n = 0; n < 5; n++) writer.write('lost\n');
    vi.advanceTimersByTime(1000);
    writer.write('lost\n');
    expect(writer.dropped).toBe(7);
    state.error = null;
    state.room = 1000;
    writer.write('again\n');
    expect(state.text).toBe('fir7 lines were dropped while nobody read the log\nagain\n');
    expect(writer.dropped).toBe(7);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('larger than the whole buffer are dropped alone', () => {
    const { state, write } = pipe(1000);
    const writer = new LineWriter({ write, capacityBytes: 50 });
    writer.write(`${'x'.repeat(60)}\n`);
    writer.write('small\n');
    expect(state.text).toBe('1 line was dropped while nobody read the log\nsmall\n');
  });
});

describe('the last words of a process', () => {
  it('are written as far as the reader takes them', () => {
    const { state, write } = pipe(3);
    const writer = new LineWriter({
      write(bytes) {
        const taken = write(bytes);
        state.room = 3; // a reader that reads
        return taken;
      },
    });
    state.room = 0;
    writer.write('last words\n');
    state.room = 3;
    writer.flushSync();
    expect(state.text).toBe('last words\n');
  });

  it('do not wait for a reader that does not read', () => {
    const { state, write } = pipe(3);
    const writer = new LineWriter({ write });
    writer.write('last words\n');
    const begun = performance.now();
    writer.flushSync();
    expect(performance.now() - begun).toBeLessThan(1000);
    expect(state.text).toBe('las');
  });
});

describe('stdout', () => {
  let folder = '';
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'mipha-lines-'));
  });
  afterEach(() => rm(folder, { recursive: true, force: true }));

  /** A process that logs 5000 lines of 1 kB at once, through a shell; what it counted comes in a file. */
  async function flood(redirection: string, format = 'json', within = (command: string) => command) {
    const program = join(ROOT, 'dist', 'service', 'log', 'log.js');
    const code = `import { Log } from ${JSON.stringify(program)}; import { writeFileSync } from 'node:fs';
      const log = new Log({ level: 'info', format: '${format}', mqtt: false }, { colors: false });
      const begun = performance.now();
      for (let n = 0; n < 5000; n++) { log.logger.info({ n }, 'x'.repeat(1000)); if (n % 100 === 0) await new Promise((next) => setImmediate(next)); }
      writeFileSync(${JSON.stringify(join(folder, 'count'))}, JSON.stringify({ dropped: log.dropped, ms: performance.now() - begun }));`;
    await writeFile(join(folder, 'flood.mjs'), code);
    const command = within(`${quoted(process.execPath)} ${quoted(join(folder, 'flood.mjs'))}`);
    const child = spawn('sh', ['-c', `${command} ${redirection}`], { cwd: folder, stdio: ['ignore', 'ignore', 'inherit'] });
    const [status] = await once(child, 'exit');
    const { dropped, ms } = JSON.parse(await readFile(join(folder, 'count'), 'utf8'));
    return { status, dropped, ms, text: await readFile(join(folder, 'out'), 'utf8').catch(() => '') };
  }

  it.each(['> out', '| cat > out'])('has every line: %s', async (redirection) => {
    const { text, dropped } = await flood(redirection);
    const numbers = text
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line).n);
    if (dropped === 0) expect(numbers).toEqual(Array.from({ length: 5000 }, (_, n) => n));
    else expect(numbers.filter((n) => n !== undefined)).toHaveLength(5000 - dropped); // cat got no time: told, never torn
    if (redirection === '> out') expect(dropped).toBe(0);
  });

  it('may be full', async () => {
    expect(await flood('> /dev/full')).toMatchObject({ status: 0, dropped: 5000 });
  });

  it('may be a terminal that stands still', async () => {
    // script(1) gives it one, and reads from it as fast as its own output is read
    const { status, dropped } = await flood(STANDS_STILL, 'pretty', (command) => `script -qec ${quoted(command)} /dev/null`);
    expect(status).toBe(0);
    expect(dropped).toBeGreaterThan(3000);
  });

  it.each(['json', 'pretty'])('may be a pipe that nobody reads (%s): the process goes on, ends, and has counted', async (format) => {
    const { dropped } = await flood(STANDS_STILL, format);
    expect(dropped).toBeGreaterThan(3000);
  });
});
