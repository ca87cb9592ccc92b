/** Releases from a real web server: gone on with by range, and left where it sends something else, somewhere else, or nothing. */

import { mkdtempSync, rmSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { openPackage } from '../../src/package/verify.js';
import { bring, releaseAt } from '../../src/update/bring.js';
import { HttpsSource } from '../../src/update/https-source.js';
import type { Release } from '../../src/update/release.js';
import { allowedSource } from '../../src/update/source.js';
import { describeWith } from '../support/programs.js';
import { newSigner, refusalOf, scratch, writeRelease } from './helpers.js';
import { serveFolder, type WebServer } from './web-server.js';

const { signal } = new AbortController();

describeWith(['openssl'], 'from a server', () => {
  const folder = mkdtempSync(join(tmpdir(), 'mipha-web-'));
  const signer = newSigner();
  let web: WebServer;
  let release: Release;

  beforeAll(async () => {
    release = await writeRelease(join(folder, 'root', 'model'), 1, '1', signer, 300_000);
    web = await serveFolder(join(folder, 'root'), folder);
  });
  afterAll(async () => {
    await web[Symbol.asyncDispose]();
    rmSync(folder, { recursive: true, force: true });
  });
  beforeEach(() => {
    web.habit = () => false;
    web.asked.length = 0;
  });
  const source = () => allowedSource(`${web.origin}/model`, { origins: [web.origin], ca: web.ca });
  const stalling = () => new HttpsSource(new URL(`${web.origin}/model/`), { ca: web.ca, stallMs: 200 });
  async function models(): Promise<string> {
    const path = join(await scratch(), 'models');
    await mkdir(path);
    return path;
  }

  it('a release comes whole', async () => {
    const from = await source();
    expect(await releaseAt(from, [signer.text], release.sha256, signal)).toMatchObject({ release: '1', id: release.id });
    await openPackage(await bring(await models(), from, release, { signal }));
  });

  it('that breaks off again and again, it goes on byte by byte where it was, without a second copy of anything', async () => {
    let sent = 0;
    web.habit = (request, response) => {
      if (!request.url?.endsWith('weights.safetensors')) return false;
      const from = Number(/=(\d+)-/.exec(request.headers.range ?? '')?.[1] ?? 0);
      const size = release.files['weights.safetensors']?.bytes ?? 0;
      const whole = Buffer.alloc(size, '1 weights.safetensors ').subarray(from, from + 100_000);
      response.writeHead(from === 0 ? 200 : 206, { 'content-length': size - from, 'content-range': `bytes ${from}-${size - 1}/${size}` });
      response.write(whole, () => setTimeout(() => response.destroy(), 50));
      sent += whole.length;
      return true;
    };
    await openPackage(await bring(await models(), await source(), release, { signal, pauseMs: 1 }));
    const ranges = web.asked.filter((line) => line.includes('weights')).length;
    expect(ranges).toBeGreaterThan(2);
    expect(sent).toBe(release.files['weights.safetensors']?.bytes);
  });

  it('that knows no ranges begins a file anew', async () => {
    let cut = true;
    web.habit = (request, response) => {
      delete request.headers.range;
      if (!cut || !request.url?.endsWith('weights.safetensors')) return false;
      cut = false;
      response.writeHead(200, { 'content-length': 300_000 }).write('1 weights.safetensors ', () => setTimeout(() => response.destroy(), 50));
      return true;
    };
    await openPackage(await bring(await models(), await source(), release, { signal, pauseMs: 1 }));
  });

  it.each([
    ['to another server', () => 'https://else.example/secret', 'https://else.example'],
    ['to itself', () => '/other', '127.0.0.1'],
  ])('a redirect %s is refused', async (_, location, to) => {
    web.habit = (_request, response) => {
      response.writeHead(302, { location: location() }).end();
      return true;
    };
    const error = await refusalOf(releaseAt(await source(), [signer.text], undefined, signal));
    expect(error).toMatchObject({ code: 'ERR_UPDATE', retryable: false, details: { reason: 'source' } });
    expect(error.message).toContain(`a redirect to ${to === '127.0.0.1' ? web.origin : to}`);
    expect(web.asked).toHaveLength(1);
  });

  it('of another origin, or whose certificate nobody vouches for, nothing is asked', async () => {
    const rules = { origins: [web.origin] };
    expect(await refusalOf(allowedSource(`${web.origin.replace('127.0.0.1', 'localhost')}/model`, rules))).toMatchObject({
      details: { reason: 'source' },
    });
    const unknown = await allowedSource(`${web.origin}/model`, rules);
    expect((await refusalOf(releaseAt(unknown, [signer.text], undefined, signal))).message).toMatch(/CERT|certificate/i);
    expect(web.asked).toEqual([]);
  });

  it.each([404, 403, 500])('that answers %i is refused with the number', async (status) => {
    web.habit = (_request, response) => {
      response.writeHead(status).end('words of the server');
      return true;
    };
    const error = await refusalOf(bring(await models(), await source(), release, { signal, pauseMs: 1 }));
    expect(error.message).toMatch(new RegExp(`received HTTP ${status}$`));
    expect(web.asked).toHaveLength(status === 500 ? 5 : 1);
  });

  it('that stalls before or after its first byte is left', async () => {
    for (const first of ['', 'x']) {
      web.habit = (_request, response) => {
        if (first !== '') response.writeHead(200, { 'content-length': 5000 }).write(first);
        return true;
      };
      const error = await refusalOf(releaseAt(stalling(), [signer.text], undefined, signal));
      expect(error).toMatchObject({ code: 'ERR_UPDATE', details: { reason: 'unreachable' } });
      expect(error.message).toContain('has sent nothing for 0.2 s');
    }
  });

  it('that sends another file, more than it should, or an endless release.json is refused', async () => {
    web.habit = (request, response) => {
      if (!request.url?.endsWith('golden.json')) return false;
      response.writeHead(200).end(Buffer.alloc(release.files['golden.json']?.bytes ?? 0));
      return true;
    };
    expect(await refusalOf(bring(await models(), await source(), release, { signal }))).toMatchObject({ details: { reason: 'checksum' } });
    web.habit = (_request, response) => {
      const piece = Buffer.alloc(500_000);
      response.writeHead(200);
      const more = () => response.destroyed || response.write(piece, more);
      more();
      return true;
    };
    const [from, empty] = [await source(), await models()];
    for (const work of [() => bring(empty, from, release, { signal }), () => releaseAt(from, [signer.text], undefined, signal)])
      expect((await refusalOf(work())).message).toMatch(/expected (at most )?\d+ bytes, received more/);
  });

  it('gives up at once when nobody wants it any more', async () => {
    const controller = new AbortController();
    web.habit = () => {
      controller.abort(new Error('enough'));
      return true;
    };
    await expect(bring(await models(), await source(), release, { signal: controller.signal })).rejects.toThrow('enough');
  });
});
