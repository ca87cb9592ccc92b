/** The demo as somebody uses it; how right and how fast it is: demo.test.ts. */
import { describe, expect, it } from 'vitest';
import { startBroker } from '../../src/mqtt/broker.js';
import { follow } from '../../src/mqtt/follow.js';
import { resultSchema } from '../../src/mqtt/messages.js';
import { startMosquitto } from '../support/mosquitto.js';
import { describeWith } from '../support/programs.js';
import { mipha } from './run.js';

const WATCHES = ['lamp', 'door', 'person', 'objects', 'cup', 'things'];

describe('mipha demo', () => {
  it('says how to follow and to ask', async () => {
    const { code, stdout } = await mipha(['demo', '--frames', '3']);
    expect(code).toBe(0);
    expect(stdout).toMatch(/mosquitto_sub -h 127\.0\.0\.1 -p \d+ -t 'mipha\/v1\/demo\/#' -v/);
    expect(stdout).toMatch(/mosquitto_pub -h 127\.0\.0\.1 -p \d+ -t mipha\/v1\/demo\/request\/query -m '\{"question":/);
    expect(stdout.match(/^ *\d+ {2}(ON|OFF) [✓✗]/gm)?.length).toBeGreaterThanOrEqual(3);
  });

  it('ends cleanly on Ctrl-C', async () => {
    const { code, stdout, stderr } = await mipha(['demo'], {
      onOutput: (output, child) => {
        if (!child.killed && /^ *\d+ {2}(ON|OFF)/m.test(output)) child.kill('SIGINT'); // a second one would end it at once
      },
    });
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toMatch(/frames, \d+ of \d+ answers right/);
  });

  it('ends with 1 when too many answers were wrong', async () => {
    const wrong = ['--set', 'watches.lamp.question=Is the door open?', '--set', 'watches.door.question=Is the lamp on?'];
    const { code, stdout } = await mipha(['demo', '--frames', '8', ...wrong]);
    expect(code).toBe(1);
    expect(stdout).toContain('That is below 97 %.');
  });

  it('refuses settings that are none', async () => {
    const { code, stderr } = await mipha(['demo', '--frames', '1', '--set', 'watches.lamp.intervall_ms=3']);
    expect(code).toBe(1);
    expect(stderr).toContain('interval_ms');
  });

  it('reports a broker that is not there', async () => {
    const broker = await startBroker();
    await broker.close();
    const { code, stderr } = await mipha(['demo', '--frames', '1', '--broker', broker.url]);
    expect(code).toBe(1);
    expect(stderr).toMatch(/^mipha: ERR_MQTT: [^\n]+\n$/);
  });
});

describeWith(['mosquitto'], 'mipha demo on a real broker', () => {
  it('publishes with MQTT 5 what anybody can read', async () => {
    await using mosquitto = await startMosquitto();
    const messages = new Map<string, string[]>();
    await using _reader = await follow({ url: mosquitto.url, protocol: '5', maxPacketBytes: 1e6 }, ['#'], (topic, payload) =>
      messages.set(topic, [...(messages.get(topic) ?? []), payload.toString()]),
    );
    const { code } = await mipha(['demo', '--frames', '3', '--broker', mosquitto.url]);
    expect(code).toBe(0);
    expect(messages.get('mipha/v1/demo/availability')).toEqual(['online', 'offline']);
    for (const watch of WATCHES) {
      const results = (messages.get(`mipha/v1/demo/watch/${watch}/result`) ?? []).map((payload) => resultSchema.parse(JSON.parse(payload)));
      const answers = results.filter(({ status }) => status === 'ok');
      expect(answers.length).toBeGreaterThanOrEqual(3);
      expect(answers.every((result) => result.watch === watch && result.model.id === 'mipha-nano')).toBe(true);
    }
  });
});
