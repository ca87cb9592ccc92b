/** A whole node with its page on its port: what the stream tells is what the broker gets, deeds follow the rules of MQTT, and each leaves a line. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import sharp from 'sharp';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { type ConfigInput, configOf } from '../../src/service/config/config.js';
import { Log } from '../../src/service/log/log.js';
import { Service } from '../../src/service/service.js';
import { eventsOf } from '../page/support.js';
import { caughtUp, freePort, type Mosquitto, startMosquitto, until } from '../support/mosquitto.js';
import { describeWith } from '../support/programs.js';
import { fakeModel, KITCHEN, LAMP, listen, ROOT } from './support.js';

const ALL_BLACK = [
  [
    [0, 0],
    [1, 0],
    [1, 1],
    [0, 1],
  ],
];

describeWith(['mosquitto'], 'a node with a page', () => {
  let mosquitto: Mosquitto;
  let folder = '';
  let lines: { ns: string; msg: string; [key: string]: unknown }[] = [];
  beforeAll(async () => {
    mosquitto = await startMosquitto();
    folder = await mkdtemp(join(tmpdir(), 'mipha-paged-'));
  });
  afterAll(async () => {
    await mosquitto[Symbol.asyncDispose]();
    await rm(folder, { recursive: true });
  });
  beforeEach(() => {
    lines = [];
  });

  async function start(values: ConfigInput = {}, reloaded: ConfigInput = {}) {
    const port = await freePort();
    const { http, ...rest } = values as { http?: object };
    const config = (more: ConfigInput) =>
      configOf({
        ...{ node: 'test', mqtt: { url: mosquitto.url, discovery: { enabled: false } }, http: { port, ...http }, health_interval_ms: 1000 },
        ...{ cameras: { kitchen: { ...KITCHEN, images: true } }, watches: { lamp: LAMP }, ...rest, ...more },
      });
    let yes = false;
    const log = new Log({ level: 'info', format: 'json', mqtt: false }, { sink: { write: (line) => void lines.push(JSON.parse(line)) } });
    const service = new Service({
      loaded: config({}),
      load: async () => config(reloaded),
      loadModel: async () => fakeModel({ answer: () => (yes = !yes) }),
      log,
      version: '0.0.0-test',
      page: { folder: 'none', mipha: null, check: [] },
    });
    await service.start();
    const url = `http://127.0.0.1:${port}`;
    const post = (path: string, body: object, headers: Record<string, string> = {}) =>
      fetch(`${url}/api/${path}`, { method: 'POST', body: JSON.stringify(body), headers });
    /** The newest payload of each topic, as it comes. */
    const stream = async (headers: Record<string, string> = {}) => {
      const hangUp = new AbortController();
      const response = await fetch(`${url}/api/stream`, { headers, signal: hangUp.signal });
      const topics = new Map<string, unknown>();
      const counts = new Map<string, number>();
      const reading = (async () => {
        for await (const { event, data } of eventsOf(response.body)) {
          if (event !== 'message') continue;
          const { topic, payload } = JSON.parse(data);
          topics.set(topic, payload);
          counts.set(topic, (counts.get(topic) ?? 0) + 1);
        }
      })().catch(() => {});
      const end = async () => {
        hangUp.abort();
        await reading;
      };
      return { status: response.status, topics, counts, [Symbol.asyncDispose]: end };
    };
    return { service, url, post, stream, [Symbol.asyncDispose]: () => service.stop() };
  }

  it('streams what the broker gets, topic by topic, also while the broker is away', async () => {
    await using ear = await listen(mosquitto.url);
    await using node = await start();
    await using stream = await node.stream();
    await until('events', () => (stream.counts.get('watch/lamp/event') ?? 0) > 3);
    await using late = await listen(mosquitto.url);
    await caughtUp(late.client, () => late.all.length);
    const retained = late.all
      .filter((message) => message.retained && !message.topic.endsWith('/availability'))
      .map(({ topic }) => topic.slice(ROOT.length + 1));
    expect(retained.length).toBeGreaterThan(8);
    expect(retained.filter((topic) => !stream.topics.has(topic))).toEqual([]);
    const state = stream.topics.get('watch/lamp/prompt/state');
    expect([state, late.on('watch/lamp/prompt/state')[0]?.text]).toEqual([LAMP.question, LAMP.question]);
    await mosquitto.stop();
    await until(
      'it is told that the broker is away',
      () => (stream.topics.get('health') as { mqtt: { connected: boolean } }).mqtt.connected === false,
    );
    const before = stream.counts.get('watch/lamp/event') ?? 0;
    await until('events go on', () => (stream.counts.get('watch/lamp/event') ?? 0) > before + 2);
    expect((stream.topics.get('log') as { msg: string } | undefined)?.msg).toBeDefined(); // though log.mqtt is off
    expect(ear.on('log')).toEqual([]);
    await mosquitto.start();
  });

  it('shows the frame that an answer names, and none from before a mask', async () => {
    await using node = await start({}, { cameras: { kitchen: { ...KITCHEN, images: true, privacy: ALL_BLACK } } });
    await using stream = await node.stream();
    const frame = () => (stream.topics.get('watch/lamp/result') as { frame: { id: string } | null } | undefined)?.frame?.id;
    const get = async (id: string | undefined) => await fetch(`${node.url}/api/frames/kitchen/${id}.jpg`);
    const first = await until('an answer about a frame', frame);
    const bright = await get(first);
    expect(bright.status).toBe(200);
    expect((await sharp(Buffer.from(await bright.arrayBuffer())).stats()).channels[0]?.max).toBeGreaterThan(100);
    const last = frame();
    await node.service.reload();
    expect((await get(first)).status).toBe(404);
    expect((await get(last)).status).toBe(404);
    const masked = await until('an answer about another frame', () => (frame() === last || frame() === undefined ? null : frame()));
    const black = await get(masked);
    if (black.status === 200) expect((await sharp(Buffer.from(await black.arrayBuffer())).stats()).channels[0]?.max).toBeLessThan(16);
  });

  it('does what operators ask by the rules of MQTT, and each deed leaves a line that tells nothing personal', async () => {
    await using node = await start({ requests: { closed: ['restart'] } });
    const changed = await node.post('request/options', { options: { watches: { lamp: { question: 'Is somebody undressed?' } } } });
    expect([changed.status, ((await changed.json()) as { status: string }).status]).toEqual([200, 'ok']);
    const closed = await node.post('request/restart', {});
    expect([closed.status, ((await closed.json()) as { error: { code: string } }).error.code]).toEqual([403, 'FORBIDDEN']);
    const local = await node.post('request/options', { options: { mqtt: { url: 'mqtt://elsewhere' } } });
    expect(local.status).toBe(403);
    const audit = lines.filter(({ ns }) => ns === 'audit');
    expect(audit).toMatchObject([
      { who: 'operator 127.0.0.1', verb: 'options', what: 'watches', outcome: 'ok', time: expect.any(String) },
      { verb: 'restart', outcome: 'FORBIDDEN' },
      { verb: 'options', what: 'mqtt', outcome: 'FORBIDDEN' },
    ]);
    expect(JSON.stringify(lines)).not.toMatch(/undressed/);
    const { settings } = (await (await fetch(`${node.url}/api/config`)).json()) as { settings: { path: string; origin: string }[] };
    expect(settings.find(({ path }) => path === 'watches.lamp.question')?.origin).toBe('mqtt');
  });

  it('lets nobody see anything without a token where there are tokens, and viewers change nothing', async () => {
    const token = { viewer: 'v'.repeat(64), operator: 'o'.repeat(64) };
    const file = (role: 'viewer' | 'operator') => join(folder, `${role}.token`);
    for (const role of ['viewer', 'operator'] as const) await writeFile(file(role), `${token[role]}\n`, { mode: 0o600 });
    await using node = await start({ http: { viewer_token_file: file('viewer'), operator_token_file: file('operator') } });
    const bearer = (role: 'viewer' | 'operator') => ({ authorization: `Bearer ${token[role]}` });
    for (const path of ['stream', 'config', 'frames/kitchen/x.jpg', 'record/lamp', 'record/lamp/x.jpg'])
      expect([path, (await fetch(`${node.url}/api/${path}`)).status]).toEqual([path, 401]);
    for (const path of ['request/health', 'config/check', 'replay']) expect([path, (await node.post(path, {})).status]).toEqual([path, 401]);
    expect((await fetch(node.url)).status).toBe(503); // the form to log in is for everybody; here nobody has built it
    expect((await node.post('request/health', {}, bearer('viewer'))).status).toBe(200);
    for (const path of ['request/options', 'request/watch/delete', 'config/check', 'replay'])
      expect([path, (await node.post(path, {}, bearer('viewer'))).status]).toEqual([path, 403]);
    expect((await node.post('request/watch/delete', { watch: 'lamp' }, bearer('operator'))).status).toBe(200);
    expect((await fetch(`${node.url}/api/config`, { headers: { ...bearer('operator'), origin: 'http://evil.example' } })).status).toBe(403);
    await using stream = await node.stream(bearer('viewer'));
    expect(stream.status).toBe(200);
  });
});
