/** Everything that stands between a stranger and the node: tokens, cookies, roles, names, origins, the limit of tries. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import type { Mount } from '../../src/http/app.js';
import { Hosts } from '../../src/http/hosts.js';
import { SESSION_MS, Sessions } from '../../src/http/sessions.js';
import { readTokens } from '../../src/http/tokens.js';
import { networkOf, Tries } from '../../src/http/tries.js';
import { redactor } from '../../src/redact.js';
import { JSON_TYPE, newToken, open, type Port, say, tokensOf } from './support.js';

const [viewer, operator] = [newToken(), newToken()];
/** What only operators may do, though there is no such deed yet. */
const deed: Mount = (app, { access }) => {
  app.post('/deed', access.needs('operator'), (c) => c.text('done'));
  app.post('/look', access.needs('viewer'), (c) => c.text('seen'));
};

const bearer = (token: string) => ({ Authorization: `Bearer ${token}` });
const login = async (port: number, token: string, headers: Record<string, string> = {}) =>
  await say(port, '/login', { method: 'POST', headers: { ...JSON_TYPE, ...headers }, body: JSON.stringify({ token }) });
const cookieOf = (header: string[] | undefined) => header?.[0]?.split(';')[0] ?? '';

describe('a port with tokens', () => {
  let port: Port;
  beforeAll(async () => {
    port = await open({
      tokens: await tokensOf([
        ['viewer', viewer],
        ['operator', operator],
      ]),
      mounts: [deed],
    });
  });
  afterAll(() => port[Symbol.asyncDispose]());

  it('tells probes one word, and nobody else anything', async () => {
    for (const path of ['/livez', '/readyz']) expect((await say(port.port, path)).status).toBe(200);
    for (const path of ['/livez?verbose', '/readyz?verbose=1', '/readyz?x=1&verbose', '/metrics']) {
      const { status, text, headers } = await say(port.port, path);
      expect({ path, status, authenticate: headers['www-authenticate'] }).toEqual({ path, status: 401, authenticate: 'Bearer realm="mipha"' });
      expect(text).not.toMatch(/engine|mipha_x|process/);
    }
    expect((await say(port.port, '/readyz?verbose', { headers: bearer(viewer) })).text).toContain('engine');
    expect((await say(port.port, '/metrics', { headers: bearer(operator) })).text).toBe('mipha_x 1\n');
  });

  it.each([
    ['//metrics'],
    ['/metrics/'],
    ['/./metrics'],
    ['/x/../metrics'],
    ['/%6detrics'],
    ['/metrics%00'],
    ['/METRICS'],
    ['/metrics;x'],
    ['/readyz/?verbose'],
    ['/readyz?%76erbose'],
  ])('is not led around its rules by %s', async (path) => {
    const { status, text } = await say(port.port, path);
    expect([400, 401, 404]).toContain(status);
    expect(text).not.toMatch(/mipha_x|engine/);
  });

  it('knows roles', async () => {
    const ask = async (path: string, token: string) => (await say(port.port, path, { method: 'POST', headers: bearer(token) })).status;
    expect([await ask('/look', viewer), await ask('/deed', viewer), await ask('/look', operator), await ask('/deed', operator)]).toEqual([
      200, 403, 200, 200,
    ]);
  });

  it.each([
    ['Basic', `Basic ${Buffer.from(`x:${viewer}`).toString('base64')}`],
    ['the token alone', viewer],
    ['nothing', 'Bearer '],
    ['two', `Bearer ${viewer} ${operator}`],
    ['one cut short', `Bearer ${viewer.slice(0, -1)}`],
    ['one too long', `Bearer ${viewer}0`],
    ['one in capitals', `Bearer ${viewer.toUpperCase()}`],
  ])('refuses %s as a token', async (_, authorization) => {
    await using fresh = await open({ tokens: await tokensOf([['viewer', viewer]]) });
    const { status, text } = await say(fresh.port, '/metrics', { headers: { Authorization: authorization } });
    expect(status).toBe(401);
    expect(text).not.toContain(viewer.slice(0, 8));
  });

  it('exchanges a token for a cookie that scripts and other sites cannot use, until it is given back', async () => {
    const { status, headers, text } = await login(port.port, viewer);
    expect({ status, body: JSON.parse(text) }).toEqual({ status: 200, body: { role: 'viewer' } });
    expect(headers['set-cookie']?.[0]).toMatch(/^mipha_session=[\w-]{43}; Path=\/; Max-Age=86400; HttpOnly; SameSite=Strict$/);
    const Cookie = cookieOf(headers['set-cookie']);
    const origin = { Cookie, Origin: `http://127.0.0.1:${port.port}` };
    expect((await say(port.port, '/metrics', { headers: { Cookie } })).status).toBe(200);
    expect((await say(port.port, '/look', { method: 'POST', headers: origin })).status).toBe(200);
    expect((await say(port.port, '/deed', { method: 'POST', headers: origin })).status).toBe(403);
    expect((await say(port.port, '/look', { method: 'POST', headers: { Cookie } })).status, 'without Origin').toBe(403);
    expect((await say(port.port, '/metrics', { headers: { Cookie: `a=b; ${Cookie}x` } })).status).toBe(401);
    expect((await say(port.port, '/metrics', { headers: { Cookie: 'mipha_session=' } })).status).toBe(401);
    const left = await say(port.port, '/logout', { method: 'POST', headers: origin });
    expect([left.status, left.headers['set-cookie']?.[0]]).toEqual([204, expect.stringContaining('Max-Age=0')]);
    expect((await say(port.port, '/metrics', { headers: { Cookie } })).status).toBe(401);
  });

  it('says Secure where a proxy speaks TLS', async () => {
    await using tls = await open({ tokens: await tokensOf([['viewer', viewer]]), behindTls: true });
    expect((await login(tls.port, viewer)).headers['set-cookie']?.[0]).toMatch(/; Secure$/);
  });

  it.each([
    ['no JSON', 'token', 400],
    ['no object', '"x"', 400],
    ['more than a token', JSON.stringify({ token: viewer, role: 'operator' }), 400],
    ['a list', JSON.stringify({ token: [viewer] }), 400],
    ['a long one', JSON.stringify({ token: 'x'.repeat(5000) }), 413],
  ])('refuses a login with %s', async (_, body, status) => {
    const { status: said, headers } = await say(port.port, '/login', { method: 'POST', headers: JSON_TYPE, body });
    expect([said, headers['set-cookie']]).toEqual([status, undefined]);
  });

  it('counts wrong tokens: after five in a minute the address must wait, but the right one is let in', async () => {
    await using fresh = await open({ tokens: await tokensOf([['viewer', viewer]]) });
    for (let n = 0; n < 5; n++) {
      const { status } = n % 2 === 0 ? await login(fresh.port, newToken()) : await say(fresh.port, '/metrics', { headers: bearer(newToken()) });
      expect(status).toBe(401);
    }
    for (const said of [await login(fresh.port, newToken()), await say(fresh.port, '/metrics', { headers: bearer(newToken()) })]) {
      expect(said.status).toBe(429);
      expect(Number(said.headers['retry-after'])).toBeGreaterThan(50);
      expect(Number(said.headers['retry-after'])).toBeLessThanOrEqual(60);
    }
    expect(fresh.wrong).toEqual(Array.from({ length: 5 }, () => '127.0.0.1'));
    expect((await say(fresh.port, '/metrics', { headers: bearer(viewer) })).status).toBe(200);
  });
});

