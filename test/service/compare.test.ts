/** What has changed, as a subscriber sees it: since another watch told something, since some time ago; and the watch that is named must be there. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type Result, resultSchema, type WatchEvent, watchEventSchema } from '../../src/mqtt/messages.js';
import { type Mosquitto, startMosquitto, until } from '../support/mosquitto.js';
import { describeWith } from '../support/programs.js';
import { type Ear, fakeModel, KITCHEN, listen, type Node, startNode } from './support.js';

const VISITOR = { camera: 'kitchen', question: 'Is somebody at the door?', interval_ms: 50, change_percent: 0 };
const PARCELS = { ...VISITOR, question: 'How many parcels are there?', answer: { type: 'number', min: 0, max: 9 } };

describeWith(['mosquitto'], 'a node that compares', () => {
  let mosquitto: Mosquitto;
  let ear: Ear;
  let node: Node;
  const answers: Record<string, unknown> = { [VISITOR.question]: false, [PARCELS.question]: 1 };
  const model = fakeModel();

  beforeAll(async () => {
    mosquitto = await startMosquitto();
    ear = await listen(mosquitto.url);
    const look = model.look.bind(model);
    model.look = async (image, options) => {
      const seen = await look(image, options);
      const ask = async (question: string, given?: object) => {
        const answer = await seen.ask(question, given);
        return { ...answer, value: answers[question] as never, text: String(answers[question]), confidence: 0.875 };
      };
      return { ...seen, ask: ask as never };
    };
    const watches = { visitor: VISITOR, parcels: { ...PARCELS, compare: { event: 'visitor' } } };
    node = await startNode(
      mosquitto.url,
      { watches, cameras: { kitchen: { ...KITCHEN, uri: `${KITCHEN.uri}&fps=20` } } },
      { loadModel: async () => model },
    );
    await until('both are answered', () => ['visitor', 'parcels'].every((id) => results(id).at(-1)?.status === 'ok'));
  });
  afterAll(async () => {
    await node[Symbol.asyncDispose]();
    await ear[Symbol.asyncDispose]();
    await mosquitto[Symbol.asyncDispose]();
  });

  const parsed = (watch: string, what: string) => ear.on(`watch/${watch}/${what}`).filter(({ text }) => text !== '');
  const results = (watch: string): Result[] => parsed(watch, 'result').map(({ text }) => resultSchema.parse(JSON.parse(text)));
  const events = (watch: string): WatchEvent[] => parsed(watch, 'event').map(({ text }) => watchEventSchema.parse(JSON.parse(text)));
  const ask = async (verb: string, body: object) => {
    const transaction = `t-${performance.now()}`;
    await ear.request(verb, { ...body, transaction });
    return await ear.response(transaction);
  };

  it('event: from what was seen with the very frame of the other watch, to what is believed now', async () => {
    expect(results('parcels').map(({ compare }) => compare)).toEqual(results('parcels').map(() => null));
    expect(results('visitor').at(-1)?.compare).toBeNull();
    answers[VISITOR.question] = true;
    const [came] = await until('a visitor is told', () => (events('visitor').length > 0 ? events('visitor') : undefined));
    const then = await until('then is known', () => results('parcels').at(-1)?.compare);
    expect(then).toEqual({ changed: false, value: 1, confidence: 0.875, frame: { id: came?.frame?.id, ts: came?.frame?.ts } });
    answers[PARCELS.question] = 2;
    const [event] = await until('it is told', () => (events('parcels').length > 0 ? events('parcels') : undefined));
    expect(event).toMatchObject({ event_type: 'changed', previous: 1, value: 2, confidence: 0.875, compare: { ...then, changed: true } });
    expect(results('parcels').find(({ id }) => id === event?.result)).toMatchObject({ value: 2, changed: true, compare: { ...then, changed: true } });
    answers[PARCELS.question] = 1;
    await until('it is as then', () => results('parcels').at(-1)?.compare?.changed === false);
    expect([events('parcels').length, events('visitor').every(({ compare }) => compare === null)]).toEqual([1, true]);
    answers[PARCELS.question] = 2;
    await until('it is news again', () => events('parcels').length === 2);
    answers[VISITOR.question] = false;
    await until('the other has told something', () => events('visitor').length === 2);
    await until('that is then now', () => results('parcels').at(-1)?.compare?.value === 2);
    expect(events('parcels')).toHaveLength(2);
  });

  it('ago_ms: what differs is told, and when it begins to differ by the clock alone', async () => {
    answers[PARCELS.question] = 3;
    expect(await ask('watch/put', { watch: 'count', spec: { ...PARCELS, compare: { ago_ms: 1000 } } })).toMatchObject({ status: 'ok' });
    await until('then is known', () => results('count').at(-1)?.compare?.value === 3);
    answers[PARCELS.question] = 4;
    await until('it is told', () => events('count').length === 1);
    answers[PARCELS.question] = 3;
    await until('what was believed for a moment is told when that is a second ago', () => events('count').length === 2);
    expect(events('count').map(({ previous, value, compare }) => [previous, value, compare?.value])).toEqual([
      [3, 4, 3],
      [4, 3, 4],
    ]);
    expect(await ask('watch/delete', { watch: 'count' })).toMatchObject({ status: 'ok' });
  });

  it('refuses what cannot be compared with, and the end of what others compare with', async () => {
    const put = async (compare: object) => (await ask('watch/put', { watch: 'no', spec: { ...PARCELS, compare } })).error;
    expect(await put({ event: 'visitr' })).toMatchObject({
      code: 'SCHEMA',
      message: expect.stringMatching(/watches\.no\.compare\.event.*a watch of this configuration \(visitor, parcels, no\).*did you mean visitor/),
    });
    expect(await put({})).toMatchObject({ code: 'SCHEMA', message: expect.stringContaining('ago_ms or event, one of them') });
    expect(await put({ event: 'visitor', ago_ms: 5000 })).toMatchObject({ message: expect.stringContaining('ago_ms or event, not both') });
    expect((await ask('watch/delete', { watch: 'visitor' })).error).toMatchObject({
      code: 'SCHEMA',
      message: expect.stringContaining('watches.parcels.compare.event'),
    });
    expect(await ask('options', { options: { watches: { parcels: { compare: { event: null, ago_ms: 2000 } } } } })).toMatchObject({ status: 'ok' });
    expect(await ask('watch/delete', { watch: 'visitor' })).toMatchObject({ status: 'ok' });
  });
});
