/** What a node does when something it needs goes away, and that its controls stay quick while the engine is busy. */
import { expect, it } from 'vitest';
import { resultSchema } from '../../src/mqtt/messages.js';
import { caughtUp, type Mosquitto, sleep, until } from '../support/mosquitto.js';
import { describeWith } from '../support/programs.js';
import { brokerForEach } from './stages.js';
import { config, type Ear, fakeModel, KITCHEN, LAMP, listen, ROOT, startNode } from './support.js';

const TEST_SOURCE = 'gst:videotestsrc is-live=true pattern=ball ! video/x-raw,width=160,height=120,framerate=10/1';

describeWith(['mosquitto', 'gstreamer'], 'a node in trouble', () => {
  let mosquitto: Mosquitto;
  let ear: Ear;
  brokerForEach((given) => {
    ({ mosquitto, ear } = given);
  });
  const online = () => until('the node is online', () => ear.on('availability').at(-1)?.text === 'online');

  it('brings back every retained topic after a broker restart that lost them', async () => {
    await using _node = await startNode(mosquitto.url, { mqtt: { discovery: { enabled: true } } });
    await online();
    for (const topic of ['health', 'load', 'watch/lamp/result', 'watch/lamp/state']) await until(topic, () => ear.on(topic).at(-1)?.text);
    const retained = async () => {
      await using fresh = await listen(mosquitto.url, [`${ROOT}/#`, 'homeassistant/#']);
      await caughtUp(fresh.client, () => fresh.all.length);
      return [...new Set(fresh.all.filter((message) => message.retained).map(({ topic }) => topic))].sort();
    };
    const before = await retained();
    expect(before).toEqual(expect.arrayContaining([`${ROOT}/info`, `${ROOT}/health`, `${ROOT}/watch/lamp/result`, `${ROOT}/camera/kitchen/status`]));
    expect(before.filter((topic) => topic.startsWith('homeassistant/'))).toHaveLength(2);
    await mosquitto.stop();
    await mosquitto.start();
    const upAgainMs = performance.now();
    await until('all of them', async () => (await retained()).join() === before.join(), 10_000);
    expect(performance.now() - upAgainMs).toBeLessThan(6000); // 5 s, and what looking takes
  });

  it('says stale, once, when the camera freezes, and nothing it said before looks fresh', async () => {
    await using node = await startNode(mosquitto.url, {
      cameras: { kitchen: { ...KITCHEN, stall_ms: 60_000 } },
      watches: { lamp: { ...LAMP, interval_ms: 100, reask_ms: 1000, ttl_ms: 2000 } },
    });
    await online();
    await until('answers', () => ear.on('watch/lamp/result').length > 2);
    // the scalar's life on the broker is renewed with every result: whoever subscribes late must find it
    expect(ear.on('watch/lamp/state').length).toBeGreaterThanOrEqual(ear.on('watch/lamp/result').length - 1);
    const camera = node.service.cameras.get('kitchen');
    if (camera === undefined) throw new Error('no camera');
    const stales = () => ear.on('watch/lamp/result').filter(({ text }) => JSON.parse(text).status === 'stale');
    const before = stales().length; // said until there was an answer
    await camera.stop(); // no more frames
    const stale = await until('stale', () => stales()[before], 10_000);
    expect(resultSchema.parse(JSON.parse(stale.text))).toMatchObject({ status: 'stale', value: null, observed: null });
    await sleep(3000);
    expect(stales()).toHaveLength(before + 1);
    expect(ear.on('watch/lamp/state').at(-1)?.text).toBe('');
    const last = ear
      .on('watch/lamp/result')
      .filter(({ text }) => JSON.parse(text).status === 'ok')
      .at(-1);
    const { valid_until } = JSON.parse(last?.text ?? '{}');
    expect(Date.parse(valid_until)).toBeLessThanOrEqual(Date.now());
    camera.start();
    await until('it recovers', () => ear.on('watch/lamp/state').at(-1)?.text !== '');
  });

  it('loses a camera whose process dies and has it back, and no other camera notices', async () => {
    await using node = await startNode(
      mosquitto.url,
      {
        cameras: { kitchen: KITCHEN, yard: { uri: TEST_SOURCE, stall_ms: 2000 } },
        watches: { lamp: { ...LAMP, change_percent: 0 }, ball: { ...LAMP, camera: 'yard', question: 'Is there a ball?' } },
      },
      { loadModel: async () => fakeModel() },
    );
    await online();
    const yard = node.service.cameras.get('yard');
    await until('the yard is online', () => ear.on('camera/yard/status').at(-1)?.text === 'online');
    const children = await import('../camera/support.js').then(({ children }) => children());
    expect(children.length).toBeGreaterThan(0);
    for (const pid of children) process.kill(pid, 'SIGKILL');
    await until('it is lost', () => ear.on('event').some(({ text }) => JSON.parse(text).event_type === 'camera_lost'), 20_000);
    expect(ear.on('camera/yard/status').map(({ text }) => text)).toContain('offline');
    await until('it is back', () => ear.on('event').some(({ text }) => JSON.parse(text).event_type === 'camera_back'), 20_000);
    expect(yard?.status().restarts).toBeGreaterThan(0);
    expect(node.service.cameras.get('kitchen')?.status()).toMatchObject({ restarts: 0, stalls: 0, state: 'online' });
    expect(ear.on('camera/kitchen/status').every(({ text }) => text === 'online')).toBe(true);
  });

  it('answers cancel and settings at once while the engine is busy for seconds', async () => {
    const model = fakeModel({ lookMs: 1500 });
    await using _node = await startNode(
      mosquitto.url,
      { watches: { lamp: { ...LAMP, change_percent: 0, interval_ms: 0 } } },
      { loadModel: async () => model },
    );
    await online();
    const latencies: number[] = [];
    for (let i = 0; i < 10; i++) {
      await ear.request('query', { question: 'Is the lamp on?', transaction: `q${i}` });
      await until('it is admitted', () => ear.all.some(({ text }) => text.includes(`"q${i}"`)));
      await until('the engine works', () => model.running > 0);
      const begun = performance.now();
      await ear.request('cancel', { target: `q${i}`, transaction: `c${i}` });
      expect(await ear.response(`c${i}`)).toMatchObject({ status: 'ok', data: { cancelled: true } });
      latencies.push(performance.now() - begun);
      expect((await ear.response(`q${i}`)).error?.code).toBe('CANCELLED');
      const word = i % 2 === 0 ? 'OFF' : 'ON';
      const set = performance.now();
      await ear.client.publishAsync(`${ROOT}/watch/lamp/enabled/set`, word, { qos: 1 });
      await until('the setting', () => ear.on('watch/lamp/enabled/state').at(-1)?.text === word);
      latencies.push(performance.now() - set);
    }
    latencies.sort((a, b) => a - b);
    expect(latencies[Math.floor(latencies.length / 2)]).toBeLessThan(200); // the median: single ones wait for this machine
  });

  it('refuses with QUEUE_FULL when the lane is full, and closes every request when it stops', async () => {
    const model = fakeModel({ lookMs: 1000 });
    const node = await startNode(mosquitto.url, { requests: { queue: 3 }, watches: {} }, { loadModel: async () => model });
    await online();
    for (let i = 0; i < 8; i++) await ear.request('query', { question: 'Is the lamp on?', transaction: `full-${i}` });
    await until('refusals', () => ear.all.filter(({ text }) => text.includes('QUEUE_FULL')).length === 5);
    await node[Symbol.asyncDispose]();
    const finals = await Promise.all(Array.from({ length: 8 }, (_, i) => ear.response(`full-${i}`)));
    expect(finals.map(({ error }) => error?.code ?? 'ok').sort()).toEqual([
      ...Array.from({ length: 5 }, () => 'QUEUE_FULL'),
      ...Array.from({ length: 3 }, () => 'SHUTTING_DOWN'),
    ]);
    await until('offline', () => ear.on('availability').at(-1)?.text === 'offline');
    expect(model.running).toBe(0);
  });

  it('asks nothing but the questions of its configuration where free ones are forbidden', async () => {
    await using _node = await startNode(mosquitto.url, { requests: { queries: false } }, { loadModel: async () => fakeModel() });
    await online();
    await until('a frame', () => ear.on('watch/lamp/state').at(-1)?.text);
    const free = { camera: 'kitchen', question: 'Who is there?' };
    await ear.request('query', { ...free, transaction: 'query' });
    await ear.request('watch/put', { watch: 'new', spec: free, transaction: 'put' });
    await ear.request('options', { options: { watches: { lamp: { question: 'Who is there?' } } }, transaction: 'options' });
    for (const more of [{ question: 'Who is there?' }, { camera: 'attic' }, { answer: { type: 'text' } }, { crop: { width: 0.5 } }])
      await ear.request('query', { watch: 'lamp', ...more, transaction: `other-${Object.keys(more)}` });
    for (const transaction of ['query', 'put', 'options', 'other-question', 'other-camera', 'other-answer', 'other-crop'])
      expect((await ear.response(transaction)).error?.code).toBe('FORBIDDEN');
    await ear.client.publishAsync(`${ROOT}/watch/lamp/prompt/set`, 'Who is there?', { qos: 1 });
    await ear.request('query', { watch: 'lamp', transaction: 'own' });
    expect(await ear.response('own')).toMatchObject({ status: 'ok' });
    await ear.request('options', { options: { watches: { lamp: { interval_ms: 300 } } }, transaction: 'interval' });
    expect(await ear.response('interval')).toMatchObject({ status: 'ok' });
    expect(ear.on('watch/lamp/prompt/state').every(({ text }) => text === LAMP.question)).toBe(true);
  });

  it('takes back what was retained about watches and cameras that are no longer configured', async () => {
    const discovery = { mqtt: { discovery: { enabled: true } } };
    const retained = async () => {
      await using fresh = await listen(mosquitto.url, [`${ROOT}/#`, 'homeassistant/#']);
      await caughtUp(fresh.client, () => fresh.all.length);
      return fresh.all.filter((message) => message.retained).map(({ topic, text }) => ({ topic, text }));
    };
    {
      const values = {
        ...discovery,
        cameras: { kitchen: KITCHEN, attic: KITCHEN },
        watches: { lamp: LAMP, door: { ...LAMP, question: 'Is the door open?' }, roof: { ...LAMP, camera: 'attic' } },
      };
      await using _node = await startNode(mosquitto.url, values, { loadModel: async () => fakeModel() });
      await online();
      await until('results', () => ear.on('watch/door/state').at(-1)?.text && ear.on('watch/roof/state').at(-1)?.text);
    }
    expect((await retained()).filter(({ topic }) => /door|roof|attic/.test(topic)).length).toBeGreaterThan(8);
    ear.all.length = 0;
    await using _node = await startNode(mosquitto.url, discovery, { loadModel: async () => fakeModel() });
    await online();
    await until('a result', () => ear.on('watch/lamp/state').at(-1)?.text);
    const left = await retained();
    expect(left.filter(({ topic }) => /door|roof|attic/.test(topic))).toEqual([]);
    const kitchen = left.find(({ topic }) => topic === 'homeassistant/device/mipha_test_kitchen/config');
    const { components } = JSON.parse(kitchen?.text ?? '{}') as { components: Record<string, object> };
    const removed = Object.entries(components).filter(([key]) => key.includes('door'));
    expect(removed.length).toBeGreaterThan(0); // told to be removed, which is a component with nothing but its platform
    for (const [, component] of removed) expect(Object.keys(component)).toEqual(['platform']);
  });

  it('forgets a camera that is configured no longer, and leaves the others offline when it ends', async () => {
    const porch = { uri: 'rtsp://eye:s3cret@127.0.0.1/live?token=t0ken', enabled: false };
    const values = { cameras: { kitchen: KITCHEN, attic: KITCHEN, porch } };
    const load = async () => config(mosquitto.url);
    const node = await startNode(mosquitto.url, values, { loadModel: async () => fakeModel(), load });
    await online();
    await until('both cameras', () => ['kitchen', 'attic'].every((id) => ear.on(`camera/${id}/status`).at(-1)?.text === 'online'));
    expect(ear.on('info').at(-1)?.text).toContain('rtsp://***@127.0.0.1/live?token=***');
    expect(ear.all.some(({ text }) => /s3cret|t0ken/.test(text))).toBe(false);
    await node.service.reload();
    await until('the attic is forgotten', () => ear.on('camera/attic/status').at(-1)?.text === '');
    expect(ear.on('camera/attic/enabled/state').at(-1)?.text).toBe('');
    expect(ear.on('camera/kitchen/status').at(-1)?.text).toBe('online');
    await node[Symbol.asyncDispose]();
    await until('the kitchen is offline', () => ear.on('camera/kitchen/status').at(-1)?.text === 'offline');
    expect(ear.on('camera/attic/status').at(-1)?.text).toBe('');
  });

  it('refuses to be a second node of the same name', async () => {
    await using _first = await startNode(mosquitto.url, {}, { loadModel: async () => fakeModel() });
    await online();
    const second = startNode(
      mosquitto.url,
      {},
      {
        loadModel: async (_, signal) => {
          await new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
          return fakeModel();
        },
      },
    );
    await expect(second).rejects.toMatchObject({ code: 'ERR_MQTT', message: expect.stringContaining('another process') });
    expect(ear.on('availability').at(-1)?.text).toBe('online');
  });
});
