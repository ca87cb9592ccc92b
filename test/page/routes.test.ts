/** The routes of the page before a node that is none. */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { RequestError } from '../../src/mqtt/request-error.js';
import { answerLine, frameLine, jpeg, newFolder, openRecorder, START, TestClock } from '../record/support.js';
import { until } from '../support/mosquitto.js';
import { eventsOf, fakePage } from './support.js';

const folders: string[] = [];
afterEach(async () => {
  for (const folder of folders.splice(0)) await rm(folder, { recursive: true });
});

const post = (body: object, headers: Record<string, string> = {}) => ({ method: 'POST', body: JSON.stringify(body), headers });

describe('POST /api/request/<verb>', () => {
  it('answers as over MQTT, with a status that says so', async () => {
    const { page, deeds } = fakePage({}, { 'watch/delete': async ({ watch }) => ({ watch, persisted: true }) });
    const response = await page.request('/api/request/watch/delete', post({ watch: 'door', transaction: 'a' }));
    expect(response.status).toBe(200);
    expect(await response.json()).toMatchObject({
      verb: 'watch/delete',
      status: 'ok',
      data: { watch: 'door', persisted: true },
      transaction: 'a',
      error: null,
    });
    expect(deeds).toEqual([{ who: 'operator 127.0.0.1', verb: 'watch/delete', what: 'door', outcome: 'ok' }]);
  });

  it.each([
    ['fly', '{}', 404, 'UNKNOWN_VERB'],
    ['watch/delete', '{"watch":"A B"}', 400, 'SCHEMA'],
    ['watch/delete', '{"watch"', 400, 'BAD_JSON'],
    ['watch/delete', `{"watch":"${'x'.repeat(5000)}"}`, 413, 'TOO_LARGE'],
    ['watch/delete', '{"watch":"busy"}', 429, 'QUEUE_FULL'],
  ])('refuses %s: case %#', async (verb, body, status, code) => {
    const busy = async () => {
      throw new RequestError('QUEUE_FULL', 'full', { retryAfterMs: 1200 });
    };
    const { page, deeds } = fakePage({}, { 'watch/delete': busy });
    const response = await page.request(`/api/request/${verb}`, { method: 'POST', body });
    expect([response.status, ((await response.json()) as { error: { code: string } }).error.code]).toEqual([status, code]);
    expect(response.headers.get('retry-after')).toBe(code === 'QUEUE_FULL' ? '2' : null);
    expect(deeds).toMatchObject([{ outcome: code }]);
  });

  it('lets a viewer ask, and change nothing', async () => {
    const { page, visitor, deeds } = fakePage({}, { health: async () => ({ up: true }) as never, restart: async () => ({ session: 's' }) });
    visitor.role = 'viewer';
    expect((await page.request('/api/request/health', post({}))).status).toBe(200);
    for (const verb of ['watch/put', 'watch/delete', 'options', 'overrides/drop', 'label', 'camera/restart', 'restart', 'fly'])
      expect([verb, (await page.request(`/api/request/${verb}`, post({}))).status]).toEqual([verb, 403]);
    expect(deeds).toEqual([]);
  });

  it('streams what comes before the answer, and cancels for whoever hangs up', async () => {
    const ended: unknown[] = [];
    const { page } = fakePage(
      {},
      {
        query: async ({ question }, context) => {
          context.accepted();
          context.partial('A ');
          if (question === 'wait')
            await new Promise((_, reject) =>
              context.signal.addEventListener('abort', () => {
                ended.push(context.signal.reason.code);
                reject(context.signal.reason);
              }),
            );
          return { value: 'A cup' } as never;
        },
      },
    );
    const stream = { accept: 'text/event-stream' };
    const whole = await page.request('/api/request/query', post({ question: 'what' }, stream));
    const seen = [];
    for await (const { data } of eventsOf(whole.body)) seen.push(JSON.parse(data));
    expect(seen.map(({ status, data }) => [status, data])).toEqual([
      ['accepted', null],
      ['partial', { text: 'A ' }],
      ['ok', { value: 'A cup' }],
    ]);
    const half = await page.request('/api/request/query', post({ question: 'wait' }, stream));
    const events = eventsOf(half.body);
    await events.next();
    await events.return(undefined);
    await until('the query is cancelled', () => ended.length === 1);
    const hangUp = new AbortController();
    const answer = page.request(new Request('http://localhost/api/request/query', { ...post({ question: 'wait' }), signal: hangUp.signal }));
    setTimeout(() => hangUp.abort(), 20);
    expect(await (await answer).json()).toMatchObject({ status: 'error', error: { code: 'CANCELLED' } });
    expect(ended).toEqual(['CANCELLED', 'CANCELLED']);
  });
});

