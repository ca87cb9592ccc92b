/** A node whose configuration is changed over MQTT: overrides that are in the way, that are dropped, that are forbidden. */
import { existsSync } from 'node:fs';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from 'vitest';
import type { MiphaError } from '../../src/errors.js';
import type { ConfigInput } from '../../src/service/config/config.js';
import { Lives } from '../../src/service/lives.js';
import { Log } from '../../src/service/log/log.js';
import type { LoadModel } from '../../src/service/model/model.js';
import { type Mosquitto, startMosquitto, until } from '../support/mosquitto.js';
import { describeWith } from '../support/programs.js';
import { config, type Ear, fakeModel, KITCHEN, LAMP, listen, ROOT, startNode } from './support.js';

describeWith(['mosquitto'], 'a node that was changed over MQTT', () => {
  let mosquitto: Mosquitto;
  let ear: Ear;
  let folder = '';
  const kept = () => join(folder, 'overrides.json');

  beforeAll(async () => {
    mosquitto = await startMosquitto();
  });
  afterAll(() => mosquitto[Symbol.asyncDispose]());
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'mipha-overridden-'));
    ear = await listen(mosquitto.url);
  });
  afterEach(async () => {
    await ear[Symbol.asyncDispose]();
    await rm(folder, { recursive: true });
  });

  const keep = (overrides: object) => writeFile(kept(), JSON.stringify({ version: 1, overrides }));

  /** As `mipha run` lives; `load` is what loads the model. */
  function lives(loadModel: LoadModel, values: ConfigInput = {}) {
    const ending = new AbortController();
    const lines: { level: number; msg: string; overrides?: string[] }[] = [];
    const loaded = () => config(mosquitto.url, { state_dir: folder, log: { level: 'info' }, ...values });
    const node = new Lives({
      load: async () => loaded(),
      loadModel,
      proveModel: async ({ backend }) => {
        if (backend === 'tensorrt') throw new Error('no such library');
      },
      version: '0',
      signal: ending.signal,
      makeLog: ({ log }) => new Log(log, { sink: { write: (line) => void lines.push(JSON.parse(line)) } }),
    });
    const ended = node.run();
    ended.catch(() => {});
    return {
      lines,
      ended,
      async runs() {
        await until('it runs', () => lines.some(({ msg }) => msg === 'running'), 15_000);
        await until('it is online', () => ear.on('availability').some(({ text, retained }) => text === 'online' && !retained), 15_000);
      },
      async [Symbol.asyncDispose]() {
        ending.abort();
        await ended.catch(() => {});
      },
    };
  }

  const choosy: LoadModel = async ({ threads }) => {
    if (threads === 1000) throw new Error('1000 threads are too many');
    return fakeModel();
  };

  it('starts without its overrides when they keep it from starting, keeps their file aside, and says so', async () => {
    await keep({ model: { threads: 1000 }, log: { mqtt: true } });
    const text = await readFile(kept(), 'utf8');
    await using node = lives(choosy);
    await node.runs();
    const alert = await until('the alert', () => ear.on('alert/overrides').find((message) => message.text !== '' && !message.retained));
    expect(JSON.parse(alert.text).message).toMatch(
      /overrides\.json kept the node from starting and were dropped \(.*\.dropped-.*1000 threads are too many/,
    );
    const event = await until('the event', () => ear.on('event').find((message) => message.text.includes('overrides_dropped')));
    expect(JSON.parse(event.text).message).toContain('1000 threads');
    expect(node.lines.some(({ level, msg }) => level === 50 && msg.includes(kept()) && msg.includes('1000 threads'))).toBe(true);
    const [aside = ''] = (await readdir(folder)).filter((name) => name.startsWith('overrides.json.dropped-'));
    expect(await readFile(join(folder, aside), 'utf8')).toBe(text);
    expect(existsSync(kept())).toBe(false);
    await until('it says what it has', () => JSON.parse(ear.on('info').at(-1)?.text ?? '{}').overrides?.length === 0);
  });

  it('does not blame its overrides when it cannot start without them either, and loses none', async () => {
    await keep({ log: { mqtt: true } });
    let attempts = 0;
    await using node = lives(async () => {
      attempts++;
      throw Object.assign(new Error('no model') as MiphaError, { code: 'ERR_MODEL_MISSING' });
    });
    await expect(node.ended).rejects.toThrow('no model');
    expect(attempts).toBe(2);
    expect(JSON.parse(await readFile(kept(), 'utf8')).overrides).toEqual({ log: { mqtt: true } });
    expect((await readdir(folder)).filter((name) => name.includes('dropped') || name === 'lock')).toEqual([]);
  });

  it('starts without them after two starts that died in the middle', async () => {
    await keep({ model: { threads: 7 } });
    await writeFile(join(folder, 'starts.json'), JSON.stringify({ version: 1, proven: null, unfinished: 2 }));
    await using node = lives(choosy);
    await node.runs();
    expect((await until('the alert', () => ear.on('alert/overrides').find(({ text, retained }) => text !== '' && !retained))).text).toContain(
      '2 starts',
    );
    expect(existsSync(kept())).toBe(false);
  });

  it('refuses what this machine cannot run, before it is kept', async () => {
    await using node = lives(choosy);
    await node.runs();
    await ear.request('options', { options: { model: { backend: 'tensorrt' } }, transaction: 'backend' });
    const { error } = await ear.response('backend');
    expect(error).toMatchObject({ code: 'SCHEMA', message: expect.stringMatching(/model\.backend.*no such library/) });
    expect(existsSync(kept())).toBe(false);
  });

  it('names its overrides and what they hide at a start and a reload, and drops them on request', async () => {
    await using node = lives(choosy, { watches: { lamp: { ...LAMP, interval_ms: 100 } } });
    await node.runs();
    for (const [topic, word] of [
      ['watch/lamp/interval/set', '0.3'],
      ['watch/lamp/prompt/set', 'Is it dark?'],
    ] as const)
      await ear.client.publishAsync(`${ROOT}/${topic}`, word, { qos: 1 });
    const info = () => JSON.parse(ear.on('info').at(-1)?.text ?? '{}');
    await until('both overrides', () => info().overrides?.length === 2);
    expect(info().overrides).toEqual(['watches.lamp.question', 'watches.lamp.interval_ms']);
    const onDisk = { watches: { lamp: { question: 'Is it dark?', interval_ms: 300 } } };
    await until('both on the disk', async () => isDeepStrictEqual(JSON.parse(await readFile(kept(), 'utf8').catch(() => '{}')).overrides, onDisk));
    await ear.request('restart', { transaction: 'again' });
    await ear.response('again');
    await until('it runs again', () => node.lines.filter(({ msg }) => msg === 'running').length === 2, 15_000);
    const said = node.lines.map(({ msg }) => msg).join('\n');
    expect(said).toMatch(/watches\.lamp\.interval_ms: .* says the number 100, the override the number 300 is in force; drop it with/);
    expect(said).not.toContain('Is it dark?');
    expect(node.lines.find(({ overrides }) => overrides !== undefined)?.overrides).toEqual(['watches.lamp.question', 'watches.lamp.interval_ms']);
    await until('it is online again', () => ear.on('availability').at(-1)?.text === 'online');
    await ear.request('overrides/drop', { paths: ['watches.lamp.question'], transaction: 'one' });
    expect(await ear.response('one')).toMatchObject({
      status: 'ok',
      data: { dropped: ['watches.lamp.question'], restart_required: [], persisted: true },
    });
    await until('the question of the file', () => ear.on('watch/lamp/prompt/state').at(-1)?.text === LAMP.question);
    await ear.request('overrides/drop', { transaction: 'all' });
    expect(await ear.response('all')).toMatchObject({ data: { dropped: ['watches.lamp.interval_ms'] } });
    await until('the interval of the file', () => ear.on('watch/lamp/interval/state').at(-1)?.text === '0.1');
    expect(info().overrides).toEqual([]);
    await ear.request('overrides/drop', { paths: ['watches'], transaction: 'none' });
    expect((await ear.response('none')).error).toMatchObject({ code: 'SCHEMA' });
  });

  it('answers a wrong word on a settable topic with an event, and shows the old value again', async () => {
    await using _node = await startNode(mosquitto.url, {}, { loadModel: choosy });
    await until('online', () => ear.on('availability').at(-1)?.text === 'online');
    for (const [topic, word, code, words] of [
      ['watch/lamp/interval/set', 'soon', 'SCHEMA', 'expected seconds'],
      ['watch/lamp/interval/set', '3600', 'SCHEMA', 'reask_ms is 10000 (the default)'],
      ['watch/lamp/enabled/set', 'yes', 'SCHEMA', 'expected ON or OFF, received "yes"'],
      ['watch/constructor/enabled/set', 'ON', 'UNKNOWN_WATCH', 'expected one of lamp'],
      ['camera/constructor/enabled/set', 'ON', 'UNKNOWN_CAMERA', 'expected one of kitchen'],
      ['watch/lamp/prompt/set', '  ', 'SCHEMA', 'a question in words'],
    ] as const) {
      ear.all.length = 0;
      await ear.client.publishAsync(`${ROOT}/${topic}`, word, { qos: 1 });
      if (topic === 'watch/lamp/interval/set' && word === '3600') {
        await until('the old value', () => ear.on('watch/lamp/interval/state').at(-1)?.text === '0.1'); // its event is counted: the topic had one
        continue;
      }
      const { text } = await until(`${topic} ${word}`, () => ear.on('event').find((message) => message.text.includes('setting_refused')));
      const event = JSON.parse(text);
      expect(event.message).toContain(words);
      expect(event.refs).toEqual([
        { key: 'topic', value: `${ROOT}/${topic}` },
        { key: 'code', value: code },
      ]);
    }
  });

  it('refuses what its configuration closes, whoever asks, and does not announce it', async () => {
    const closed = [
      'options',
      'overrides/drop',
      'watch/put',
      'watch/delete',
      'label',
      'model/install',
      'model/rollback',
      'camera/restart',
      'restart',
      'set',
    ];
    await using discovery = await listen(mosquitto.url, ['homeassistant/#']);
    await using _node = await startNode(mosquitto.url, { requests: { closed }, mqtt: { discovery: { enabled: true } } }, { loadModel: choosy });
    await until('online', () => ear.on('availability').at(-1)?.text === 'online');
    const bodies: Record<string, object> = {
      options: { options: { log: { level: 'debug' } } },
      'watch/put': { watch: 'x', spec: { camera: 'kitchen', question: 'Why?' } },
      'watch/delete': { watch: 'lamp' },
      label: { watch: 'lamp', answer: 'a', verdict: 'right' },
      'camera/restart': { camera: 'kitchen' },
    };
    for (const verb of closed.filter((name) => name !== 'set')) {
      await ear.request(verb, { ...bodies[verb], transaction: verb });
      const { error } = await ear.response(verb);
      expect(error).toMatchObject({ code: 'FORBIDDEN', message: `${verb} is closed by the configuration of this node (requests.closed)` });
    }
    await ear.client.publishAsync(`${ROOT}/watch/lamp/enabled/set`, 'OFF', { qos: 1 });
    const { text } = await until('the event', () => ear.on('event').find((message) => message.text.includes('setting_refused')));
    expect(text).toContain('FORBIDDEN');
    expect(ear.on('watch/lamp/enabled/state').at(-1)?.text).toBe('ON');
    await ear.request('health', { transaction: 'health' });
    expect(await ear.response('health')).toMatchObject({ status: 'ok' });
    expect(JSON.parse(ear.on('info').at(-1)?.text ?? '').verbs).toEqual(['query', 'cancel', 'snapshot', 'health', 'announce']);
    const devices = discovery.all.map((message) => message.text).join('\n');
    expect(devices).toContain('binary_sensor');
    expect(devices).not.toMatch(/\/set"|request\/restart/);
  });

  it('shows watches that keep failing and cameras that are lost, and takes back what an earlier process left', async () => {
    await ear.client.publishAsync(`${ROOT}/alert/config`, '{"left":"behind"}', { qos: 1, retain: true });
    let fails = true;
    const failing: LoadModel = async () => {
      const model = fakeModel();
      const { look } = model;
      model.look = async (...values) => {
        if (fails) throw Object.assign(new Error('too long'), { code: 'ERR_CONTEXT_FULL' });
        return await look.apply(model, values);
      };
      return model;
    };
    await using node = await startNode(
      mosquitto.url,
      { cameras: { kitchen: KITCHEN, yard: { uri: 'images:///nowhere/*.png' } } },
      { loadModel: failing },
    );
    await until('what was left is gone', () => ear.on('alert/config').at(-1)?.text === '');
    const alert = (id: string) => ear.on(`alert/${id}`).at(-1)?.text ?? '';
    await until('the watch', () => alert('watches').includes('lamp (ERR_CONTEXT_FULL: too long)'));
    await until('the camera', () => alert('cameras').includes('yard'));
    expect(
      node.service
        .health()
        .errors.map(({ id }) => id)
        .sort(),
    ).toEqual(['cameras', 'watches']);
    fails = false;
    await until('the watch is fine', () => alert('watches') === '', 15_000);
    await ear.client.publishAsync(`${ROOT}/camera/yard/enabled/set`, 'OFF', { qos: 1 });
    await until('the camera is not missed any more', () => alert('cameras') === '');
    expect(node.service.health().errors).toEqual([]);
  });
});
