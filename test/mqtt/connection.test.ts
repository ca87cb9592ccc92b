import { once } from 'node:events';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Connection, type ConnectionOptions, type ConnectionTiming } from '../../src/mqtt/connection.js';
import type { Link } from '../../src/mqtt/link.js';
import { sleep, until } from '../support/mosquitto.js';
import { linkTo } from './nodes.js';

/** Says what it is told to whoever connects: brokers that no real one plays on command. */
async function script(answer: (socket: Socket, data: Buffer) => void) {
  const sockets = new Set<Socket>();
  const server: Server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => sockets.delete(socket));
    socket.on('data', (data) => answer(socket, data));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const close = async () => {
    for (const socket of sockets) socket.destroy();
    server.close();
    await once(server, 'close');
  };
  return { url: `mqtt://127.0.0.1:${(server.address() as AddressInfo).port}`, sockets, close };
}
const CONNECT = 0x10;
const WELCOME = Buffer.from([0x20, 3, 0, 0, 0]);
const refusal = (reason: number) => Buffer.from([0x20, 3, 0, reason, 0]);
const disconnect = (reason: number) => Buffer.from([0xe0, 2, reason, 0]);
const NEEDS = 'a node needs QoS 1, retained messages and wildcard subscriptions, and some cloud brokers lack one of them (see docs/mqtt.md)';
/** CONNACK with these properties: identifier and value, each one byte. */
const welcome = (...properties: number[]) => Buffer.from([0x20, 3 + properties.length, 0, 0, properties.length, ...properties]);
const WELCOME_4 = Buffer.from([0x20, 2, 0, 0]);
const SUBSCRIBE = 0x82;
/** Grants QoS 0 to every filter of an MQTT 5 SUBSCRIBE of less than 16 KiB, without properties. */
function grudgingly(subscribe: Buffer): Buffer {
  const start = (subscribe[1] as number) < 128 ? 2 : 3;
  let filters = 0;
  for (let at = start + 3; at < subscribe.length; at += 3 + subscribe.readUInt16BE(at)) filters++;
  return Buffer.from([0x90, 3 + filters, ...subscribe.subarray(start, start + 2), 0, ...new Array<number>(filters).fill(0)]);
}