describe('names and origins', () => {
  const hosts = (host: string) => ({ headers: { Host: host } });

  it('are those of this machine, and those that are listed', async () => {
    await using port = await open({ allowedHosts: ['kitchen.local'] });
    const { port: n } = port;
    for (const host of [
      'localhost',
      'LOCALHOST:1',
      '127.0.0.1',
      `127.0.0.1:${n}`,
      '127.9.9.9',
      '[::1]',
      'kitchen.local',
      'kitchen.local:80',
      'localhost.',
    ]) {
      expect([host, (await say(n, '/metrics', hosts(host))).status]).toEqual([host, 200]);
    }
    for (const host of [
      'evil.example',
      'localhost.evil.example',
      'xkitchen.local',
      '192.0.2.7',
      '127.0.0.1.evil.example',
      '0x7f.1.evil',
      'a b',
      '@localhost',
    ]) {
      const { status, text } = await say(n, '/metrics', hosts(host));
      expect([host, [400, 403].includes(status), text.includes('mipha_x')]).toEqual([host, true, false]);
    }
    expect((await say(n, '/livez', hosts('probe.example'))).status, 'a probe').toBe(200);
    expect((await say(n, '/livez?verbose', hosts('probe.example'))).status).toBe(403);
  });

  it('keep pages of other sites out', async () => {
    await using port = await open();
    const from = async (origin: string, host = `127.0.0.1:${port.port}`) =>
      (await say(port.port, '/metrics', { headers: { Host: host, Origin: origin } })).status;
    expect(await from(`http://127.0.0.1:${port.port}`)).toBe(200);
    expect(await from(`https://localhost:${port.port}`, `localhost:${port.port}`), 'behind TLS').toBe(200);
    for (const origin of [
      'null',
      '',
      'http://evil.example',
      'http://127.0.0.1:1',
      `http://localhost:${port.port}`,
      'file://',
      'chrome-extension://x',
    ])
      expect([origin, await from(origin)]).toEqual([origin, 403]);
  });

  it('by number are that of the address which the connection came to', () => {
    const all = new Hosts('0.0.0.0');
    expect([all.allows('192.0.2.7:9464', '192.0.2.7'), all.allows('192.0.2.7', '::ffff:192.0.2.7'), all.allows('192.0.2.8', '192.0.2.7')]).toEqual([
      true,
      true,
      false,
    ]);
    expect(all.allows('[2001:db8::1]:80', '2001:db8::1')).toBe(true);
    expect(all.allows(undefined, '192.0.2.7')).toBe(false);
  });
});

