import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { Link, LinkOptions } from '../../src/mqtt/link.js';
import { counts } from '../support/counts.js';
import { type Mosquitto, sleep, startMosquitto, until } from '../support/mosquitto.js';
import { describeWith } from '../support/programs.js';
import { startTcpProxy, type TcpProxy } from '../support/tcp-proxy.js';
import { linkTo, observe, retained, topics } from './nodes.js';

const RESULT = topics.watch('lamp', 'result');
const NODE = new URL('node-process.mjs', import.meta.url).pathname;

function printed(child: ChildProcess, text: string): Promise<void> {
  return new Promise((done) => child.stdout?.on('data', (data: Buffer) => data.toString().includes(text) && done()));
}

describeWith(['mosquitto'], 'when the network fails, a link', () => {
  let broker: Mosquitto;
  let proxy: TcpProxy;
  const links: Link[] = [];
  const link = (changes: Partial<LinkOptions> = {}) => {
    const made = linkTo(`mqtt://127.0.0.1:${proxy.port}`, changes);
    links.push(made);
    return made;
  };
  beforeEach(async () => {
    broker = await startMosquitto();
    proxy = await startTcpProxy(broker.port);
  });
  afterEach(async () => {
    await Promise.all(links.splice(0).map((one) => one.stop(300)));
    await proxy.close();
    await broker.close();
  });

  it.each(['5', '3.1.1'])('is declared offline after its process was killed (MQTT %s)', async (protocol) => {
    await using observer = await observe(broker.url, topics.availability);
    const child = spawn(process.execPath, [NODE, broker.url, protocol, '5'], { stdio: ['ignore', 'pipe', 'inherit'] });
    const exited = new Promise((done) => child.once('exit', done));
    await printed(child, 'online');
    child.kill('SIGKILL');
    await exited;
    const killed = performance.now();
    await until('offline', () => observer.on(topics.availability).at(-1) === 'offline', 12_000);
    // Will delay 2 s, and the broker looks at its wills once a second; the killed socket is closed by the system at once.
    expect(performance.now() - killed).toBeLessThan(2000 + 1.5 * 5000);
    expect(observer.on(topics.availability)).toEqual(['online', 'offline']);
  });

  it.each(['online', 'started'] as const)('says offline and leaves nothing open when its process is told to stop (%s)', async (when) => {
    await using observer = await observe(broker.url, topics.availability);
    if (when === 'started') proxy.refuse(true); // it never gets anywhere
    const child = spawn(process.execPath, [NODE, `mqtt://127.0.0.1:${proxy.port}`, '5', '15'], { stdio: ['ignore', 'pipe', 'inherit'] });
    const exited = new Promise<number | null>((done) => child.once('exit', done));
    await printed(child, when);
    await sleep(when === 'started' ? 500 : 0);
    child.kill('SIGTERM');
    const told = performance.now();
    expect(await exited).toBe(0);
    expect(performance.now() - told).toBeLessThan(5000);
    if (when === 'online') await until('offline', () => observer.on(topics.availability).at(-1) === 'offline');
  });

  it('that is half-open is declared offline by the broker, notices itself, and comes back', async () => {
    await using observer = await observe(broker.url, topics.availability);
    const node = link({ keepaliveS: 2 });
    await node.start();
    const down = new Promise<string>((done) => node.once('offline', done));
    proxy.hold();
    const held = performance.now();
    expect(await down).toMatch(/[Kk]eepalive/);
    expect(performance.now() - held).toBeLessThan(2000 * 1.5 + 3000);
    await until('offline', () => observer.on(topics.availability).at(-1) === 'offline', 2000 + 2000 * 1.5 + 5000);
    proxy.cut();
    proxy.release();
    await until('online', () => observer.on(topics.availability).at(-1) === 'online');
    expect(node.stats().reconnects).toBe(1);
  });

  it('gives a connection up on which acknowledgements do not come, though pings do', async () => {
    const node = link({ timing: { firstMs: 50, mostMs: 100, ackMs: 500 } });
    await node.start();
    const down = new Promise<string>((done) => node.once('offline', done));
    proxy.watch((direction, chunk) => !(direction === 'down' && chunk[0] === 0x40)); // PUBACK
    node.outbox.state(RESULT, 'a');
    expect(await down).toBe('no acknowledgement within 500 ms');
    proxy.watch(undefined);
    await until('back', () => node.connected);
    expect((await retained(broker.url)).get(RESULT)).toBe('a');
  });

  it.each(['5', '3.1.1'] as const)(
    'sends an event again with the same id, marked as replayed, when its acknowledgement was lost (MQTT %s)',
    async (protocol) => {
      await using observer = await observe(broker.url, topics.event);
      const node = link({ protocol });
      await node.start();
      proxy.hold('down'); // the broker gets it, the node never hears of that
      node.outbox.event(topics.event, { id: 'e1', ts: '2026-01-01T00:00:00.000Z', replayed: false });
      await until('the first', () => observer.on(topics.event).length === 1);
      proxy.cut();
      node.outbox.event(topics.event, { id: 'e2', replayed: false });
      proxy.release();
      await until('the second', () => observer.on(topics.event).length >= 3);
      await sleep(200);
      expect(observer.on(topics.event).map((text) => JSON.parse(text))).toEqual([
        { id: 'e1', ts: '2026-01-01T00:00:00.000Z', replayed: false },
        { id: 'e1', ts: '2026-01-01T00:00:00.000Z', replayed: true },
        { id: 'e2', replayed: true },
      ]);
    },
  );

  it.each(['5', '3.1.1'] as const)(
    'never sends an event as new that a subscriber may have seen, whatever the link does (MQTT %s)',
    async (protocol) => {
      await using observer = await observe(broker.url, topics.event);
      const node = link({ protocol });
      await node.start();
      const rounds = counts(6, 15);
      for (let round = 0; round < rounds; round++) {
        // What three broken connections in a row leave unacknowledged is refused, and rightly: on a slow machine no acknowledgement comes in between.
        if (round % 2 === 0) await until('all out', () => node.stats().queued === 0);
        for (let i = 0; i < 10; i++) node.outbox.event(topics.event, { id: `${round}-${i}`, replayed: false });
        if (round % 3 === 0) proxy.hold('down');
        await sleep(5 + 10 * (round % 4));
        proxy.cut();
        proxy.release();
        await until('back', () => node.connected);
      }
      await until('all out', () => node.stats().queued === 0);
      await sleep(300);
      const events = observer.on(topics.event).map((text) => JSON.parse(text) as { id: string; replayed: boolean });
      const fresh = events.filter(({ replayed }) => !replayed).map(({ id }) => id);
      expect(new Set(fresh).size).toBe(fresh.length);
      for (const [i, { id, replayed }] of events.entries()) if (!replayed) expect(events.slice(0, i).some((one) => one.id === id)).toBe(false);
      expect(new Set(events.map(({ id }) => id)).size).toBe(10 * rounds);
    },
  );

  it('gets what was asked of it during a blip', async () => {
    const node = link();
    const got: string[] = [];
    node.on('message', ({ payload }) => got.push(payload.toString()));
    await node.start();
    proxy.refuse(true);
    proxy.cut();
    await until('offline', () => !node.connected);
    await using requester = await observe(broker.url, 'replies');
    await requester.client.publishAsync(topics.request('query'), 'asked in the dark', { qos: 1, properties: { messageExpiryInterval: 20 } });
    await requester.client.publishAsync(topics.request('query'), 'expired in the dark', { qos: 1, properties: { messageExpiryInterval: 1 } });
    await sleep(2600); // mosquitto counts whole seconds
    proxy.refuse(false);
    await until('the request', () => got.length > 0);
    await until('online', () => node.connected);
    expect(got).toEqual(['asked in the dark']);
  });

  it('hides a blip that is shorter than the will delay', async () => {
    await using observer = await observe(broker.url, topics.availability);
    const node = link();
    await node.start();
    proxy.cut();
    await until('back', () => node.stats().reconnects === 1 && node.connected);
    await sleep(3500);
    expect(observer.on(topics.availability)).not.toContain('offline');
  });
});

