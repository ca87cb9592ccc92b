/** What a node says to those who choose among several: labels, load, and that it is being drained. */
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { type Info, infoSchema, type Load, loadSchema } from '../../src/mqtt/messages.js';
import { configOf } from '../../src/service/config/config.js';
import { LoadReporter } from '../../src/service/publish/load-reporter.js';
import { type Mosquitto, startMosquitto, until } from '../support/mosquitto.js';
import { describeWith } from '../support/programs.js';
import { type Ear, fakeModel, listen, startNode } from './support.js';

const LABELS = { site: 'hall-2', camera: 'front' };
const QUESTION = { question: 'Is the lamp on?', answer: { type: 'boolean' }, max_age_ms: 60_000 };

describeWith(['mosquitto'], 'a node that is asked', () => {
  let broker: Mosquitto;
  let ear: Ear;
  beforeAll(async () => {
    broker = await startMosquitto();
    ear = await listen(broker.url);
  });
  afterAll(async () => {
    await ear[Symbol.asyncDispose]();
    await broker.close();
  });
  const last = <T>(topic: string) => JSON.parse(ear.on(topic).at(-1)?.text ?? 'null') as T;
  const loads = () => ear.on('load').map(({ text }) => loadSchema.parse(JSON.parse(text)));

  it('tells its labels, and the queue whenever it changes, in few messages', async () => {
    await using _node = await startNode(
      broker.url,
      { labels: LABELS, watches: {}, health_interval_ms: 30_000 },
      { loadModel: async () => fakeModel({ lookMs: 100 }) },
    );
    await until('info', () => last<Info | null>('info')?.models[0]?.state === 'ready');
    expect(infoSchema.parse(last('info'))).toMatchObject({ labels: LABELS, draining: false, models: [{ id: 'fake', rev: '0' }] });
    await until('frames', async () => last<{ cameras: { kitchen?: { state: string } } }>('health')?.cameras.kitchen?.state === 'online');
    await until('a first load', () => loads().length > 0);
    expect(loads()[0]).toMatchObject({ node: 'test', queue: { waiting: 0, limit: 16, rejected: 0, usual_ms: null }, draining: false });

    const before = loads().length;
    const beganMs = performance.now();
    for (let i = 0; i < 8; i++) await ear.request('query', { ...QUESTION, transaction: `load-${i}` });
    for (let i = 0; i < 8; i++) expect(await ear.response(`load-${i}`)).toMatchObject({ status: 'ok' });
    await until('an empty queue', () => loads().at(-1)?.queue.waiting === 0);
    const said = loads().slice(before);
    expect(Math.max(...said.map(({ queue }) => queue.waiting))).toBeGreaterThan(2);
    expect(said.length).toBeLessThanOrEqual(2 + (performance.now() - beganMs) / 250);
    expect(said.at(-1)?.queue.usual_ms).toBeGreaterThanOrEqual(100);
    expect(ear.on('load').every(({ packet }) => packet.qos === 0)).toBe(true);
    await using late = await listen(broker.url, ['mipha/v1/test/load']);
    await until('it is retained', () => late.on('load')[0]?.retained);

    await ear.request('options', { transaction: 'label', options: { labels: { site: null, rack: '7' } } });
    expect(await ear.response('label')).toMatchObject({ status: 'ok', data: { restart_required: [] } });
    await until('new labels', () => last<Info>('info').labels.rack === '7');
    expect(last<Info>('info').labels).toEqual({ camera: 'front', rack: '7' });
  });

  it('finishes what it has when it is drained, refuses the rest, goes on watching, and is back when told', async () => {
    const watches = { lamp: { camera: 'kitchen', question: 'Is the lamp on?', interval_ms: 100, reask_ms: 100 } };
    await using _node = await startNode(broker.url, { watches, health_interval_ms: 1000 }, { loadModel: async () => fakeModel({ lookMs: 300 }) });
    await until('an answer', () => last<{ status: string } | null>('watch/lamp/result')?.status === 'ok');
    for (const id of ['under-way', 'waiting']) await ear.request('query', { ...QUESTION, transaction: id });
    await ear.request('options', { transaction: 'drain', options: { draining: true } });
    expect(await ear.response('drain')).toMatchObject({ status: 'ok', data: { restart_required: [] } });
    await ear.request('query', { ...QUESTION, transaction: 'refused' });
    expect(await ear.response('refused')).toMatchObject({ status: 'error', error: { code: 'DRAINING', retryable: true } });
    expect(await ear.response('under-way')).toMatchObject({ status: 'ok' });
    expect(await ear.response('waiting')).toMatchObject({ status: 'ok' });
    await until('it says so', () => last<Info>('info').draining && last<Load>('load').draining && last<{ draining: boolean }>('health').draining);
    const answered = ear.on('watch/lamp/result').length;
    await until('its watch goes on', () => ear.on('watch/lamp/result').length > answered + 1);
    await ear.request('options', { transaction: 'back', options: { draining: false } });
    expect(await ear.response('back')).toMatchObject({ status: 'ok' });
    await ear.request('query', { ...QUESTION, transaction: 'taken' });
    expect(await ear.response('taken')).toMatchObject({ status: 'ok' });
    await until('it says so', () => !last<Info>('info').draining && !last<Load>('load').draining);
  });
});

describe('a load reporter', () => {
  it('tells the first change at once and the last one after a pause, and nothing when it has stopped', () => {
    vi.useFakeTimers();
    try {
      let told = 0;
      const reporter = new LoadReporter(() => told++);
      for (let ms = 0; ms < 1000; ms += 10) {
        reporter.changed();
        if (ms === 0) expect(told).toBe(1);
        vi.advanceTimersByTime(10);
      }
      expect(told).toBe(5);
      vi.advanceTimersByTime(10_000);
      expect(told).toBeLessThanOrEqual(6);
      const before = told;
      reporter.changed();
      expect(told).toBe(before + 1);
      reporter.changed();
      reporter.stop();
      vi.advanceTimersByTime(10_000);
      reporter.changed();
      expect(told).toBe(before + 1);
      expect(vi.getTimerCount()).toBe(0);
    } finally {
      vi.useRealTimers();
    }
  });
});

describe('labels of the configuration', () => {
  const labels = (values: Record<string, unknown>) => () => configOf({ node: 'a', labels: values });

  it('are few, with short names and values', () => {
    const sixteen = Object.fromEntries(Array.from({ length: 16 }, (_, i) => [`l${i}`, 'x'.repeat(64)]));
    expect(labels(sixteen)().config.labels).toEqual(sixteen);
    expect(labels({ ...sixteen, more: 'x' })).toThrow(/expected at most 16 labels/);
    expect(labels({ Site: 'x' })).toThrow(/labels/);
    expect(labels({ site: '' })).toThrow(/labels\.site/);
    expect(labels({ site: 'x'.repeat(65) })).toThrow(/labels\.site/);
    expect(labels({ site: 'a\u0000b' })).toThrow(/labels\.site.*expected text without control characters/);
    expect(labels({ site: 7 })).toThrow(/labels\.site/);
  });
});
