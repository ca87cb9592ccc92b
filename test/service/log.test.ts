import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { logSchema } from '../../src/mqtt/messages.js';
import { redactor } from '../../src/redact.js';
import { Log, type Warning } from '../../src/service/log/log.js';
import { node, ROOT } from '../cli/run.js';

type Line = Record<string, unknown>;

function collect(level: 'info' | 'debug' = 'info') {
  const lines: Line[] = [];
  const log = new Log({ level, format: 'json', mqtt: false }, { sink: { write: (line) => void lines.push(JSON.parse(line)) } });
  return { log, lines };
}

describe('the log', () => {
  it('is one JSON line per message, with time, level number and room', () => {
    const { log, lines } = collect();
    log.child('camera').info({ camera: 'front' }, 'opened');
    log.logger.warn('hm');
    expect(lines).toEqual([
      { level: 30, time: expect.stringMatching(/^\d{4}-.*Z$/), ns: 'camera', camera: 'front', msg: 'opened' },
      { level: 40, time: expect.any(String), ns: 'service', msg: 'hm' },
    ]);
  });

  it('changes its level in all rooms, those that come later too', () => {
    const { log, lines } = collect();
    const camera = log.child('camera');
    camera.debug('no');
    log.setLevel('debug');
    camera.debug('one');
    log.child('watch').debug('two');
    log.logger.debug('three');
    expect(lines.map(({ msg }) => msg)).toEqual(['one', 'two', 'three']);
    expect(log.child('camera')).toBe(camera);
  });

  it('keeps secrets, questions and answers to itself', () => {
    redactor.add(['hunt"er2', 'bob:hunt"er2@']);
    const { log, lines } = collect();
    const error = new Error('cannot open rtsp://bob:hunt"er2@10.0.0.9/live, nor hunt%22er2');
    log.logger.error(
      {
        err: error,
        password: 'other',
        mqtt: { password: 'other' },
        watches: { door: { question: 'other?', camera: 'front' } },
        request: { data: { prompt: 'other', transaction: 't1' } },
        pipeline: String.raw`rtspsrc user-pw="hunt\"er2" ! fakesink`,
      },
      'hunt"er2 failed',
    );
    const text = JSON.stringify(lines);
    expect(text).not.toMatch(/hunt|er2|other/);
    expect(text).toContain('rtsp://***10.0.0.9/live');
    expect(lines[0]).toMatchObject({ watches: { door: { camera: 'front' } }, request: { data: { transaction: 't1' } }, msg: '*** failed' });
  });

  it('keeps paths of a stack readable', () => {
    const { log, lines } = collect();
    const error = new Error('x');
    error.stack = 'Error: x\n  at f (file:///srv/node_modules/@scope/a.js:1:2)';
    log.logger.error({ err: error }, 'y');
    expect(JSON.stringify(lines)).toContain('file:///srv/node_modules/@scope/a.js:1:2');
  });

  it.each(['json', 'pretty'])('is written before a process ends by itself (%s)', async (format) => {
    const program = `import { Log } from './dist/service/log/log.js';
      const log = new Log({ level: 'info', format: '${format}', mqtt: false }, { colors: false });
      log.child('camera').warn('last words'); process.exit(3);`;
    const { code, stdout } = await node(['--input-type=module', '-e', program], { cwd: ROOT });
    expect(code).toBe(3);
    expect(stdout).toMatch(format === 'json' ? /"ns":"camera","msg":"last words"\}\n$/ : /^\[[\d:.]+\] WARN: camera: last words\n$/);
  });

  it('survives a reader that goes away', async () => {
    const program = `import { Log } from './dist/service/log/log.js';
      const log = new Log({ level: 'info', format: 'json', mqtt: false });
      let lines = 0;
      const timer = setInterval(() => { log.logger.info('x'.repeat(1000)); if (++lines === 200) { clearInterval(timer); process.exitCode = 7; } }, 2);`;
    const child = spawn(process.execPath, ['--input-type=module', '-e', program], { cwd: ROOT, stdio: ['ignore', 'pipe', 'inherit'] });
    child.stdout.once('data', () => child.stdout.destroy());
    const [code] = await once(child, 'exit');
    expect(child.stdout.destroyed).toBe(true);
    expect(code).toBe(7);
  });
});

