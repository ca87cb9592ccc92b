/** Nothing that a node sends on is older than whoever asked for it accepts. */
import { expect, it } from 'vitest';
import { type Response, type Result, resultSchema } from '../../src/mqtt/messages.js';
import { sleep, until } from '../support/mosquitto.js';
import { describeWith } from '../support/programs.js';
import { nodeForAll } from './stages.js';
import { type Ear, fakeModel, KITCHEN, LAMP, type Node } from './support.js';

const question = { question: 'Is the lamp on?', answer: { type: 'boolean' } };

describeWith(['mosquitto'], 'the age of answers', () => {
  let ear: Ear;
  let node: Node;
  let lookMs = 0;
  const model = fakeModel();
  const look = model.look.bind(model);
  model.look = async (image, options) => {
    for (const end = performance.now() + lookMs; performance.now() < end; await sleep(5)) options?.signal?.throwIfAborted();
    return look(image, options);
  };
  const values = { cameras: { kitchen: { ...KITCHEN, images: true } }, watches: { off: { ...LAMP, enabled: false } }, requests: { queue: 2 } };
  nodeForAll(
    values,
    async () => model,
    (given) => {
      ({ ear, node } = given);
    },
  );

  const finals = () =>
    ear.all
      .filter(({ topic }) => topic.includes('/response/'))
      .map(({ text }) => JSON.parse(text) as Response)
      .filter(({ status }) => status === 'ok' || status === 'error');
  /** Asks, and waits for one final response more. */
  const asked = async (body: object, verb = 'query'): Promise<Response> => {
    const before = finals().length;
    await ear.request(verb, body);
    return await until('a response', () => finals()[before]);
  };
  const frameOf = ({ data }: Response) => (resultSchema.parse(data) as Result).frame?.id;

  it('with one transaction for all questions is that of now: the same answer again only while it is young and valid', async () => {
    const robot = { ...question, transaction: 'robot', max_age_ms: 1000 };
    const first = await asked(robot);
    const again = await asked(robot);
    expect(frameOf(again)).toBe(frameOf(first));
    await sleep(1100);
    const later = await asked(robot);
    expect(later.status).toBe('ok');
    expect(frameOf(later)).not.toBe(frameOf(first));
    const { valid_until, frame } = later.data as Result;
    expect(Date.parse(valid_until ?? '')).toBeGreaterThan(Date.now());
    expect(Date.now() - Date.parse(frame?.ts ?? '')).toBeLessThan(1000);
    const brief = { ...question, transaction: 'robot', max_age_ms: 60_000, ttl_ms: 500 };
    const valid = await asked(brief);
    await sleep(600);
    expect(frameOf(await asked(brief))).not.toBe(frameOf(valid));
  });

  it('that would be over before the answer is there ends the question with EXPIRED', async () => {
    lookMs = 2000;
    const begun = performance.now();
    const { error } = await asked({ ...question, transaction: 'late', ttl_ms: 300 });
    expect(error).toMatchObject({ code: 'EXPIRED', retryable: true });
    expect(performance.now() - begun).toBeLessThan(1500); // at once, not when the engine is done
    lookMs = 0;
  });

  it('of a picture is asked for too, and a lost camera gives none', async () => {
    const camera = node.service.cameras.get('kitchen');
    expect((await asked({ transaction: 'p1' }, 'snapshot')).status).toBe('ok');
    await camera?.stop();
    await until('it is old', () => (camera?.status().frameAgeMs ?? 0) > 2100);
    expect((await asked({ transaction: 'p2' }, 'snapshot')).error).toMatchObject({ code: 'STALE_FRAME', retryable: true });
    expect((await asked({ transaction: 'p3', max_age_ms: 60_000 }, 'snapshot')).status).toBe('ok');
    expect((await asked({ ...question, transaction: 'robot' })).error?.code).toBe('STALE_FRAME');
    camera?.start();
    await until('it is back', () => (camera?.status().frameAgeMs ?? 9999) < 500);
    expect((await asked({ ...question, transaction: 'robot' })).status).toBe('ok'); // the refusal is not remembered
  });

  it('is no matter where there is no place: then it is said when to come again', async () => {
    lookMs = 400;
    for (const transaction of ['a', 'b']) await ear.request('query', { ...question, transaction });
    const { error } = await asked({ ...question, transaction: 'c' });
    expect(error?.code).toBe('QUEUE_FULL');
    expect(error?.retry_after_ms).toBeGreaterThan(0);
    lookMs = 0;
    for (const transaction of ['a', 'b']) await ear.response(transaction);
  });

  it.each([
    ['query', { watch: 'constructor' }, 'UNKNOWN_WATCH'],
    ['query', { ...question, camera: 'constructor' }, 'UNKNOWN_CAMERA'],
    ['snapshot', { camera: 'constructor' }, 'UNKNOWN_CAMERA'],
    ['watch/delete', { watch: 'constructor' }, 'UNKNOWN_WATCH'],
    ['camera/restart', { camera: 'constructor' }, 'UNKNOWN_CAMERA'],
    ['watch/put', { watch: 'w', spec: { ...LAMP, camera: 'constructor' } }, 'UNKNOWN_CAMERA'],
  ])('names that every object has are unknown like others: %s %j', async (verb, body, code) => {
    expect((await asked({ ...body, transaction: 17 }, verb)).error?.code).toBe('SCHEMA'); // and the refusal can be matched:
    expect(finals().at(-1)?.transaction).toBe('17');
    expect((await asked(body, verb)).error?.code).toBe(code);
  });
});
