import { describe, expect, it } from 'vitest';
import { startBroker } from '../../src/mqtt/broker.js';
import { follow } from '../../src/mqtt/follow.js';
import { resultSchema } from '../../src/mqtt/messages.js';
import { counts } from '../support/counts.js';
import { startMosquitto } from '../support/mosquitto.js';
import { describeWith } from '../support/programs.js';
import { mipha } from './run.js';

const INTERVAL_MS = 200; // of the demo's watches when it is counted
const FRAMES = counts(12, 200);
const WATCHES = ['lamp', 'door', 'person', 'objects', 'cup', 'things'];

/** The figures of the summary. */
function summary(stdout: string) {
  const [, frames, right, total] = /(\d+) frames, (\d+) of (\d+) answers right/.exec(stdout) ?? [];
  const [, followed, changes, slowest, unit] = /(\d+) of (\d+) changes reached the broker .* slowest after ([\d.]+) (ms|s)/.exec(stdout) ?? [];
  const numbers = [frames, right, total, followed, changes].map(Number);
  return { numbers, slowestMs: Number(slowest) * (unit === 's' ? 1000 : 1) };
}

describe('mipha demo', () => {
  // A shared machine may stand still for longer than two intervals; a demo that is late will be late again.
  it('is right about its frames, and the broker follows every change within two intervals', { timeout: 300_000, retry: 2 }, async () => {
    const { code, stdout, stderr } = await mipha(['demo', '--frames', String(FRAMES)]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    const { numbers, slowestMs } = summary(stdout);
    const [frames = 0, right = 0, total = 0, followed = 0, changes = 0] = numbers;
    expect(frames).toBeGreaterThanOrEqual(FRAMES);
    expect(total).toBeGreaterThanOrEqual(FRAMES * WATCHES.length);
    expect(right / total).toBeGreaterThanOrEqual(0.97);
    expect(changes).toBeGreaterThan(0.75 * FRAMES);
    expect(followed).toBe(changes);
    expect(slowestMs).toBeLessThanOrEqual(2 * INTERVAL_MS);
  });

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
