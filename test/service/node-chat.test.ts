/** Chat completions of a node: the same lane, the same frames and the same rules as over MQTT. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { JSON_TYPE, say } from '../http/support.js';
import { freePort, type Mosquitto, startMosquitto, until } from '../support/mosquitto.js';
import { describeWith } from '../support/programs.js';
import { fakeModel, listen, startNode } from './support.js';

const ask = async (port: number, url: string | null, more: object = {}) => {
  const picture = url === null ? [] : [{ type: 'image_url', image_url: { url } }];
  const content = [{ type: 'text', text: 'Is the lamp on?' }, ...picture];
  const body = JSON.stringify({ messages: [{ role: 'user', content }], ...more });
  const { status, text, headers } = await say(port, '/v1/chat/completions', { method: 'POST', headers: JSON_TYPE, body });
  return { status, headers, body: JSON.parse(text) };
};

describeWith(['mosquitto'], 'the endpoint of a node', () => {
  let mosquitto: Mosquitto;
  beforeAll(async () => {
    mosquitto = await startMosquitto();
  });
  afterAll(() => mosquitto[Symbol.asyncDispose]());

  it('asks the newest frame of a camera, and names it', async () => {
    const port = await freePort();
    await using node = await startNode(mosquitto.url, { http: { port }, watches: {} });
    await until('a frame', () => node.service.cameras.get('kitchen')?.slot.newest() !== undefined);
    const { status, body } = await ask(port, 'camera:kitchen', { model: 'mipha-nano', mipha: { max_age_ms: 60_000 } });
    expect([status, body.choices?.[0].message.content.length > 0]).toEqual([200, true]);
    expect(body.mipha.frame).toEqual({ camera: 'kitchen', id: expect.stringMatching(/^kitchen-/), ts: expect.any(String) });
    const unknown = await ask(port, 'camera:garden', { model: 'mipha-nano' });
    expect([unknown.status, unknown.body.error]).toMatchObject([400, { code: 'unknown_camera', param: 'messages[0].content[1].image_url.url' }]);
    const stale = await ask(port, 'camera:kitchen', { model: 'mipha-nano', mipha: { max_age_ms: 1 } });
    expect([200, 503]).toContain(stale.status);
    if (stale.status === 503) expect(stale.body.error).toMatchObject({ code: 'stale_frame', mipha: { code: 'ERR_CAMERA', retryable: true } });
    const metrics = (await say(port, '/metrics')).text;
    expect(metrics).toMatch(/mipha_queries_total\{[^}]*status="ok"[^}]*\} 1/);
  });

  it('waits in the lane of queries over MQTT, which go first where their priority says so', async () => {
    const port = await freePort();
    const model = fakeModel({ askMs: 1500 });
    await using ear = await listen(mosquitto.url);
    await using node = await startNode(mosquitto.url, { http: { port }, watches: {}, requests: { queue: 5 } }, { loadModel: async () => model });
    await until('a frame', () => node.service.cameras.get('kitchen')?.slot.newest() !== undefined);
    await until('online', () => ear.on('availability').at(-1)?.text === 'online', 30_000);
    const order: string[] = [];
    const http = (name: string, more = {}) => ask(port, null, { model: 'fake', ...more }).then(({ status }) => order.push(`${name} ${status}`));
    const first = http('first');
    await until('it is asked', () => model.running === 1);
    const second = http('second');
    await until('it waits', () => node.service.health().queue.waiting === 2);
    const full = await ask(port, null, { model: 'fake' });
    expect([full.status, full.body.error.code, full.body.error.mipha.details.limit], 'half of the places').toEqual([429, 'queue_full', 2]);
    expect(Number(full.headers['retry-after'])).toBeGreaterThanOrEqual(1);
    const query = ear.request('query', { transaction: 'q', camera: 'kitchen', question: 'Who?', priority: 9, max_age_ms: 60_000 });
    const answered = query.then(() => ear.response('q')).then(({ status }) => order.push(`mqtt ${status}`));
    await until('all wait', () => node.service.health().queue.waiting === 3);
    await Promise.all([first, second, answered]);
    expect(order).toEqual(['first 200', 'mqtt ok', 'second 200']);
  });

  it('is closed where only the watches may ask, where the node is drained, and where it is turned off', async () => {
    const [port, other, off] = [await freePort(), await freePort(), await freePort()];
    const loadModel = async () => fakeModel();
    await using _closed = await startNode(mosquitto.url, { http: { port }, requests: { queries: false } }, { loadModel });
    expect(await ask(port, null, { model: 'fake' })).toMatchObject({ status: 403, body: { error: { code: 'forbidden', type: 'permission_error' } } });
    await using drained = await startNode(mosquitto.url, { node: 'drained', draining: true, http: { port: other } }, { loadModel });
    const later = await ask(other, null, { model: 'fake' });
    expect([later.status, later.body.error.code, Number(later.headers['retry-after']) >= 1, drained.service.health().queue.waiting]).toEqual([
      503,
      'draining',
      true,
      0,
    ]);
    await using _off = await startNode(mosquitto.url, { node: 'other', http: { port: off, chat: false } }, { loadModel });
    expect((await ask(off, null, { model: 'fake' })).status).toBe(404);
  });
});