describe('every answer', () => {
  it('has strict headers, and none tells of the machine', async () => {
    await using port = await open({
      tokens: await tokensOf([['viewer', viewer]]),
      live: () => {
        throw new Error(`broken in /srv/mipha/secret.ts with ${viewer}`);
      },
      mounts: [
        (app) => {
          app.get('/break', () => {
            throw new TypeError("Cannot read properties of undefined (reading 'x')");
          });
        },
      ],
    });
    const answers = [
      await say(port.port, '/readyz'),
      await say(port.port, '/livez'),
      await say(port.port, '/break'),
      await say(port.port, '/nothing'),
      await say(port.port, '/v1/nothing'),
      await say(port.port, '/readyz', { method: 'POST' }),
      await say(port.port, '/metrics'),
      await say(port.port, '/login', { method: 'POST', headers: JSON_TYPE, body: '{' }),
      await say(port.port, '/x', { headers: { Host: 'a/b' } }),
    ];
    expect(answers.map(({ status }) => status)).toEqual([200, 500, 500, 404, 404, 405, 401, 400, 400]);
    for (const { headers, text } of answers) {
      expect(headers['x-content-type-options']).toBe('nosniff');
      expect(headers['content-security-policy']).toMatch(/^default-src 'none'/);
      expect(headers['cache-control']).toBe('no-store');
      expect(text).not.toMatch(/\.ts|\/srv|at |Cannot read|undefined/);
      expect(text).not.toContain(viewer);
    }
    expect(port.faults).toHaveLength(2);
    expect(redactor.text(String((port.faults[0] as Error).message)), 'for the log').not.toContain(viewer);
  });
});