describe('a connection', () => {
  let server: Awaited<ReturnType<typeof script>> | undefined;
  let connection: Connection | undefined;
  let log: string[] = [];
  const connect = (url: string, timing: Partial<ConnectionTiming>, changes: Partial<ConnectionOptions> = {}) => {
    const made = new Connection({
      url,
      protocol: '5',
      clientId: 'c',
      keepaliveS: 15,
      maxPacketBytes: 100_000,
      will: { topic: 'w', payload: 'offline' },
      timing: { firstMs: 20, mostMs: 40, ...timing },
      ...changes,
    });
    made.on('up', () => log.push('up'));
    made.on('down', (reason) => log.push(`down: ${reason}`));
    made.on('alert', (text) => log.push(`alert: ${String(text).replace(/mqtt:\S+ /, '')}`));
    connection = made;
    made.start();
    return made;
  };
  beforeEach(() => {
    log = [];
  });
  afterEach(async () => {
    await connection?.stop();
    await server?.close();
    connection = undefined;
    server = undefined;
  });

  it('that another client took over is not fought for', async () => {
    server = await script((socket, data) => {
      if (data[0] === CONNECT) socket.end(Buffer.concat([WELCOME, disconnect(142)]));
    });
    const made = connect(server.url, { refusedMs: 60_000 });
    await until('down', () => log.length >= 4);
    await sleep(300);
    expect(made.attempts).toBe(1);
    expect(log).toEqual([
      'alert: null',
      'up',
      'down: another client took over this client id',
      'alert: No connection to another client took over this client id',
    ]);
  });

  it.each([
    [135, 'Not authorized'],
    [134, 'Bad User Name or Password'],
    [133, 'Client Identifier not valid'],
  ])('that is refused with %i is tried again slowly', async (reason, text) => {
    server = await script((socket, data) => {
      if (data[0] === CONNECT) socket.write(refusal(reason));
    });
    const made = connect(server.url, { refusedMs: 60_000 });
    await until('an alert', () => log.length > 0);
    await sleep(200);
    expect(made.attempts).toBe(1);
    expect(log).toEqual([`alert: No connection to Connection refused: ${text}`]);
    expect(server.sockets.size).toBe(0);
  });

  it('that is refused because the broker is busy is tried again soon, less and less often', async () => {
    const times: number[] = [];
    server = await script((socket, data) => {
      if (data[0] !== CONNECT) return;
      times.push(performance.now());
      socket.write(refusal(137));
    });
    connect(server.url, { firstMs: 20, mostMs: 320 });
    await until('six attempts', () => times.length >= 6);
    const gaps = times.slice(1).map((time, i) => time - (times[i] as number));
    expect(gaps[4]).toBeGreaterThanOrEqual(155); // at least half of 20 · 2⁴
    expect(gaps[0]).toBeLessThan(gaps[4] as number);
  });

  it('is given up when the broker accepts the socket and says nothing, and when it says rubbish', async () => {
    let rubbish = false;
    server = await script((socket) => {
      if (rubbish) socket.write('HTTP/1.1 400 Bad Request\r\n\r\n');
    });
    const made = connect(server.url, { connectMs: 100 });
    await until('two attempts', () => made.attempts >= 2);
    expect(log[0]).toBe('alert: No connection to connack timeout');
    rubbish = true;
    const before = made.attempts;
    await until('two more', () => made.attempts >= before + 2);
    expect(server.sockets.size).toBeLessThanOrEqual(1);
  });

  it('leaves no socket behind after hundreds of failures', async () => {
    server = await script((socket, data) => {
      if (data[0] === CONNECT) socket.end(Buffer.concat([WELCOME, disconnect(139)]));
    });
    const made = connect(server.url, { firstMs: 1, mostMs: 1 });
    await until('200 attempts', () => made.attempts >= 200, 20_000);
    await made.stop();
    await until('no sockets', () => server?.sockets.size === 0);
    const mine = (process as unknown as { _getActiveHandles(): unknown[] })
      ._getActiveHandles()
      .filter((handle) => handle?.constructor.name === 'Socket');
    expect(mine.filter((socket) => (socket as Socket).remoteAddress === '127.0.0.1')).toEqual([]);
  });

  it.each([
    ['in its CONNACK that it has no retained messages', welcome(0x25, 0), 'the broker offers no retained messages'],
    ['in its CONNACK that it has no QoS 1', welcome(0x24, 0), 'the broker offers no QoS 1'],
    ['in its CONNACK that it has no wildcards', welcome(0x28, 0), 'the broker offers no wildcard subscriptions'],
    ['in its CONNACK that it has neither', welcome(0x24, 0, 0x25, 0), 'the broker offers no QoS 1 and no retained messages'],
    ['by refusing the will, which is retained', refusal(154), 'the broker offers no retained messages'],
    ['by refusing the will, which has QoS 1', refusal(155), 'the broker offers no QoS 1'],
    ['when it disconnects', Buffer.concat([WELCOME, disconnect(154)]), 'the broker offers no retained messages'],
  ])('to a broker that says %s is explained, and tried again slowly', async (_, answer, lack) => {
    server = await script((socket, data) => {
      if (data[0] === CONNECT) socket.write(answer);
    });
    const made = connect(server.url, { refusedMs: 60_000 });
    await until('an alert', () => log.some((line) => line.includes('the broker offers')));
    await sleep(200);
    expect(made.attempts).toBe(1);
    expect(log.at(-1)).toBe(`alert: No connection to ${lack}: ${NEEDS}`);
    await until('no sockets', () => server?.sockets.size === 0);
  });

  it('to a broker that offers QoS 1 and retained messages in so many words is made', async () => {
    server = await script((socket, data) => {
      if (data[0] === CONNECT) socket.write(welcome(0x24, 1, 0x25, 1, 0x28, 1));
    });
    connect(server.url, {});
    await until('up', () => log.includes('up'));
  });

  describe('with MQTT 3.1.1, which has no words for what a broker lacks,', () => {
    const PUBLISH = 0x33; // QoS 1, retained
    const retained = { topic: 't', payload: Buffer.from('x'), qos: 1, retain: true } as const;

    it('explains a broker that closes the connection whenever a retained message comes, and tries slowly after the third time', async () => {
      server = await script((socket, data) => {
        if (data[0] === CONNECT) socket.write(WELCOME_4);
        else if (data[0] === PUBLISH) socket.end();
      });
      const made = connect(server.url, { refusedMs: 60_000 }, { protocol: '3.1.1' });
      made.on('up', (wire) => wire.publish(retained, () => {}));
      await until('three attempts', () => made.attempts === 3 && log.filter((line) => line.startsWith('alert: No')).length === 3);
      await sleep(200);
      expect(made.attempts).toBe(3);
      expect(log.at(-1)).toBe(
        'alert: No connection to the connection was closed, right after a retained message with QoS 1 was sent and though none was ever acknowledged; ' +
          `if this repeats, the broker does not take such messages: ${NEEDS}`,
      );
    });

    it('explains a broker that never acknowledges', async () => {
      server = await script((socket, data) => {
        if (data[0] === CONNECT) socket.write(WELCOME_4);
      });
      const made = connect(server.url, { ackMs: 100 }, { protocol: '3.1.1' });
      made.on('up', (wire) => wire.publish(retained, () => {}));
      await until('an alert', () => log.some((line) => line.startsWith('alert: No')));
      expect(log.at(-1)).toContain(`no acknowledgement within 100 ms, right after a retained message with QoS 1 was sent`);
    });

    it('does not suspect a broker that has acknowledged one', async () => {
      server = await script((socket, data) => {
        if (data[0] === CONNECT) socket.write(WELCOME_4);
        else if (data[0] === PUBLISH) socket.write(Buffer.from([0x40, 2, ...data.subarray(5, 7)])); // topic of one byte
      });
      const made = connect(server.url, { firstMs: 60_000 }, { protocol: '3.1.1' });
      made.on('up', (wire) =>
        wire.publish(retained, () => {
          wire.publish(retained, () => {});
          wire.breakOff('on purpose');
        }),
      );
      await until('an alert', () => log.some((line) => line.startsWith('alert: No')));
      expect(log.at(-1)).toBe('alert: No connection to on purpose');
    });

    it('asks for no more than QoS 0, which is all there is without a session', async () => {
      const asked: number[] = [];
      server = await script((socket, data) => {
        if (data[0] === CONNECT) socket.write(WELCOME_4);
        if (data[0] !== SUBSCRIBE) return;
        asked.push(data.at(-1) as number);
        socket.write(Buffer.from([0x90, 3, ...data.subarray(2, 4), 0]));
      });
      const made = connect(server.url, {}, { protocol: '3.1.1' });
      await new Promise<void>((resolve) => made.on('up', (wire) => void wire.subscribe(['a/#']).then(resolve)));
      expect(asked).toEqual([0]);
    });
  });

  it('to a broker that grants less than QoS 1 with MQTT 5 is explained', async () => {
    server = await script((socket, data) => {
      if (data[0] === CONNECT) socket.write(WELCOME);
      else if (data[0] === SUBSCRIBE) socket.write(Buffer.from([0x90, 5, ...data.subarray(2, 4), 0, 1, 0]));
    });
    const made = connect(server.url, {});
    const refused = new Promise<Error>((resolve) => made.on('up', (wire) => wire.subscribe(['a/#', 'b/#']).catch(resolve)));
    expect((await refused).message).toBe(`the broker grants only QoS 0 for b/#: ${NEEDS}`);
  });

  it('that may not be made is not made', async () => {
    server = await script(() => {});
    const made = connect(server.url, {}, { before: async () => false });
    await sleep(100);
    expect(server.sockets.size).toBe(0);
    await made.stop();
  });
});

describe('a link to a broker that cannot serve it', () => {
  it.each([
    ['says that it keeps nothing', welcome(0x25, 0), 'the broker offers no retained messages'],
    ['grants QoS 0 only', WELCOME, 'the broker grants only QoS 0 for mipha/v1/node-1/availability'],
  ] as const)('tells the operator what it lacks, and comes back slowly (a broker that %s)', async (_, hello, lack) => {
    let connections = 0;
    const server = await script((socket, data) => {
      if (data[0] === CONNECT) socket.write(hello);
      if (data[0] === CONNECT) connections++;
      if (data[0] === SUBSCRIBE) socket.write(grudgingly(data));
    });
    const link: Link = linkTo(server.url, { timing: { firstMs: 10, mostMs: 20, refusedMs: 60_000 } });
    const alerts: string[] = [];
    link.on('alert', (id, text) => alerts.push(`${id}: ${text}`));
    void link.start();
    await until('an alert', () => alerts.length > 0);
    expect(alerts).toEqual([`mqtt-connection: No connection to ${server.url}: ${lack}: ${NEEDS}`]);
    const made = connections;
    await sleep(200);
    expect(connections).toBe(made);
    await link.stop(100);
    await server.close();
  });
});