describeWith(['mosquitto'], 'after an hour without a broker, a link', () => {
  it('has the newest states out within 5 s, and has counted what it dropped', async () => {
    const broker = await startMosquitto();
    await broker.stop();
    const node = linkTo(broker.url, { timing: {} });
    void node.start();
    for (let i = 0; i < 3600 * 30; i++) {
      node.outbox.event(topics.event, { id: String(i), replayed: false });
      node.outbox.state(topics.watch(`w-${i % 30}`, 'result'), String(i), 30);
      node.outbox.transient(topics.log, 'x');
    }
    expect(node.stats()).toMatchObject({ queued: 256 + 30, dropped: { overflow: 108_000 - 256, offline: 108_000 } });
    await broker.start();
    const back = performance.now();
    await until('online', () => node.connected, 5000);
    const newest = await retained(broker.url, 'mipha/v1/node-1/watch/#');
    expect(performance.now() - back).toBeLessThan(5000);
    expect([...newest.values()].map(Number).sort((a, b) => a - b)).toEqual(Array.from({ length: 30 }, (_, i) => 108_000 - 30 + i));
    await node.stop(1000);
    await broker.close();
  });
});

describeWith(['mosquitto'], 'when the broker refuses, a link', () => {
  let broker: Mosquitto | undefined;
  let node: Link | undefined;
  afterEach(async () => {
    await node?.stop(300);
    await broker?.close();
  });
  const withAlerts = (made: Link) => {
    const alerts: string[] = [];
    made.on('alert', (id, text) => alerts.push(`${id}: ${text}`));
    return alerts;
  };

  it('never sends what is larger than the broker takes, and stays connected', async () => {
    broker = await startMosquitto({ config: ['max_packet_size 2000'] });
    node = linkTo(broker.url);
    const alerts = withAlerts(node);
    await node.start();
    node.outbox.state(RESULT, 'x'.repeat(3000));
    node.outbox.event(topics.event, { id: 'big', replayed: false, text: 'x'.repeat(3000) });
    expect(node.outbox.transient(topics.camera('front', 'image'), Buffer.alloc(3000))).toBe(false);
    expect(node.outbox.respond(topics.response('query'), 'x'.repeat(3000))).toBe('too_large');
    node.outbox.state(topics.info, 'y'.repeat(1500));
    await until('the small one', async () => (await retained((broker as Mosquitto).url)).has(topics.info));
    await sleep(500);
    expect(node.stats()).toMatchObject({ connected: true, reconnects: 0, queued: 0, dropped: { too_large: 4 } });
    expect(alerts).toContainEqual(expect.stringMatching(/^mqtt-refused: .*lamp\/result: 30\d\d bytes, at most 2000 may be sent$/));
  });

  it('gives up on a message that ends every connection, where the broker does not say why (3.1.1)', async () => {
    broker = await startMosquitto({ config: ['max_packet_size 2000'] });
    node = linkTo(broker.url, { protocol: '3.1.1' });
    const alerts = withAlerts(node);
    await node.start();
    node.outbox.state(RESULT, 'x'.repeat(3000));
    for (let i = 0; i < 30; i++) node.outbox.state(topics.watch(`w-${i}`, 'state'), 'ON');
    await until('peace', () => node?.connected === true && node.stats().queued === 0 && node.stats().dropped.refused > 0, 15_000);
    const { reconnects } = node.stats();
    expect(reconnects).toBeLessThanOrEqual(4);
    await sleep(1000);
    expect(node.stats()).toMatchObject({ reconnects, connected: true, dropped: { refused: 1 } });
    expect((await retained(broker.url)).size).toBe(31);
    expect(alerts).toContainEqual(
      expect.stringContaining('mqtt-refused: mipha/v1/node-1/watch/lamp/result: the broker broke the connection 3 times'),
    );
    node.outbox.state(RESULT, 'small again');
    await until('the small one', async () => (await retained((broker as Mosquitto).url)).get(RESULT) === 'small again');
  });

  it('keeps trying with a wrong password, says so, and comes up when the password file is right', async () => {
    broker = await startMosquitto({ users: { robot: 'right' } });
    const passwordFile = join(broker.folder, 'password');
    writeFileSync(passwordFile, 'wrong\n');
    node = linkTo(broker.url, { username: 'robot', passwordFile });
    const alerts = withAlerts(node);
    void node.start();
    await until('three attempts', () => (node?.stats().attempts ?? 0) > 3);
    expect(alerts).toEqual([`mqtt-connection: No connection to ${broker.url}: Connection refused: Not authorized`]); // told once
    expect(alerts.join()).not.toContain('wrong');
    writeFileSync(passwordFile, 'right\n');
    await until('online', () => node?.connected === true);
    expect(alerts.at(-1)).toBe('mqtt-connection: null');
    // And the other way round: the account is gone, then it is back.
    await broker.stop();
    await broker.start({ users: { robot: 'changed' } });
    await until('an alert', () => alerts.at(-1)?.includes('Not authorized') === true);
    await broker.stop();
    await broker.start({ users: { robot: 'right' } });
    await until('online', () => node?.connected === true);
  });

  it('says which file it cannot read', async () => {
    broker = await startMosquitto();
    node = linkTo(broker.url, { username: 'robot', passwordFile: join(broker.folder, 'absent') });
    const alerts = withAlerts(node);
    void node.start();
    await until('an alert', () => alerts.length > 0);
    expect(alerts[0]).toMatch(/mqtt\.password_file .*absent cannot be read: ENOENT/);
  });
});