describe('tokens in files', () => {
  let folder = '';
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'mipha-tokens-'));
  });
  afterAll(() => rm(folder, { recursive: true }));
  const read = async (text: string) => {
    await writeFile(join(folder, 'token'), text);
    return await readTokens(join(folder, 'token'), 'viewer', 'http.viewer_token_file');
  };

  it('stand one a line, and are hidden in every text from then on', async () => {
    const [hex, base64] = [newToken(), Buffer.from(newToken(), 'hex').toString('base64url')];
    expect(await read(`${hex}\r\n\n  ${base64}\n`)).toHaveLength(2);
    expect(redactor.text(`a ${hex} b ${base64}`)).toBe('a *** b ***');
  });

  it.each([
    ['nothing', '\n\n', 'which is empty'],
    ['128 bits', newToken().slice(0, 32), '32 characters'],
    ['a word', 'correct horse battery staple', '28 characters'],
    ['hexadecimal digits as long as base64', newToken().slice(0, 43), '43 characters'],
    ['a right one and a short one', `${newToken()}\nshort`, 'token 2 has 5 characters'],
    ['many', Array.from({ length: 17 }, newToken).join('\n'), 'which has 17 lines'],
    ['a great deal', 'x'.repeat(70_000), 'which has 70000'],
  ])('are refused: %s', async (_, text, words) => {
    const failure = await read(text).then(
      () => '',
      (error: Error) => error.message,
    );
    expect(failure).toContain('http.viewer_token_file: expected');
    expect(failure).toContain(words);
    for (const word of text.split(/\s+/).filter((word) => word.length > 4)) expect(failure).not.toContain(word);
  });

  it('are missed by name', async () => {
    await expect(readTokens(join(folder, 'none'), 'viewer', 'http.viewer_token_file')).rejects.toMatchObject({
      code: 'ERR_CONFIG',
      details: { issues: [{ path: 'http.viewer_token_file', received: expect.stringContaining('ENOENT') }] },
    });
  });
});

describe('what is remembered of strangers', () => {
  afterEach(() => vi.useRealTimers());

  it('is forgotten after a minute, and bounded', () => {
    vi.useFakeTimers({ toFake: ['performance'] });
    const tries = new Tries();
    for (let n = 0; n < 5; n++) {
      tries.failed('192.0.2.1');
      vi.advanceTimersByTime(1000);
    }
    expect(tries.waitMs('192.0.2.1')).toBe(55_000);
    expect(tries.waitMs('192.0.2.2')).toBe(0);
    vi.advanceTimersByTime(55_000);
    expect(tries.waitMs('192.0.2.1')).toBe(0);
    for (let n = 0; n < 5; n++) tries.failed('192.0.2.1');
    for (let n = 0; n < 1024; n++) tries.failed(`10.0.${n >> 8}.${n & 255}`);
    expect(tries.waitMs('192.0.2.1'), 'pushed out by others').toBe(0);
  });

  it('counts a whole IPv6 network as one', () => {
    expect(networkOf('2001:db8:1:2:3:4:5:6')).toBe(networkOf('2001:db8:1:2::1'));
    expect(networkOf('2001:db8:1:2::1')).not.toBe(networkOf('2001:db8:1:3::1'));
    expect(networkOf('::ffff:192.0.2.1')).toBe('192.0.2.1');
    expect([networkOf('::1'), networkOf('fe80::1%eth0')]).toEqual(['0:0:0:0', 'fe80:0:0:0']);
  });

  it('ends after a day, and the oldest of too many ends first', () => {
    vi.useFakeTimers({ toFake: ['performance'] });
    const sessions = new Sessions();
    const first = sessions.begin('viewer');
    vi.advanceTimersByTime(SESSION_MS - 1);
    expect(sessions.role(first)).toBe('viewer');
    vi.advanceTimersByTime(1);
    expect(sessions.role(first)).toBeNull();
    const many = Array.from({ length: 257 }, () => sessions.begin('operator'));
    expect([sessions.role(many[0] as string), sessions.role(many[1] as string), sessions.role(many[256] as string)]).toEqual([
      null,
      'operator',
      'operator',
    ]);
  });
});
