import { once } from 'node:events';
import { connect } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import type { Check } from '../../src/http/health.js';
import { HttpServer } from '../../src/http/server.js';

const servers: HttpServer[] = [];
afterEach(async () => {
  for (const server of servers.splice(0)) await server.stop();
});

async function start({ live = [], ready = [] }: { live?: Check[]; ready?: Check[] } = {}, port = 0) {
  const server = new HttpServer({
    host: '127.0.0.1',
    port,
    live: () => live,
    ready: () => ready,
    metrics: async () => ({ contentType: 'text/plain; version=0.0.4', text: 'mipha_x 1\n' }),
  });
  servers.push(server);
  const taken = await server.start();
  return { server, port: taken, url: `http://127.0.0.1:${taken}` };
}

describe('HTTP', () => {
  it('says 200 while every check passes, and 503 otherwise', async () => {
    const ready: Check[] = [
      { name: 'model', ok: true },
      { name: 'camera', ok: true },
    ];
    const { url } = await start({ ready });
    expect((await fetch(`${url}/livez`)).status).toBe(200);
    expect((await fetch(`${url}/readyz`)).status).toBe(200);
    ready[1] = { name: 'camera', ok: false, detail: 'no frame for 12 s' };
    const response = await fetch(`${url}/readyz`);
    expect({ status: response.status, text: await response.text() }).toEqual({ status: 503, text: 'not ok\n' });
    const verbose = await fetch(`${url}/readyz?verbose`);
    expect({ status: verbose.status, body: await verbose.json() }).toEqual({ status: 503, body: { ok: false, checks: ready } });
    expect((await fetch(`${url}/livez`)).status).toBe(200);
  });

  it('gives metrics', async () => {
    const { url } = await start();
    const response = await fetch(`${url}/metrics`);
    expect({ type: response.headers.get('content-type'), text: await response.text() }).toEqual({
      type: 'text/plain; version=0.0.4',
      text: 'mipha_x 1\n',
    });
  });

  it('answers a failure of its sources with 500 and lives on', async () => {
    const server = new HttpServer({
      host: '127.0.0.1',
      port: 0,
      live: () => {
        throw new Error('broken check');
      },
      ready: () => [],
      metrics: () => Promise.reject(new Error('broken metrics')),
    });
    servers.push(server);
    const url = `http://127.0.0.1:${await server.start()}`;
    expect((await fetch(`${url}/livez`)).status).toBe(500);
    expect((await fetch(`${url}/metrics`)).status).toBe(500);
    expect((await fetch(`${url}/readyz`)).status).toBe(200);
  });

  it('knows nothing else', async () => {
    const { url } = await start();
    expect((await fetch(`${url}/`)).status).toBe(404);
    expect((await fetch(`${url}/livez/x`)).status).toBe(404);
    expect((await fetch(`${url}/livez`, { method: 'HEAD' })).status).toBe(200);
    const post = await fetch(`${url}/readyz`, { method: 'POST', body: 'x'.repeat(100_000) });
    expect({ status: post.status, allow: post.headers.get('allow') }).toEqual({ status: 405, allow: 'GET, HEAD' });
    expect((await fetch(`${url}/livez`, { headers: { 'x-long': 'x'.repeat(20_000) } })).status).toBe(431);
  });

  it("takes it as nobody's fault when a client leaves in the middle of its body", async () => {
    const faults: unknown[] = [];
    const server = new HttpServer({
      host: '127.0.0.1',
      port: 0,
      live: () => [],
      ready: () => [],
      mounts: [(app, { bodies }) => void app.post('/sink', async (c) => await bodies.json(c, async () => c.text('ok')))],
      onFault: (error) => faults.push(error),
    });
    servers.push(server);
    const port = await server.start();
    for (const end of ['destroy', 'resetAndDestroy'] as const) {
      const socket = connect(port, '127.0.0.1').on('error', () => {});
      await once(socket, 'connect');
      socket.write('POST /sink HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 5000\r\n\r\n{"a"');
      await new Promise((resolve) => setTimeout(resolve, 50));
      socket[end]();
    }
    expect((await fetch(`http://127.0.0.1:${port}/livez`)).status).toBe(200);
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(faults).toEqual([]);
  });

  it('names the option when it cannot listen', async () => {
    const { port } = await start();
    const taken = start({}, port);
    await expect(taken).rejects.toMatchObject({ code: 'ERR_CONFIG', details: { issues: [{ path: 'http.port', expected: 'a port that is free' }] } });
    const elsewhere = new HttpServer({
      host: '192.0.2.1',
      port: 0,
      live: () => [],
      ready: () => [],
      metrics: async () => ({ contentType: '', text: '' }),
    });
    await expect(elsewhere.start()).rejects.toMatchObject({ code: 'ERR_CONFIG', details: { issues: [{ path: 'http.host' }] } });
    await elsewhere.stop();
  });

  it('leaves no connection behind when it stops', async () => {
    const { server, port } = await start();
    const idle = connect(port, '127.0.0.1');
    const half = connect(port, '127.0.0.1');
    await Promise.all([once(idle, 'connect'), once(half, 'connect')]);
    half.write('GET /livez HTTP/1.1\r\nHost: x\r\n');
    const closed = [idle, half].map(
      (socket) =>
        new Promise((done) =>
          socket
            .on('error', () => {})
            .on('close', done)
            .resume(),
        ),
    );
    await server.stop();
    await Promise.all(closed);
    await server.stop();
    await expect(fetch(`http://127.0.0.1:${port}/livez`)).rejects.toThrow();
  });
});