describeWith(['mosquitto', 'openssl'], 'with TLS, a link', () => {
  let broker: Mosquitto | undefined;
  let node: Link | undefined;
  let folder: string;
  const files = (name: string) => ({ certfile: join(folder, `${name}.crt`), keyfile: join(folder, `${name}.key`) });
  const openssl = (...args: string[]) => {
    const { status, stderr } = spawnSync('openssl', args, { cwd: folder });
    if (status !== 0) throw new Error(`openssl ${args.join(' ')}: ${stderr}`);
  };
  const certificate = (name: string, days: string[]) => {
    openssl('req', '-newkey', 'rsa:2048', '-nodes', '-keyout', `${name}.key`, '-out', `${name}.csr`, '-subj', `/CN=${name}`);
    writeFileSync(join(folder, 'ext'), 'subjectAltName=IP:127.0.0.1\n');
    openssl(
      'x509',
      '-req',
      '-in',
      `${name}.csr`,
      '-CA',
      'ca.crt',
      '-CAkey',
      'ca.key',
      '-CAcreateserial',
      '-out',
      `${name}.crt`,
      '-extfile',
      'ext',
      ...days,
    );
  };
  beforeEach(async () => {
    broker = await startMosquitto(); // for its folder and port
    await broker.stop();
    folder = broker.folder;
    openssl('req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-keyout', 'ca.key', '-out', 'ca.crt', '-days', '30', '-subj', '/CN=test ca');
  });
  afterEach(async () => {
    await node?.stop(300);
    await broker?.close();
  });

  it('retries past an expired certificate, and reads its own client certificate again at every attempt', async () => {
    certificate('expired', ['-days', '-1']);
    certificate('good', ['-days', '30']);
    certificate('client', ['-days', '30']);
    const cafile = join(folder, 'ca.crt');
    const running = broker as Mosquitto;
    await running.start({ tls: { cafile, ...files('expired') } });
    const certFile = join(folder, 'node.crt');
    const keyFile = join(folder, 'node.key');
    node = linkTo(`mqtts://127.0.0.1:${running.port}`, { caFile: cafile, certFile, keyFile });
    const alerts: string[] = [];
    node.on('alert', (_, text) => alerts.push(String(text)));
    writeFileSync(certFile, 'rubbish');
    writeFileSync(keyFile, 'rubbish');
    void node.start();
    await until('an alert', () => alerts.length > 0);
    expect(alerts[0]).toContain('No connection to mqtts://');
    openssl('x509', '-in', 'client.crt', '-out', 'node.crt');
    openssl('rsa', '-in', 'client.key', '-out', 'node.key');
    await until('the right alert', () => alerts.at(-1)?.includes('the certificate of the broker has expired') === true);
    await running.stop();
    await running.start({ tls: { cafile, ...files('good'), requireCertificate: true } });
    await until('online', () => node?.connected === true);
    expect(alerts.at(-1)).toBe('null');
  });
});