describe('repeated lines', () => {
  beforeEach(() => {
    vi.useFakeTimers();
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  it('are written once and then counted, when they are warnings that say exactly the same', () => {
    const { log, lines } = collect();
    for (let n = 0; n < 1000; n++) {
      log.child('mqtt').warn({ setting: 'lamp' }, 'expected ON or OFF, received "maybe"');
      vi.advanceTimersByTime(1);
    }
    log.child('mqtt').warn({ setting: 'door' }, 'expected ON or OFF, received "maybe"');
    log.child('mqtt').error({ setting: 'lamp' }, 'expected ON or OFF, received "maybe"');
    for (let n = 0; n < 3; n++) log.child('camera').info('online');
    expect(lines).toHaveLength(6);
    vi.advanceTimersByTime(10_000);
    expect(lines.slice(6)).toEqual([
      { level: 40, time: expect.any(String), ns: 'mqtt', setting: 'lamp', msg: 'expected ON or OFF, received "maybe"', count: 999 },
    ]);
    expect(vi.getTimerCount()).toBe(0);
    log.close();
  });

  it('are bounded when they differ, room by room and level by level, and what was left out is told', () => {
    const { log, lines } = collect();
    for (let n = 0; n < 5000; n++) log.child('mqtt').warn(`received "${n}"`);
    log.child('mqtt').error('refused');
    log.child('camera').warn('lost');
    expect(lines).toHaveLength(102);
    log.flushSync();
    expect(lines.slice(102)).toEqual([
      { level: 40, time: expect.any(String), ns: 'service', msg: '4900 more lines of mqtt (warn) were left out', count: 4900 },
    ]);
    log.close();
    expect(vi.getTimerCount()).toBe(0);
  });
});

describe('warnings for the broker', () => {
  beforeEach(() => {
    vi.useFakeTimers();
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  function listening() {
    const { log, lines } = collect();
    const warnings: Warning[] = [];
    const end = log.onWarning((warning) => warnings.push(warning));
    return { log, lines, warnings, end, told: () => warnings.map(({ msg, count }) => `${msg} ${count}`) };
  }

  it('are those of warn and worse, without secrets', () => {
    redactor.add(['hunter-of-the-log']);
    const { log, warnings } = listening();
    log.logger.info('fine');
    log.child('camera').warn({ camera: 'front' }, 'lost hunter-of-the-log');
    log.child('mqtt').error(new Error('refused'));
    expect(warnings).toEqual([
      { ts: expect.stringMatching(/Z$/), level: 'warn', ns: 'camera', msg: 'lost ***', count: 1 },
      { ts: expect.stringMatching(/Z$/), level: 'error', ns: 'mqtt', msg: 'refused', count: 1 },
    ]);
    for (const warning of warnings) expect(logSchema.strict().parse(warning)).toEqual(warning);
    log.close();
  });

  it('are counted when they repeat within ten seconds', () => {
    const { log, lines, told } = listening();
    for (let n = 0; n < 5; n++) log.logger.warn('same');
    log.child('camera').warn('same');
    expect(told()).toEqual(['same 1', 'same 1']);
    vi.advanceTimersByTime(10_000);
    expect(told()).toEqual(['same 1', 'same 1', 'same 4']);
    expect(lines.map(({ ns, count }) => [ns, count])).toEqual([
      ['service', undefined],
      ['camera', undefined],
      ['service', 4],
    ]);
    expect(vi.getTimerCount()).toBe(0);
    log.logger.warn('same');
    expect(told().at(-1)).toBe('same 1');
    log.close();
  });

  it('are bounded in number, and what was left out is told', () => {
    const { log, told } = listening();
    for (let n = 0; n < 1000; n++) log.logger.warn(`warning ${n}`);
    expect(told()).toHaveLength(20);
    vi.advanceTimersByTime(10_000);
    expect(told().slice(20)).toEqual(['980 more warnings are not told here 980']);
    log.close();
  });

  it('do not feed themselves, nor suffer from a listener that throws', () => {
    const { log, warnings } = listening();
    log.onWarning(() => {
      log.logger.warn('could not publish');
      throw new Error('broken');
    });
    log.logger.warn('one');
    log.logger.warn('two');
    expect(warnings.map(({ msg }) => msg)).toEqual(['one', 'two']);
    log.close();
  });

  it('end with their listener and with the log', () => {
    const { log, end, told } = listening();
    log.logger.warn('a');
    end();
    log.logger.warn('b');
    expect(told()).toEqual(['a 1']);
    log.close();
    expect(vi.getTimerCount()).toBe(0);
    const again = listening();
    again.log.logger.warn('c');
    again.log.logger.warn('c');
    again.log.close();
    expect(again.told()).toEqual(['c 1', 'c 1']);
    expect(vi.getTimerCount()).toBe(0);
  });
});