describe('pictures and the record', () => {
  async function recorded() {
    const folder = await newFolder();
    const clock = new TestClock();
    const recorder = await openRecorder({ folder, clock });
    const door = recorder.watch('door', START);
    for (let n = 0; n < 5; n++) {
      door.frame(frameLine(n, clock), jpeg(3000, n));
      door.line(answerLine(n, clock));
      clock.pass(1000);
    }
    await recorder.close();
    return folder;
  }

  it('gives a frame for ever, or says that it is gone', async () => {
    const { page } = fakePage({ frame: async (camera, id) => (camera === 'front' && id === 'front-1-2' ? Buffer.from('jpeg') : null) });
    const found = await page.request('/api/frames/front/front-1-2.jpg');
    expect([found.status, found.headers.get('content-type'), found.headers.get('cache-control'), await found.text()]).toEqual([
      200,
      'image/jpeg',
      'private, max-age=600, immutable',
      'jpeg',
    ]);
    for (const path of ['front/front-1-3.jpg', 'back/front-1-2.jpg']) expect((await page.request(`/api/frames/${path}`)).status).toBe(404);
  });

  it('pages through what was recorded, with labels, and its pictures', async () => {
    const folder = await recorded();
    await writeFile(
      join(folder, 'door', 'labels.ndjson'),
      `${JSON.stringify({ answer: 'one-4', verdict: 'wrong', value: false, at: new Date().toISOString(), segment: '00000001' })}\n`,
    );
    const { page } = fakePage({ recorded: (watch) => (watch === 'door' ? { folder, isShown: true, isRecorded: true } : null) });
    const get = async (path: string) =>
      (await page.request(path)).json() as Promise<{ lines: { id: string; segment: string; label?: object }[]; next: string | null }>;
    const first = await get('/api/record/door?limit=2');
    expect(first).toMatchObject({
      isRecorded: true,
      missing: [],
      lines: [{ kind: 'answer', id: 'one-4', label: { verdict: 'wrong', value: false } }, { id: 'one-3' }],
    });
    const second = await get(`/api/record/door?limit=9&before=${first.next}`);
    expect(second.lines.map(({ id }) => id)).toEqual(['one-2', 'one-1', 'one-0']);
    expect(second.next).toBeNull();
    const picture = await page.request(`/api/record/door/front-1-2.jpg?segment=${first.lines[0]?.segment}`);
    expect([picture.status, Buffer.from(await picture.arrayBuffer()).equals(Buffer.from(jpeg(3000, 2)))]).toEqual([200, true]);
    for (const path of ['door?before=x', 'door?limit=0', 'door?limit=1001', 'door?kinds=secret'])
      expect((await page.request(`/api/record/${path}`)).status).toBe(400);
    for (const path of ['window', 'door/front-1-99.jpg', 'door/..%2F..%2Flabels.ndjson.jpg'])
      expect((await page.request(`/api/record/${path}`)).status).toBe(404);
  });

  it('says what is missing for a watch to be recorded, and shows no picture that may not be shown', async () => {
    const folder = await recorded();
    const { page } = fakePage({ recorded: () => ({ folder, isShown: false, isRecorded: false }) });
    expect(await (await page.request('/api/record/door')).json()).toMatchObject({
      missing: ['images: true of its camera', 'watches.door.record: true'],
    });
    expect((await page.request('/api/record/door/front-1-2.jpg')).status).toBe(404);
    const none = fakePage({ recorded: () => ({ folder: undefined, isShown: true, isRecorded: false }) }).page;
    expect(await (await none.request('/api/record/door')).json()).toMatchObject({
      lines: [],
      missing: ['recorder.folder or state_dir', 'watches.door.record: true'],
    });
  });
});

describe('the files of the page', () => {
  it('are sent with a policy that lets nothing in from elsewhere, compressed, and again only when they changed', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'mipha-page-'));
    folders.push(folder);
    await mkdir(join(folder, 'assets'));
    await writeFile(join(folder, 'index.html'), '<!doctype html>');
    await writeFile(join(folder, 'assets', 'a.js'), 'let a;');
    const { page } = fakePage({}, {}, folder);
    const index = await page.request('/', { headers: { 'accept-encoding': 'gzip' } });
    expect(Object.fromEntries(index.headers)).toMatchObject({
      'content-encoding': 'gzip',
      'content-type': 'text/html; charset=utf-8',
      'cache-control': 'no-cache',
    });
    const policy = index.headers.get('content-security-policy') ?? '';
    expect(policy).toContain("script-src 'self';");
    expect(policy).not.toMatch(/unsafe|https?:|\*/);
    const again = await page.request('/', { headers: { 'if-none-match': index.headers.get('etag') ?? '' } });
    expect(again.status).toBe(304);
    const script = await page.request('/assets/a.js');
    expect([await script.text(), script.headers.get('cache-control')]).toEqual(['let a;', 'public, max-age=31536000, immutable']);
    for (const path of ['/assets/b.js', '/assets/../../package.json', '/%2e%2e%2fpackage.json']) expect((await page.request(path)).status).toBe(404);
  });

  it('are said to be missing where nobody has built them', async () => {
    const response = await fakePage().page.request('/');
    expect([response.status, await response.text()]).toEqual([503, 'The page was not built: npm run setup builds it.\n']);
  });
});
