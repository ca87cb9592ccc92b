/** What goes out when a setting is changed over MQTT: what changed, and nothing else. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type Mosquitto, sleep, startMosquitto, until } from '../support/mosquitto.js';
import { describeWith } from '../support/programs.js';
import { type Ear, fakeModel, KITCHEN, LAMP, listen, type Node, ROOT, startNode } from './support.js';

describeWith(['mosquitto'], 'a command on a settable topic', () => {
  let mosquitto: Mosquitto;
  let ear: Ear;
  let node: Node;

  beforeAll(async () => {
    mosquitto = await startMosquitto();
    ear = await listen(mosquitto.url, [`${ROOT}/#`, 'homeassistant/#']);
    const model = fakeModel();
    node = await startNode(
      mosquitto.url,
      {
        mqtt: { discovery: { enabled: true } },
        cameras: { kitchen: { ...KITCHEN, enabled: false }, yard: { ...KITCHEN, enabled: false } },
        watches: Object.fromEntries(Array.from({ length: 20 }, (_, i) => [`w${i}`, { ...LAMP }])),
      },
      { loadModel: async () => model },
    );
    await until('everything was published', () => ear.on('watch/w19/interval/state').length > 0 && ear.on('event').length > 0);
  });
  afterAll(async () => {
    await node?.[Symbol.asyncDispose]();
    await ear[Symbol.asyncDispose]();
    await mosquitto[Symbol.asyncDispose]();
  });

  /** What is retained about settings and devices that went out because of the command, with its payload where that is a bare word. */
  async function after(topic: string, word: string): Promise<string[]> {
    await until('peace', async () => {
      const before = ear.all.length;
      await sleep(200);
      return ear.all.length === before;
    });
    ear.all.length = 0;
    await ear.client.publishAsync(`${ROOT}/${topic}`, word, { qos: 1 });
    await sleep(700);
    const about = ear.all.filter(({ topic: of }) => /(\/state|\/status|\/info|\/config)$/.test(of));
    return about.map(({ topic: of, text }) => of.replace(`${ROOT}/`, '') + (text.startsWith('{') ? '' : `=${text}`)).sort();
  }

  it.each([
    ['watch/w3/interval/set', 'soon', 'watch/w3/interval/state=0.1'],
    ['watch/w3/interval/set', '-1', 'watch/w3/interval/state=0.1'],
    ['watch/w3/prompt/set', '', 'watch/w3/prompt/state=Is the lamp on?'],
    ['watch/w3/enabled/set', 'maybe', 'watch/w3/enabled/state=ON'],
    ['camera/yard/enabled/set', 'on', 'camera/yard/enabled/state=OFF'],
  ])('that is refused has the truth said again on its own state topic, once: %s %s', async (topic, word, answer) => {
    expect(await after(topic, word)).toEqual([answer]);
  });

  it('that says what is so already hears that it is, once', async () => {
    expect(await after('watch/w3/enabled/set', 'ON')).toEqual(['watch/w3/enabled/state=ON']);
    expect(await after('camera/yard/enabled/set', 'OFF')).toEqual(['camera/yard/enabled/state=OFF']);
  });

  it('that changes something has that published, and the info that contains it', async () => {
    expect(await after('watch/w3/prompt/set', 'Is the door open?')).toEqual(['info', 'watch/w3/prompt/state=Is the door open?', 'watch/w3/state=']); // nothing is known of the new question
    expect(await after('watch/w3/interval/set', '2.5')).toEqual(['info', 'watch/w3/interval/state=2.5']);
  });

  it('that names nothing known has nothing published', async () => {
    expect(await after('watch/attic/enabled/set', 'ON')).toEqual([]);
    expect(await after('camera/attic/enabled/set', 'ON')).toEqual([]);
  });
});
