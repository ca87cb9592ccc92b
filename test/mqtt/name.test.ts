/** A broker's name with several addresses, as that of a cluster has: the next one is tried where nobody listens. */
import dns from 'node:dns';
import { createServer } from 'node:net';
import { afterEach, expect, it, vi } from 'vitest';
import { Connection } from '../../src/mqtt/connection.js';
import { until } from '../support/mosquitto.js';

afterEach(() => vi.restoreAllMocks());

it('is tried address by address, at the first attempt', async () => {
  const server = createServer((socket) => {
    socket.on('data', () => socket.write(Buffer.from([0x20, 3, 0, 0, 0]))); // welcome
    socket.on('error', () => {});
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.3', done));
  const { port } = server.address() as { port: number };
  vi.spyOn(dns, 'lookup').mockImplementation(((_name: string, options: { all?: boolean }, done: (...result: unknown[]) => void) => {
    const all = ['127.0.0.1', '127.0.0.2', '127.0.0.3'].map((address) => ({ address, family: 4 }));
    if (options.all) done(null, all);
    else done(null, '127.0.0.1', 4);
  }) as never);
  const options = { url: `mqtt://fleet.example:${port}`, protocol: '5' as const, clientId: 'c', keepaliveS: 15, maxPacketBytes: 100_000 };
  const connection = new Connection(options);
  let isUp = false;
  connection.on('up', () => {
    isUp = true;
  });
  connection.start();
  await until('up', () => isUp, 5000);
  expect(connection.attempts).toBe(1);
  await connection.stop();
  server.close();
});
