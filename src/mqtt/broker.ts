/** A small MQTT 3.1.1 broker inside this process, on loopback only: for the demo and for tests. */
import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { Aedes } from 'aedes';
import { MiphaError } from '../errors.js';

export interface Broker extends AsyncDisposable {
  url: string;
  port: number;
  /** Drops every client and stops listening. */
  close(): Promise<void>;
}

/** `port` 0 takes a free one. Throws ERR_MQTT when it cannot listen. */
export async function startBroker(port = 0): Promise<Broker> {
  const aedes = await Aedes.createBroker();
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
    aedes.handle(socket);
  });
  server.listen(port, '127.0.0.1');
  try {
    await once(server, 'listening');
  } catch (cause) {
    await new Promise<void>((done) => aedes.close(done));
    throw new MiphaError('ERR_MQTT', `The broker cannot listen on 127.0.0.1:${port}: ${(cause as Error).message}`, { cause });
  }
  const address = server.address() as AddressInfo;
  let closed: Promise<void> | undefined;
  const close = async () => {
    const stopped = once(server, 'close');
    server.close();
    await new Promise<void>((done) => aedes.close(done));
    for (const socket of sockets) socket.destroy();
    await stopped;
  };
  const closeOnce = () => {
    closed ??= close();
    return closed;
  };
  return { url: `mqtt://127.0.0.1:${address.port}`, port: address.port, close: closeOnce, [Symbol.asyncDispose]: closeOnce };
}
