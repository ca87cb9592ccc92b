/** A node from the outside: what a stock client sees and gets, with the shipped model. */
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { healthSchema, infoSchema, resultSchema } from '../../src/mqtt/messages.js';
import { verbSchemas } from '../../src/mqtt/request-schemas.js';
import { counts } from '../support/counts.js';
import { type Mosquitto, startMosquitto, until } from '../support/mosquitto.js';
import { describeWith } from '../support/programs.js';
import { type Ear, KITCHEN, LAMP, listen, type Node, ROOT, startNode } from './support.js';

const run = promisify(execFile);

describeWith(['mosquitto', 'mosquitto_sub'], 'a node', () => {
  let mosquitto: Mosquitto;
  let ear: Ear;
  let node: Node;

  beforeAll(async () => {
    mosquitto = await startMosquitto();
    ear = await listen(mosquitto.url);
    node = await startNode(mosquitto.url, {
      cameras: { kitchen: { ...KITCHEN, images: true } },
      watches: {
        lamp: LAMP,
        door: { ...LAMP, question: 'Is the door open?', crop: { x: 0.5, y: 0, width: 0.5, height: 0.7 } },
        objects: { ...LAMP, question: 'How many objects are on the table?', answer: { type: 'number', min: 0, max: 9 } },
      },
    });
    await until('the node is online', () => ear.on('availability').some(({ text }) => text === 'online'));
  });
  afterAll(async () => {
    await node[Symbol.asyncDispose]();
    await ear[Symbol.asyncDispose]();
    await mosquitto[Symbol.asyncDispose]();
  });

  it('says online only after its factsheet and states are with the broker', async () => {
    const order = ear.all.map(({ topic }) => topic.slice(ROOT.length + 1));
    const online = order.indexOf('availability');
    expect(order.indexOf('info')).toBeLessThan(online);
    expect(infoSchema.parse(JSON.parse(ear.on('info').at(-1)?.text ?? ''))).toMatchObject({ node: 'test', protocol: '5' });
  });

  it('publishes results, states and health that follow their schemas', async () => {
    for (const watch of ['lamp', 'door', 'objects']) {
      const { text } = await until(`a result of ${watch}`, () => ear.on(`watch/${watch}/result`).find((one) => JSON.parse(one.text).status === 'ok'));
      const result = resultSchema.parse(JSON.parse(text));
      expect(result).toMatchObject({ watch, camera: 'kitchen', status: 'ok', model: { id: 'mipha-nano' } });
      expect(Date.parse(result.valid_until ?? '')).toBeGreaterThan(Date.parse(result.frame?.ts ?? ''));
    }
    expect(['ON', 'OFF']).toContain(ear.on('watch/lamp/state').at(-1)?.text);
    expect(ear.on('watch/objects/state').at(-1)?.text).toMatch(/^\d$/);
    const { text } = await until('health', () => ear.on('health').find((message) => JSON.parse(message.text).cameras.kitchen?.state === 'online'));
    expect(healthSchema.parse(JSON.parse(text)).engine).toMatchObject({ state: 'ready', backend: 'cpu' });
  });

  it('counts the messages of each topic without a gap', async () => {
    await until('some results', () => ear.on('watch/lamp/result').length > 5);
    const numbers = ear.on('watch/lamp/result').map(({ text }) => JSON.parse(text).seq);
    expect(numbers).toEqual(numbers.map((_, i) => numbers[0] + i));
  });

  it('tells every change as an event that is not retained', async () => {
    const { text, retained } = await until('an event', () => ear.on('watch/objects/event').at(-1), 20_000);
    expect(JSON.parse(text)).toMatchObject({ event_type: 'changed', replayed: false });
    expect(retained).toBe(false);
  });

  it('answers mosquitto_pub, mosquitto_sub and mosquitto_rr', async () => {
    const at = ['-h', '127.0.0.1', '-p', `${mosquitto.port}`];
    const question = JSON.stringify({ question: 'Is the lamp on?', answer: { type: 'boolean' }, transaction: 'stock' });
    await run('mosquitto_pub', [...at, '-q', '1', '-t', `${ROOT}/request/query`, '-m', question]);
    expect(await ear.response('stock')).toMatchObject({ status: 'ok', data: { type: 'boolean', trigger: 'request' } });
    const { stdout } = await run('mosquitto_rr', [
      ...['-V', '5', ...at, '-q', '1', '-t', `${ROOT}/request/health`, '-e', 'mipha/v1/robot/reply/1', '-m', '{}', '-W', '10'],
    ]);
    expect(verbSchemas.health.response.parse(JSON.parse(stdout).data).node).toBe('test');
  });

  it('answers a query with the schema it promises, in pieces if asked', async () => {
    await ear.request('query', { question: 'Describe the scene.', partial: true, transaction: 'pieces' });
    const response = await ear.response('pieces');
    const result = resultSchema.parse(response.data);
    expect(result).toMatchObject({ watch: null, transaction: 'pieces', trigger: 'request', type: 'text' });
    const mine = ear.on('response/query').map(({ text }) => JSON.parse(text));
    const statuses = mine.filter(({ transaction }) => transaction === 'pieces').map(({ status }) => status);
    expect(statuses[0]).toBe('accepted');
    expect(statuses.at(-1)).toBe('ok');
    const pieces = mine.filter(({ transaction, status }) => transaction === 'pieces' && status === 'partial').map(({ data }) => data.text);
    expect(pieces.length).toBeGreaterThan(1);
    expect(pieces.join('').trim()).toBe(result.answer);
  });

  it('sends a picture and, after it, what it is', async () => {
    await ear.request('snapshot', { max_side_px: 160, transaction: 'snap' });
    const { data } = (await ear.response('snap')) as unknown as { data: { sha256: string; bytes: number; frame: { width: number; id: string } } };
    verbSchemas.snapshot.response.parse(data);
    expect(data.frame.width).toBe(160);
    const [image] = ear.all.filter(({ topic }) => topic === `${ROOT}/camera/kitchen/image`);
    const payload = image?.packet.payload as Buffer;
    expect(createHash('sha256').update(payload).digest('hex')).toBe(data.sha256);
    expect(image?.packet.properties).toMatchObject({ contentType: 'image/jpeg', userProperties: { id: data.frame.id } });
  });

  it.each([
    ['query', { question: 'Why?', camera: 'attic' }, 'UNKNOWN_CAMERA'],
    ['query', { watch: 'nothing' }, 'UNKNOWN_WATCH'],
    ['query', {}, 'SCHEMA'],
    ['query', { question: 'Is the lamp on?', answer: { type: 'number', min: 3, max: 1 } }, 'SCHEMA'],
    ['query', { question: 'zq'.repeat(490) }, 'SCHEMA'], // more tokens than the model's context has
    ['watch/put', { watch: 'x', spec: { camera: 'attic', question: 'Why?' } }, 'UNKNOWN_CAMERA'],
    ['watch/put', { watch: 'x', spec: { camera: 'kitchen', question: 'Why?', reask_ms: 100, ttl_ms: 100 } }, 'SCHEMA'],
    ['watch/delete', { watch: 'x' }, 'UNKNOWN_WATCH'],
    ['options', { options: { requests: { queue: 0 } } }, 'SCHEMA'],
    ['options', { options: { cameras: { kitchen: { uri: 'gst:filesrc location=/etc/passwd' } } } }, 'FORBIDDEN'],
    ['camera/restart', { camera: 'attic' }, 'UNKNOWN_CAMERA'],
    ['dance', {}, 'UNKNOWN_VERB'],
  ])('refuses %s %j with %s', async (verb, body, code) => {
    const transaction = `${verb} ${JSON.stringify(body)}`.slice(0, 100);
    await ear.request(verb, { ...body, transaction });
    const { error } = await ear.response(transaction);
    expect(error?.code).toBe(code);
    expect(error?.message.length).toBeGreaterThan(10);
  });

  it('takes watches, settings and options while it runs', async () => {
    await ear.request('watch/put', {
      watch: 'person',
      spec: { camera: 'kitchen', question: 'Is there a person?', interval_ms: 100 },
      transaction: 'put',
    });
    expect(await ear.response('put')).toMatchObject({ status: 'ok', data: { created: true, persisted: false } });
    await until('its first result', () => ear.on('watch/person/state').at(-1)?.text);
    await ear.client.publishAsync(`${ROOT}/watch/person/enabled/set`, 'OFF', { qos: 1 });
    await until('it is off', () => ear.on('watch/person/enabled/state').at(-1)?.text === 'OFF');
    await ear.client.publishAsync(`${ROOT}/watch/person/prompt/set`, 'Is anyone in the room?', { qos: 1 });
    await until('its question', () => ear.on('watch/person/prompt/state').at(-1)?.text === 'Is anyone in the room?');
    const told = ear.on('watch/person/prompt/state').length;
    await ear.client.publishAsync(`${ROOT}/watch/person/prompt/set`, Buffer.from('Ist die T\xfcr offen?', 'latin1'), { qos: 1 }); // no UTF-8
    await until('the question that stays', () => ear.on('watch/person/prompt/state').length > told);
    expect(ear.on('watch/person/prompt/state').at(-1)?.text).toBe('Is anyone in the room?');
    await ear.request('watch/delete', { watch: 'person', transaction: 'delete' });
    expect(await ear.response('delete')).toMatchObject({ status: 'ok' });
    await until('it is forgotten', () => ear.on('watch/person/result').at(-1)?.text === '');
    await ear.client.publishAsync(`${ROOT}/camera/kitchen/enabled/set`, 'OFF', { qos: 1 });
    await until('the camera is disabled', () => ear.on('camera/kitchen/status').at(-1)?.text === 'disabled');
    await ear.request('camera/restart', { camera: 'kitchen', transaction: 'disabled' });
    expect((await ear.response('disabled')).error?.code).toBe('FORBIDDEN');
    await ear.client.publishAsync(`${ROOT}/camera/kitchen/enabled/set`, 'ON', { qos: 1 });
    await until('the camera is back', () => ear.on('camera/kitchen/status').at(-1)?.text === 'online');
    await ear.request('camera/restart', { camera: 'kitchen', transaction: 'again' });
    expect(await ear.response('again')).toMatchObject({ status: 'ok' });
    await until('it was restarted', () => node.service.cameras.get('kitchen')?.status().restarts === 1);
  });

  it('lives through garbage on every command topic, and answers the next question', async () => {
    const random = seeded(7);
    const topics = [
      'request/query',
      'request/cancel',
      'request/options',
      'request/',
      'request/a/b/c',
      'watch/lamp/interval/set',
      'camera/x/enabled/set',
    ];
    const scraps = [
      '{',
      '[',
      '"',
      'null',
      '1e999',
      '{"question":',
      '\u0000',
      '\uffff',
      '{"deadline_ms":-1}',
      '[['.repeat(5000),
      '{"a":'.repeat(2000),
    ];
    for (let i = 0; i < counts(100, 300); i++) {
      const topic = `${ROOT}/${topics[Math.floor(random() * topics.length)]}`;
      const bytes = Buffer.from(Array.from({ length: Math.floor(random() * 200) }, () => Math.floor(random() * 256)));
      const payload = random() < 0.5 ? bytes : Buffer.from(scraps[Math.floor(random() * scraps.length)] as string);
      await ear.client.publishAsync(topic, payload, { qos: random() < 0.5 ? 0 : 1, retain: random() < 0.02 });
    }
    await ear.request('query', { question: 'Is the lamp on?', answer: { type: 'boolean' }, transaction: 'after' });
    expect(await ear.response('after')).toMatchObject({ status: 'ok' });
    const codes = new Set(
      ear.all
        .filter(({ topic, text }) => topic.startsWith(`${ROOT}/response/`) && text.includes('"error"'))
        .map(({ text }) => JSON.parse(text).error?.code),
    );
    for (const code of ['BAD_JSON', 'RETAINED_COMMAND', 'UNKNOWN_VERB']) expect(codes).toContain(code);
  });
});

function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state * 1664525 + 1013904223) % 2 ** 32;
    return state / 2 ** 32;
  };
}
