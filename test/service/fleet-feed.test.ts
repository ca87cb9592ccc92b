/** The fleet as the page gets it: all nodes of a broker while somebody looks, what is gone and what cannot be read, and no connection otherwise. */
import { writeFile } from 'node:fs/promises';
import { connectAsync, type MqttClient } from 'mqtt';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { Reader } from '../../src/page/feed.js';
import { readFleet } from '../../src/pool/fleet.js';
import { FleetFeed } from '../../src/service/page/fleet-feed.js';
import { publishMember } from '../support/fleet.js';
import { freePort, type Mosquitto, startMosquitto, until } from '../support/mosquitto.js';
import { describeWith } from '../support/programs.js';

const OPTIONS = { protocol: '5', keepaliveS: 15, maxPacketBytes: 1_000_000 } as const;

/** The newest of each topic, as a page has it. */
function follow(reader: Reader): Map<string, unknown> {
  const topics = new Map<string, unknown>();
  void (async () => {
    for (let lines = await reader.next(100); lines !== null; lines = await reader.next(100))
      for (const line of lines) {
        const { topic, payload } = JSON.parse(line);
        if (payload === '') topics.delete(topic);
        else topics.set(topic, payload);
      }
  })();
  return topics;
}
const troubleIn = (topics: Map<string, unknown>) => (topics.get('broker') as { trouble: string | null } | undefined)?.trouble;

describeWith(['mosquitto'], 'the fleet of the page', () => {
  let mosquitto: Mosquitto;
  let client: MqttClient;
  beforeAll(async () => {
    mosquitto = await startMosquitto();
    client = await connectAsync(mosquitto.url, { reconnectPeriod: 100 });
    client.on('error', () => {});
  });
  afterAll(async () => {
    await client.endAsync(true);
    await mosquitto[Symbol.asyncDispose]();
  });

  it('is what mipha fleet reads, follows what changes, and rests when nobody looks', async () => {
    await publishMember(client, 'press-1', { labels: { site: 'hall-2' } });
    await publishMember(client, 'press-2', { online: false, alert: 'The disk is full' });
    const feed = new FleetFeed({ ...OPTIONS, url: mosquitto.url, clientId: 'page-fleet' }, 'mipha');
    const connections = () => mosquitto.log.match(/New client connected .* as page-fleet/g)?.length ?? 0;
    expect(connections()).toBe(0);
    const reader = feed.read();
    const topics = follow(reader);
    await until('all of it', () => troubleIn(topics) === null);
    const read = await readFleet({ url: mosquitto.url });
    for (const { healthAgeMs, ...node } of read) {
      const { healthAt, ...told } = topics.get(`node/${node.node}`) as { healthAt: string };
      expect(told).toEqual(node);
      expect(Math.abs(Date.now() - Date.parse(healthAt) - (healthAgeMs as number))).toBeLessThan(2000);
    }
    expect([...topics.keys()].sort()).toEqual(['broker', 'node/press-1', 'node/press-2']);
    await publishMember(client, 'press-1', { draining: true });
    await until('the change', () => (topics.get('node/press-1') as { draining: boolean }).draining);
    for (const leaf of ['info', 'health', 'availability', 'alert/test'])
      await client.publishAsync(`mipha/v1/press-2/${leaf}`, '', { retain: true, qos: 1 });
    await until('it is gone', () => !topics.has('node/press-2'));
    await mosquitto.stop();
    await until('the trouble', () => typeof troubleIn(topics) === 'string');
    expect(topics.has('node/press-1')).toBe(true); // as it was
    await mosquitto.start(); // with nothing remembered
    await until('what is gone', () => troubleIn(topics) === null && !topics.has('node/press-1'));
    const before = connections();
    reader.close();
    await until('it rests', () => /Client page-fleet .*disconnected/.test(mosquitto.log.slice(mosquitto.log.lastIndexOf('as page-fleet'))), 20_000);
    expect(connections()).toBe(before);
    const again = follow(feed.read());
    await until('it is there again', () => troubleIn(again) === null);
    await feed.stop();
  }, 60_000);

  it('says that the broker cannot be reached, and is there once it can', async () => {
    const port = await freePort();
    const feed = new FleetFeed({ ...OPTIONS, url: `mqtt://127.0.0.1:${port}`, clientId: 'late-fleet' }, 'mipha');
    const topics = follow(feed.read());
    await until('the trouble', () => /ECONNREFUSED|refused|reach/i.test(troubleIn(topics) ?? ''));
    await feed.stop();
  });

  it('knows only its own node where the access list hides the others', async () => {
    const acl = 'user node-1\ntopic read mipha/v1/node-1/availability\ntopic read mipha/v1/node-1/info\nuser writer\ntopic write #\n';
    await using strict = await startMosquitto({ users: { 'node-1': 'one', writer: 'two' }, acl });
    const writer = await connectAsync(strict.url, { username: 'writer', password: 'two' });
    for (const id of ['node-1', 'node-2']) await publishMember(writer, id, {});
    await writeFile(`${strict.folder}/one`, 'one\n', { mode: 0o600 });
    const feed = new FleetFeed({ ...OPTIONS, url: strict.url, clientId: 'n1', username: 'node-1', passwordFile: `${strict.folder}/one` }, 'mipha');
    const topics = follow(feed.read());
    await until('all it may read', () => troubleIn(topics) === null);
    expect([...topics.keys()].sort()).toEqual(['broker', 'node/node-1']);
    expect(topics.get('node/node-1')).toMatchObject({ online: true, healthAt: null });
    await feed.stop();
    await writer.endAsync(true);
  });
});
