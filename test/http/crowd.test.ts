/** Slow clients, and many: whoever watches the node is heard. */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { expect, it } from 'vitest';
import type { Mount } from '../../src/http/app.js';
import { Connections } from '../../src/http/connections.js';
import { open, say } from './support.js';

/** Sends `head`, and then a byte now and then, for ever; without a head nothing at all. */
async function slow(port: number, head: string): Promise<Socket> {
  const socket = connect(port, '127.0.0.1');
  socket.on('error', () => {});
  await once(socket, 'connect');
  socket.write(head);
  const drip = setInterval(() => head !== '' && socket.write('x'), 200);
  socket.once('close', () => clearInterval(drip)).resume();
  return socket;
}

it.each([
  ['headers', 'GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: '],
  ['bodies', 'POST /sink HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: 60000\r\n\r\n{'],
  ['nothing', ''],
])('200 and 400 connections with slow %s leave health under 100 ms', async (_, head) => {
  const sink: Mount = (app, { bodies }) => {
    app.post('/sink', async (c) => await bodies.json(c, async () => c.text('ok')));
  };
  await using port = await open({ mounts: [sink], mostConnections: 250 }); // so that 400 are more than there is room for
  const sockets: Socket[] = [];
  try {
    for (const count of [200, 400]) {
      while (sockets.length < count) sockets.push(...(await Promise.all(Array.from({ length: 50 }, () => slow(port.port, head)))));
      const tookMs: number[] = [];
      for (let n = 0; n < 11; n++) {
        const begun = performance.now();
        expect((await say(port.port, '/livez')).status).toBe(200);
        tookMs.push(performance.now() - begun);
      }
      expect(tookMs.sort((a, b) => a - b)[5]).toBeLessThan(100); // half of them: a machine does other things too
    }
    expect(sockets.filter(({ destroyed }) => !destroyed).length).toBeLessThanOrEqual(250);
  } finally {
    for (const socket of sockets) socket.destroy();
  }
});

it('slow headers are given up after five seconds', async () => {
  await using port = await open();
  const begun = performance.now();
  await once(await slow(port.port, 'GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: '), 'close');
  expect(performance.now() - begun).toBeGreaterThan(4000);
  expect(performance.now() - begun).toBeLessThan(8000);
});

it('of those who wait for an answer none is sent away, and a crowd at one address leaves others alone', () => {
  const gone: string[] = [];
  const socket = (name: string, remoteAddress: string) => {
    const listeners: (() => void)[] = [];
    return Object.assign(
      {
        remoteAddress,
        once: (_: string, listener: () => void) => listeners.push(listener),
        destroy: () => {
          gone.push(name);
          for (const listener of listeners) listener();
        },
      } as unknown as Socket,
      { name },
    );
  };
  const connections = new Connections(4);
  const other = socket('other', '192.0.2.2');
  const busy = socket('busy', '192.0.2.1');
  connections.accept(other);
  connections.accept(busy);
  connections.complete(busy);
  for (const name of ['a', 'b', 'c', 'd']) connections.accept(socket(name, '192.0.2.1'));
  expect(gone).toEqual(['a', 'b']);
  connections.answered(busy);
  for (const name of ['e', 'f', 'g']) connections.accept(socket(name, '192.0.2.1'));
  expect(gone).toEqual(['a', 'b', 'c', 'd', 'busy']);
  expect(connections.size).toBe(4);
  const full = new Connections(1);
  const answering = socket('answering', '192.0.2.1');
  full.accept(answering);
  full.complete(answering);
  full.accept(socket('newcomer', '192.0.2.3'));
  expect(gone.at(-1)).toBe('newcomer');
});
