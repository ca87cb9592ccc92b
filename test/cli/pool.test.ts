import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseAnswer } from '../../src/cli/as.js';
import { answerSpecSchema } from '../../src/watch/spec.js';
import { type Simulated, simulate } from '../pool/support.js';
import { fakeModel, startNode } from '../service/support.js';
import { type Mosquitto, startMosquitto, until } from '../support/mosquitto.js';
import { describeWith } from '../support/programs.js';
import { mipha } from './run.js';

const QUESTION = 'Is the lamp on?';

describeWith(['mosquitto'], 'mipha pool', () => {
  let broker: Mosquitto;
  const nodes: Simulated[] = [];
  beforeAll(async () => {
    broker = await startMosquitto();
    nodes.push(await simulate(broker, { id: 'press-1', labels: { site: 'hall-1' } }));
    nodes.push(await simulate(broker, { id: 'press-2', labels: { site: 'hall-2' } }));
  });
  afterAll(async () => {
    await Promise.all(nodes.map((node) => node.close()));
    await broker.close();
  });
  const pool = (...args: string[]) => mipha(['pool', ...args, '--broker', broker.url]);

  it('asks whoever fits and prints the answer alone, or all of it as JSON', async () => {
    expect(await pool('ask', QUESTION, '--as', 'boolean')).toEqual({ code: 0, stdout: 'true\n', stderr: '' });
    const { code, stdout, stderr } = await pool('ask', QUESTION, '--as', 'boolean', '--label', 'site=hall-2', '--camera', 'front', '--json');
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(JSON.parse(stdout)).toMatchObject({ node: 'press-2', value: true, status: 'ok' });
    const older = await pool('ask', QUESTION, '--node', 'press-1', '--protocol', '3.1.1', '--json');
    expect(JSON.parse(older.stdout)).toMatchObject({ node: 'press-1' });
  });

  it('says in one line why there is no answer', async () => {
    const nobody = await pool('ask', QUESTION, '--label', 'site=attic');
    expect(nobody).toEqual({
      code: 1,
      stdout: '',
      stderr: 'mipha: ERR_NODE: No node could take this question: press-1: label site is hall-1; press-2: label site is hall-2\n',
    });
    nodes[1]?.drain(true);
    const late = await pool('ask', QUESTION, '--node', 'press-2', '--deadline', '300');
    nodes[1]?.drain(false);
    expect(late.code).toBe(1);
    expect(late.stderr).toMatch(/^mipha: ERR_DEADLINE: No answer within 300 ms: .+\n$/);
    const away = await mipha(['pool', 'ask', QUESTION, '--broker', 'mqtt://127.0.0.1:1']);
    expect(away.code).toBe(1);
    expect(away.stderr).toMatch(
      /^mipha: ERR_MQTT: No connection to mqtt:\/\/127\.0\.0\.1:1: .*ECONNREFUSED.* - check that the broker runs and its address is right\n$/,
    );
    expect(await pool('ask', QUESTION, '--as', 'int:9')).toMatchObject({ code: 2, stdout: '' });
    expect(await pool('ask', QUESTION, '--label', 'site')).toMatchObject({ code: 2, stdout: '' });
    expect(await pool('ask')).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('Option question: expected a question, or a watch that has one'),
    });
  });

  it('shows who could be asked', async () => {
    const { stdout } = await pool('status', '--label', 'site=hall-2', '--json');
    expect(JSON.parse(stdout)).toMatchObject([
      { node: 'press-1', state: 'ready', misfit: 'label site is hall-1' },
      { node: 'press-2', state: 'ready', misfit: null, model: { id: 'mipha-3b', rev: 'r1' }, queue: 0, queueLimit: 16 },
    ]);
    expect((await pool('status')).stdout).toMatch(
      /^press-1 {2}ready {2}mipha-3b {2}queue 0 of 16 {2}.*site=hall-1\npress-2 {2}ready .*site=hall-2\n$/,
    );
    expect((await pool('status', '--base', 'other')).stdout).toBe('no node is known on this broker\n');
  });
});

describeWith(['mosquitto'], 'mipha fleet', () => {
  it('shows nodes, cameras, freshness, versions and alerts from what is retained', async () => {
    await using broker = await startMosquitto();
    const values = {
      labels: { site: 'hall-2' },
      cameras: { kitchen: { uri: 'synthetic://kitchen' }, lost: { uri: 'images:///nowhere', stall_ms: 100 } },
    };
    const node = await startNode(broker.url, { ...values, health_interval_ms: 1000 }, { loadModel: async () => fakeModel() });
    const fleet = async (...args: string[]) => (await mipha(['fleet', '--broker', broker.url, ...args])).stdout;
    try {
      const shown = await until('an alert', async () => {
        const [one] = JSON.parse(await fleet('--json'));
        return one?.alerts.length > 0 && one.cameras.some(({ state }: { state: string }) => state === 'online') ? one : undefined;
      });
      expect(shown).toMatchObject({
        node: 'test',
        online: true,
        version: '0.0.0-test',
        model: { id: 'fake', rev: '0' },
        labels: { site: 'hall-2' },
        draining: false,
        watches: 1,
        lifecycle: 'running',
        backend: 'fake',
        queue: { waiting: 0, limit: 16 },
        alerts: [{ id: 'cameras', level: 'URGENT', message: expect.stringContaining('lost') }],
      });
      const kitchen = shown.cameras.find(({ id }: { id: string }) => id === 'kitchen');
      expect(kitchen).toMatchObject({ state: 'online', frameAgeMs: expect.any(Number) });
      expect(shown.healthAgeMs).toBeLessThan(10_000);
      const text = await fleet();
      expect(text).toMatch(/^test {2}running {2}0\.0\.0-test {2}fake@0 {2}1 watch {2}queue 0 of 16 {2}up .*site=hall-2\n/);
      expect(text).toMatch(
        /\n {2}kitchen {2}online .*frame .* old .*a second\n {2}lost .*no frame\n {2}! URGENT cameras: .*\n1 of 1 online, 1 alert\n$/,
      );
      expect(await fleet('--label', 'site=hall-1')).toBe('no node is known on this broker\n');
    } finally {
      await node[Symbol.asyncDispose]();
    }
    expect(await fleet()).toMatch(/^test {2}offline .*\n0 of 1 online, 0 alerts\n$/s);
  });
});

describe('--as over MQTT', () => {
  it.each([
    ['boolean', { type: 'boolean' }],
    ['int:-1..9', { type: 'number', min: -1, max: 9, decimals: 0 }],
    ['number:0..1', { type: 'number', min: 0, max: 1, decimals: 2 }],
    ['number:0.125..1.5', { type: 'number', min: 0.125, max: 1.5, decimals: 3 }],
    ['choice:red, green', { type: 'choice', choices: ['red', 'green'] }],
    ['text:80', { type: 'text', max_chars: 80 }],
  ])('%s', (spec, answer) => {
    expect(parseAnswer(spec)).toEqual(answer);
    expect(answerSpecSchema.safeParse(parseAnswer(spec)).success).toBe(true);
  });
});
