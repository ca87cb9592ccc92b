import { once } from 'node:events';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Connection, type ConnectionOptions, type ConnectionTiming } from '../../src/mqtt/connection.js';
import { sleep, until } from '../support/mosquitto.js';

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

  it('that may not be made is not made', async () => {
    server = await script(() => {});
    const made = connect(server.url, {}, { before: async () => false });
    await sleep(100);
    expect(server.sockets.size).toBe(0);
    await made.stop();
  });
});
