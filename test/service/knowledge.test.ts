/** What a node leaves on the broker when it stops, and what it makes of what a crash has left there. */
import { connectAsync } from 'mqtt';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { resultSchema, Stamp } from '../../src/mqtt/messages.js';
import { topicsOf } from '../../src/mqtt/topics.js';
import type { EventPictures } from '../../src/service/publish/event-pictures.js';
import { Outlet } from '../../src/service/publish/outlet.js';
import { ResultPublisher } from '../../src/service/publish/results.js';
import type { WatchOutcome } from '../../src/watch/outcome.js';
import { type Mosquitto, sleep, startMosquitto, until } from '../support/mosquitto.js';
import { describeWith } from '../support/programs.js';
import { fakeModel, LAMP, listen, ROOT, startNode } from './support.js';

describeWith(['mosquitto'], 'what is known', () => {
  let mosquitto: Mosquitto;
  beforeAll(async () => {
    mosquitto = await startMosquitto();
  });
  afterAll(() => mosquitto[Symbol.asyncDispose]());

  const retained = async () => {
    await using fresh = await listen(mosquitto.url);
    await sleep(300);
    return new Map(fresh.all.map(({ topic, text }) => [topic.slice(ROOT.length + 1), text]));
  };

  it.each(['5', '3.1.1'] as const)('ends with a clean stop, before `offline` is said (MQTT %s)', async (protocol) => {
    await using ear = await listen(mosquitto.url);
    const who = { ...LAMP, question: 'Who is there?', answer: { type: 'choice', choices: ['none', 'person'] }, ttl_ms: 600_000 };
    const watches = { who, off: { ...LAMP, enabled: false } };
    const load = () => Promise.reject(new Error('no such file'));
    const loadModel = async () => fakeModel({ answer: () => 'none' });
    const node = await startNode(mosquitto.url, { mqtt: { protocol }, watches }, { loadModel, load });
    await until('the answer', () => ear.on('watch/who/state').at(-1)?.text === 'none');
    expect((await retained()).get('watch/who/state')).toBe('none');
    await node.service.reload();
    await until('the alert', async () => (await retained()).get('alert/config')?.includes('no such file'));
    await node[Symbol.asyncDispose]();
    await until('offline', () => ear.on('availability').at(-1)?.text === 'offline');
    expect(ear.all.at(-1)?.topic).toBe(`${ROOT}/availability`);
    expect(ear.on('watch/who/state').at(-1)?.text).toBe('');
    const left = await retained();
    expect([...left.keys()].filter((topic) => topic.startsWith('alert/'))).toEqual([]);
    expect([left.get('watch/who/state'), left.get('watch/off/state'), left.get('camera/kitchen/status')]).toEqual([undefined, undefined, 'offline']);
    for (const watch of ['who', 'off']) {
      const { status, value, valid_until } = JSON.parse(left.get(`watch/${watch}/result`) ?? '{}');
      expect({ status, value }).toEqual({ status: 'stale', value: null });
      if (watch === 'who') expect(Date.parse(valid_until)).toBeLessThanOrEqual(Date.now());
    }
  });

  it.each(['5', '3.1.1'] as const)('of a process that crashed is gone before the next says `online` (MQTT %s)', async (protocol) => {
    const crashed = await connectAsync(mosquitto.url);
    for (const [topic, payload] of [
      ['watch/lamp/state', 'ON'],
      ['watch/lamp/result', '{"status":"ok","value":true}'],
      ['camera/kitchen/status', 'online'],
    ] as const) {
      await crashed.publishAsync(`${ROOT}/${topic}`, payload, { qos: 1, retain: true });
    }
    await crashed.endAsync();
    let loaded = () => {};
    const loading = new Promise<void>((done) => (loaded = done));
    const starting = startNode(
      mosquitto.url,
      { mqtt: { protocol } },
      {
        loadModel: async () => {
          await loading;
          return fakeModel();
        },
      },
    );
    await until('it is online', async () => (await retained()).get('availability') === 'online');
    const left = await retained(); // and the model is not even loaded
    expect([left.get('watch/lamp/state'), left.get('camera/kitchen/status')]).toEqual([undefined, 'offline']);
    expect(resultSchema.parse(JSON.parse(left.get('watch/lamp/result') ?? ''))).toMatchObject({ status: 'stale', value: null, valid_until: null });
    loaded();
    await using _node = await starting;
    await until('an answer', async () => (await retained()).get('watch/lamp/state') === 'ON');
  });

  it('of motion is told again with every health document, for whoever has come since', async () => {
    const values = { health_interval_ms: 1000, cameras: { kitchen: { uri: 'synthetic://kitchen' } }, watches: {} };
    await using _node = await startNode(mosquitto.url, values, { loadModel: async () => fakeModel() });
    await using ear = await listen(mosquitto.url);
    await until('motion, twice', () => ear.on('camera/kitchen/motion').length > 1);
    expect(new Set(ear.on('camera/kitchen/motion').map(({ text, retained }) => `${text} ${retained}`))).toEqual(new Set(['OFF false']));
  });
});

it('an outcome whose validity has passed is published as stale, and fires no event', () => {
  const said: [string, unknown][] = [];
  const lives: (number | undefined)[] = []; // of the retained messages, in seconds
  const outbox = {
    state: (topic: string, payload: string, expiryS?: number) => {
      said.push([topic, payload === '' ? '' : JSON.parse(payload.replace(/^O(N|FF)$/, '"$&"'))]);
      lives.push(expiryS === undefined ? undefined : Math.round(expiryS));
    },
  };
  const pictures = { tell: (topic: string) => said.push([topic, 'event']) } as unknown as EventPictures;
  const results = new ResultPublisher(topicsOf('mipha', 'test'), new Stamp('test', 's'), new Outlet(outbox as never), pictures, () => ({
    id: 'm',
    rev: '0',
  }));
  const outcome = (value: boolean, validUntil: Date, status: WatchOutcome['status'] = 'ok'): WatchOutcome => ({
    ...{
      id: '1',
      atMs: 0,
      watch: 'w',
      camera: 'k',
      type: 'boolean',
      status,
      value,
      previous: null,
      changed: true,
      observed: value,
      confidence: 1,
      stableCount: 1,
    },
    ...{ answer: 'Yes', truncated: false, validUntil, compare: null, frame: null, timing: null, tokens: null, error: null },
  });
  for (const [type, each] of [
    ['triggered', outcome(true, new Date(Date.now() + 60_000))],
    ['cleared', outcome(false, new Date(Date.now() - 1))],
    ['error', outcome(true, new Date(Date.now() - 1), 'error')],
  ] as const) {
    results.watch(each);
    results.event({ type, previous: null, outcome: each, frame: null, confirmation: null, compare: null, atMs: 0, at: new Date() });
  }
  expect(
    said.map(([topic, body]) => [topic.split('/').at(-1), (body as { status?: string }).status ?? body, (body as { value?: unknown }).value]),
  ).toEqual([
    ['result', 'ok', true],
    ['state', 'ON', undefined],
    ['event', 'event', undefined],
    ['result', 'stale', null],
    ['state', '', undefined],
    ['result', 'error', null],
    ['state', '', undefined],
    ['event', 'event', undefined],
  ]);
  expect(lives).toEqual([60, 60, undefined, undefined, undefined, undefined]);
});
