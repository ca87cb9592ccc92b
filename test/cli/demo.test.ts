import { describe, expect, it } from 'vitest';
import { startBroker } from '../../src/mqtt/broker.js';
import { connect } from '../../src/mqtt/client.js';
import { resultSchema } from '../../src/mqtt/messages.js';
import { mipha } from './run.js';

describe('mipha demo', () => {
  it('is right about what it draws, and ends by itself', async () => {
    const { code, stdout, stderr } = await mipha(['demo', '--frames', '5']);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toMatch(/mosquitto_sub -h 127\.0\.0\.1 -p \d+ -t 'mipha\/v1\/demo\/#' -v/);
    expect(stdout).toMatch(/5 frames, (\d+) of 30 answers right/);
    expect(stdout.match(/^ *\d+ {2}(true|false) [✓✗]/gm)).toHaveLength(5);
  });

  it('publishes to another broker what anybody can read', async () => {
    await using broker = await startBroker();
    await using reader = await connect(broker.url);
    const messages = new Map<string, string[]>();
    await reader.subscribe('#', (topic, payload) => messages.set(topic, [...(messages.get(topic) ?? []), payload]));
    const { code } = await mipha(['demo', '--frames', '2', '--broker', broker.url]);
    expect(code).toBe(0);
    expect(messages.get('mipha/v1/demo/availability')).toEqual(['online', 'offline']);
    for (const watch of ['lamp', 'door', 'person', 'objects', 'balls', 'cup']) {
      const results = (messages.get(`mipha/v1/demo/watch/${watch}/result`) ?? []).map((payload) => resultSchema.parse(JSON.parse(payload)));
      expect(results.map(({ seq }) => seq)).toEqual([0, 1]);
      expect(results.every((result) => result.watch === watch && result.model.id === 'mipha-nano')).toBe(true);
      expect(messages.get(`mipha/v1/demo/watch/${watch}/state`)).toHaveLength(2);
    }
  });

  it('ends cleanly on Ctrl-C', async () => {
    const { code, stdout, stderr } = await mipha(['demo'], {
      onOutput: (output, child) => {
        if (!child.killed && /^ *\d+ {2}(true|false)/m.test(output)) child.kill('SIGINT'); // a second one would end it at once
      },
    });
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toMatch(/frames?, \d+ of \d+ answers right/);
  });

  it('reports a broker that is not there', async () => {
    const broker = await startBroker();
    await broker.close();
    const { code, stderr } = await mipha(['demo', '--frames', '1', '--broker', broker.url]);
    expect(code).toBe(1);
    expect(stderr).toMatch(/^mipha: ERR_MQTT: [^\n]+\n$/);
  });
});
