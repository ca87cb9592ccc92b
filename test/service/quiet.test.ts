/** The rules for events of watches as a subscriber sees them: what is believed is always published, what is told follows the rules, and health counts the rest. */
import { beforeEach, expect, it } from 'vitest';
import { type Health, healthSchema, infoSchema, type WatchEvent, watchEventSchema } from '../../src/mqtt/messages.js';
import type { ConfigInput } from '../../src/service/config/config.js';
import { type Mosquitto, sleep, until } from '../support/mosquitto.js';
import { describeWith } from '../support/programs.js';
import { nodeForAll } from './stages.js';
import { type Ear, fakeModel, KITCHEN, LAMP, listen, type Node, startNode } from './support.js';

const SECOND = 'Is it the ceiling lamp?';

describeWith(['mosquitto'], 'the events of a watch', () => {
  let mosquitto: Mosquitto;
  let ear: Ear;
  let node: Node;
  const answers: Record<string, unknown> = {};
  const confidences: Record<string, number> = {};
  const model = fakeModel();

  const look = model.look.bind(model);
  model.look = async (image, options) => {
    const seen = await look(image, options);
    const ask = async (question: string, given?: object) => {
      const answer = await seen.ask(question, given);
      if (answers[question] === 'broken') throw new Error('no answer to that');
      const value = answers[question] as never;
      return { ...answer, value, text: String(value), confidence: confidences[question] ?? 1 };
    };
    return { ...seen, ask: ask as never };
  };
  nodeForAll(
    { timezone: 'Asia/Kathmandu', watches: {}, health_interval_ms: 1000 },
    async () => model,
    (given) => {
      ({ mosquitto, ear, node } = given);
    },
  );
  beforeEach(() => {
    for (const question of [LAMP.question, SECOND]) {
      delete answers[question];
      delete confidences[question];
    }
  });

  let watches = 0;
  /** A watch of its own, which believes `first` by now. */
  async function watch(spec: ConfigInput, first: unknown = false) {
    const id = `w${++watches}`;
    answers[LAMP.question] = first;
    const put = async (given: ConfigInput) => {
      const transaction = `put-${id}-${performance.now()}`;
      await ear.request('watch/put', { watch: id, spec: { ...LAMP, interval_ms: 50, change_percent: 0, ...given }, transaction });
      expect(await ear.response(transaction)).toMatchObject({ status: 'ok' });
    };
    await put(spec);
    const state = () => ear.on(`watch/${id}/state`).at(-1)?.text;
    const word = (value: unknown) => (typeof value === 'boolean' ? (value ? 'ON' : 'OFF') : value);
    const believes = (value: unknown) => until(`${id} is ${value}`, () => state() === word(value));
    await believes(first);
    const events = (): WatchEvent[] => ear.on(`watch/${id}/event`).map(({ text }) => watchEventSchema.parse(JSON.parse(text)));
    return {
      put,
      events,
      types: () => events().map(({ event_type }) => event_type),
      see: async (value: unknown) => {
        answers[LAMP.question] = value;
        await believes(value);
      },
      suppressed: () => (node.service.health() as Health).watches[id]?.suppressed,
      end: async () => {
        await ear.request('watch/delete', { watch: id, transaction: `del-${id}` });
        expect(await ear.response(`del-${id}`)).toMatchObject({ status: 'ok' });
      },
    };
  }

  it('the time zone is in info', () => {
    expect(infoSchema.parse(JSON.parse(ear.on('info').at(-1)?.text ?? ''))).toMatchObject({ timezone: 'Asia/Kathmandu' });
  });

  it('for_ms: a value is told when it has stood', async () => {
    const lamp = await watch({ events: { for_ms: 1500 } });
    await lamp.see(true);
    await lamp.see(false);
    await until('it is counted', () => lamp.suppressed()?.for === 1);
    const began = performance.now();
    await lamp.see(true);
    await until('it is told', () => lamp.types().length === 1);
    expect(performance.now() - began).toBeGreaterThan(1400);
    expect(lamp.events()).toMatchObject([{ event_type: 'triggered', previous: false, value: true, confirmed: null }]);
    await lamp.end();
  });

  it('gap_ms: what is true at its end is told', async () => {
    const lamp = await watch({ events: { gap_ms: 1500 } });
    await lamp.see(true);
    await until('it is told', () => lamp.types().length === 1);
    await lamp.see(false);
    expect(lamp.suppressed()).toEqual({ for: 0, quiet: 0, gap: 1, unconfirmed: 0 });
    expect(lamp.types()).toEqual(['triggered']);
    await until('the other is told', () => lamp.types().length === 2);
    expect(lamp.types()).toEqual(['triggered', 'cleared']);
    const [first, second] = lamp.events().map(({ ts }) => Date.parse(ts)) as [number, number];
    expect(second - first).toBeGreaterThan(1400);
    await lamp.end();
  });

  it('remind_ms: one reminder', async () => {
    const lamp = await watch({ events: { remind_ms: 1000 } });
    await lamp.see(true);
    await until('it is told twice', () => lamp.types().length === 2);
    await sleep(1500);
    expect(lamp.events()).toMatchObject([{ event_type: 'triggered' }, { event_type: 'reminder', value: true, previous: true }]);
    await lamp.end();
  });

  it('quiet: nothing is told, and what is true at the end is; errors likewise', async () => {
    const always = { quiet: [{ from: '00:00', to: '24:00' }] };
    const lamp = await watch({ events: always });
    await lamp.see(true);
    await until('it is counted', () => lamp.suppressed()?.quiet === 1);
    await lamp.see(false);
    await lamp.see(true);
    expect(lamp.suppressed()?.quiet).toBe(2);
    answers[LAMP.question] = 'broken';
    await until('the error is counted', () => lamp.suppressed()?.quiet === 3);
    expect(lamp.types()).toEqual([]);
    await lamp.put({});
    await until('all is told', () => lamp.types().length === 2);
    expect(lamp.types()).toEqual(['error', 'triggered']);
    await lamp.end();
  });

  it('off: another agreement for false', async () => {
    const lamp = await watch({ off: { agreement: { n: 4, of: 5 } }, events: {} }, true);
    const asked = () =>
      ear.all
        .filter(({ topic }) => topic.endsWith('/result'))
        .filter(({ text }) => text !== '')
        .map(({ text }) => JSON.parse(text));
    const before = asked().length;
    await lamp.see(false);
    expect(
      asked()
        .slice(before)
        .filter(({ observed }) => observed === false),
    ).toHaveLength(4);
    await lamp.see(true);
    expect(asked().findLast(({ changed }) => changed)).toMatchObject({ value: true, stable_count: 1 });
    await until('both are told', () => lamp.types().length === 2);
    await lamp.end();
  });

  it('confirm: a second question of the same picture, and its confidence in the event', async () => {
    answers[SECOND] = false;
    const lamp = await watch({ events: { confirm: { question: SECOND, min_confidence: 0.7 } } });
    await lamp.see(true);
    await until('it is counted', () => lamp.suppressed()?.unconfirmed === 1);
    const looks = [model.looks, model.asked.filter((question) => question === SECOND).length] as const;
    await until('it is asked again, without a look more', () => {
      const seconds = model.asked.filter((question) => question === SECOND).length - looks[1];
      return seconds > 2 && model.looks - looks[0] <= seconds + 1;
    });
    expect(lamp.types()).toEqual([]);
    answers[SECOND] = true;
    confidences[SECOND] = 0.69;
    await sleep(300);
    expect(lamp.types()).toEqual([]);
    confidences[SECOND] = 0.7;
    await until('it is told', () => lamp.types().length === 1);
    const [event] = lamp.events();
    expect(event).toMatchObject({ event_type: 'triggered', confidence: 1, confirmed: { confidence: 0.7, frame: event?.frame?.id } });
    expect(lamp.suppressed()?.unconfirmed).toBe(1);
    await lamp.end();
  });

  it('confirm with after_ms: of a picture of later', async () => {
    answers[SECOND] = true;
    const lamp = await watch({ events: { confirm: { question: SECOND, after_ms: 800 } } });
    await lamp.see(true);
    await until('it is told', () => lamp.types().length === 1);
    const [event] = lamp.events();
    expect(event?.confirmed?.frame).not.toBe(event?.frame?.id);
    await lamp.end();
  });

  it('health has both, and what is gone is not in it', async () => {
    const lamp = await watch({ events: { for_ms: 60_000 } });
    await lamp.see(true);
    const { text } = await until('health that knows', () =>
      ear.on('health').find((one) => Object.hasOwn(healthSchema.parse(JSON.parse(one.text)).watches, `w${watches}`)),
    );
    expect(JSON.parse(text).watches).toEqual({
      [`w${watches}`]: { events: 0, slowed: false, suppressed: { for: 0, quiet: 0, gap: 0, unconfirmed: 0 } },
    });
    await lamp.end();
    expect((node.service.health() as Health).watches).toEqual({});
  });

  it('rules that are none are refused with words', async () => {
    const refused = async (events: object) => {
      const transaction = `no-${performance.now()}`;
      await ear.request('watch/put', { watch: 'no', spec: { ...LAMP, events }, transaction });
      return (await ear.response(transaction)).error;
    };
    expect(await refused({ quiet: [{ from: '25:00', to: '06:00' }] })).toMatchObject({
      code: 'SCHEMA',
      message: expect.stringContaining('a time from 00:00 to 23:59'),
    });
    expect(await refused({ confirm: {} })).toMatchObject({ code: 'SCHEMA' });
  });

  it('a second question is a question: where those are closed, it must be known', async () => {
    await using closed = await startNode(
      mosquitto.url,
      { node: 'test2', requests: { queries: false }, cameras: { kitchen: KITCHEN } },
      { loadModel: async () => fakeModel() },
    );
    await using other = await listen(mosquitto.url, ['mipha/v1/test2/#']);
    await until('online', () => other.all.some(({ topic, text }) => topic.endsWith('/availability') && text === 'online'));
    const spec = { ...LAMP, events: { confirm: { question: SECOND } } };
    await other.client.publishAsync('mipha/v1/test2/request/watch/put', JSON.stringify({ watch: 'lamp', spec, transaction: 't' }), { qos: 1 });
    const response = await until('a response', () => other.all.find(({ topic }) => topic.endsWith('response/watch/put'))?.text);
    expect(JSON.parse(response).error).toMatchObject({ code: 'FORBIDDEN', message: expect.stringContaining('watches.lamp.events.confirm.question') });
    expect(closed.service.started).toBe(true);
  });
});
