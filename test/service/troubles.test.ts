/** Alerts about cameras and watches, and answers to words on settable topics: pure, with a publisher that only notes. */
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { ErrorCode } from '../../src/errors.js';
import { RequestError } from '../../src/mqtt/request-error.js';
import { topicsOf } from '../../src/mqtt/topics.js';
import type { Logger } from '../../src/service/log/log.js';
import type { NodePublisher } from '../../src/service/publish/node.js';
import { SettingRefusals } from '../../src/service/setting-refusals.js';
import { Troubles } from '../../src/service/troubles.js';

function noting() {
  const alerts = new Map<string, string>();
  const events: unknown[][] = [];
  const node = {
    alert: (id: string, text: string | null) => void (text === null ? alerts.delete(id) : alerts.set(id, text)),
    event: (...event: unknown[]) => void events.push(event),
  } as unknown as NodePublisher;
  return { node, alerts, events };
}

const failed = (watch: string, code: ErrorCode, retryable: boolean) => ({
  watch,
  status: 'error' as const,
  error: { code, message: 'why', retryable },
});
const ok = (watch: string) => ({ watch, status: 'ok' as const, error: null });
const stale = (watch: string) => ({ watch, status: 'stale' as const, error: null });

describe('troubles', () => {
  it('are watches that fail three times in a row, or once where trying again is of no use', () => {
    const { node, alerts } = noting();
    const troubles = new Troubles(node);
    for (const outcome of [failed('a', 'ERR_DEVICE', true), failed('a', 'ERR_DEVICE', true), ok('a'), failed('a', 'ERR_DEVICE', true), stale('a')])
      troubles.answered(outcome);
    troubles.answered(failed('a', 'ERR_DEVICE', true));
    expect(alerts.size).toBe(0);
    troubles.answered(failed('a', 'ERR_DEVICE', true));
    expect(alerts.get('watches')).toBe('1 watch keeps failing: a (ERR_DEVICE: why)');
    troubles.answered(failed('b', 'ERR_CONTEXT_FULL', false));
    expect(alerts.get('watches')).toBe('2 watches keep failing: a (ERR_DEVICE: why), b (ERR_CONTEXT_FULL: why)');
    troubles.answered(ok('a'));
    troubles.watchFine('b');
    expect(alerts.size).toBe(0);
  });

  it('are told in one alert of bounded length, however many there are', () => {
    const { node, alerts } = noting();
    const troubles = new Troubles(node);
    for (let n = 0; n < 251; n++) {
      troubles.answered({ watch: `w${n}`, status: 'error', error: { code: 'ERR_CONTEXT_FULL', message: 'x'.repeat(1000), retryable: false } });
    }
    expect(alerts.get('watches')).toMatch(/^251 watches keep failing: w0 \(ERR_CONTEXT_FULL: x+…\), .*, and 246 more$/);
    expect(alerts.get('watches')?.length).toBeLessThan(2000);
    for (let n = 0; n < 251; n++) troubles.answered(ok(`w${n}`));
    expect(alerts.size).toBe(0);
  });

  it('are cameras without frames', () => {
    const { node, alerts } = noting();
    const troubles = new Troubles(node);
    troubles.cameraLost('front', 'no frame for 10000 ms');
    troubles.cameraLost('constructor', 'refused');
    expect(alerts.get('cameras')).toBe('2 cameras deliver no frames: constructor (refused), front (no frame for 10000 ms)');
    troubles.cameraFine('constructor');
    expect(alerts.get('cameras')).toBe('1 camera delivers no frames: front (no frame for 10000 ms)');
    troubles.cameraFine('front');
    expect(alerts.size).toBe(0);
  });
});

describe('refused words', () => {
  beforeEach(() => {
    vi.useFakeTimers();
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  it('are answered with an event per topic, and counted when they come again and again', () => {
    const { node, events } = noting();
    const logged: unknown[] = [];
    const log = { warn: (fields: object, text: string) => void logged.push([fields, text]) } as unknown as Logger;
    const refusals = new SettingRefusals(topicsOf('mipha', 'test'), node, log);
    const lamp = { kind: 'watch-set', watch: 'lamp', setting: 'interval' } as const;
    const topic = 'mipha/v1/test/watch/lamp/interval/set';
    for (let n = 0; n < 50; n++) refusals.tell(lamp, new RequestError('SCHEMA', `interval: ${n}`));
    refusals.tell({ kind: 'camera-set', camera: 'front' }, new Error('hunter2'));
    for (let n = 0; n < 100; n++) refusals.tell({ kind: 'camera-set', camera: `c${n}` }, new RequestError('UNKNOWN_CAMERA', 'camera'));
    expect(logged).toHaveLength(151);
    expect(events).toHaveLength(20);
    expect(events[0]).toEqual(['setting_refused', 'interval: 0', { topic, code: 'SCHEMA' }]);
    expect(events[1]?.[1]).not.toContain('hunter2'); // errors of others may say anything
    vi.advanceTimersByTime(10_000);
    expect(events.slice(20)).toEqual([
      ['setting_refused', 'interval: 49 (and 48 more)', { topic, code: 'SCHEMA' }],
      ['setting_refused', '82 more words on settable topics were refused'],
    ]);
    refusals.tell(lamp, new RequestError('SCHEMA', 'again'));
    refusals.stop();
    expect(vi.getTimerCount()).toBe(0);
  });
});
