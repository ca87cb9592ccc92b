/** What the page runs beside the node: the compiled commands, checking a configuration and trying settings on a record. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Mipha } from '../../src/index.js';
import { runBeside } from '../../src/page/child.js';
import type { PageNode } from '../../src/page/node.js';
import { MAIN } from '../cli/run.js';
import { recordKitchen } from '../replay/kitchen-day.js';
import { until } from '../support/mosquitto.js';
import { NANO } from '../support/nano.js';
import { eventsOf, fakePage } from './support.js';

let folder = '';
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'mipha-page-commands-'));
  await using mipha = await Mipha.load(NANO);
  await recordKitchen(join(folder, 'record'), mipha, 8);
}, 120_000);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const node = (): Partial<PageNode> => ({
  commands: {
    mipha: [process.execPath, MAIN],
    check: ['--as', join(folder, 'there.yaml'), '--set', 'http.port=9'],
    replay: () => ['--backend', 'cpu'],
  },
  recorded: (watch) => (watch === 'lamp' || watch === 'none' ? { folder: join(folder, 'record'), isShown: true, isRecorded: true } : null),
});
const post = (body: unknown, signal?: AbortSignal) => ({
  method: 'POST',
  body: typeof body === 'string' ? body : JSON.stringify(body),
  ...(signal && { signal }),
});

describe('POST /api/config/check', () => {
  it('says what mipha check-config does, with the file and the assignments of the node', async () => {
    const { page } = fakePage(node());
    const wrong = await page.request('/api/config/check', post('node: n\nlog: { level: inf }'));
    expect(await wrong.json()).toMatchObject({
      ok: false,
      issues: [{ path: 'log.level', nearest: 'info', source: join(folder, 'there.yaml'), line: 2 }],
    });
    const right = await page.request('/api/config/check', post('node: n\ncameras: { a: { uri: "file://absent.mp4?loop=true" } }'));
    expect(await right.json()).toMatchObject({ ok: true, issues: [], warnings: [expect.stringContaining(join(folder, 'absent.mp4'))] });
    const secret = await page.request('/api/config/check', post('node: n\nmqtt: { url: "mqtt://me:geheim99@10.0.0.1" }'));
    expect(await secret.text()).not.toContain('geheim99');
  });

  it('takes one at a time, and only from an operator', async () => {
    const { page, visitor } = fakePage(node());
    const both = await Promise.all([1, 2].map(() => page.request('/api/config/check', post('node: n'))));
    expect(both.map(({ status }) => status).sort()).toEqual([200, 429]);
    visitor.role = 'viewer';
    for (const path of ['config/check', 'replay']) expect((await page.request(`/api/${path}`, post('node: n'))).status).toBe(403);
    const none = fakePage().page;
    expect((await none.request('/api/config/check', post('node: n'))).status).toBe(501);
  });
});

describe('POST /api/replay', () => {
  const told = async (body: ReadableStream<Uint8Array> | null) => {
    const all: { event: string; data: string }[] = [];
    for await (const one of eventsOf(body)) all.push(one);
    return all;
  };

  it('tells how far it is and then what the settings would have changed, with addresses of pictures instead of paths', async () => {
    const { page } = fakePage(node());
    const response = await page.request('/api/replay', post({ watch: 'lamp', changes: { question: 'Is the door open?', 'events.gap_ms': 0 } }));
    const events = await told(response.body);
    const shares = events.filter(({ event }) => event === 'progress').map(({ data }) => JSON.parse(data).progress as number);
    expect(shares.length).toBeGreaterThan(0);
    expect(shares).toEqual([...shares].sort((a, b) => a - b));
    const { event, data } = events.at(-1) as { event: string; data: string };
    expect(event).toBe('report');
    const report = JSON.parse(data);
    expect(report).toMatchObject({ watch: 'lamp', lives: 1, labels: null });
    expect(report.flipped).toBeGreaterThan(0);
    expect(data).not.toContain(folder);
    const { picture } = report.flips[0];
    const shown = await page.request(`/${picture}`);
    expect([shown.status, shown.headers.get('content-type')]).toEqual([200, 'image/jpeg']);
  });

  it('says what is wrong in the words of the command', async () => {
    const { page } = fakePage(node());
    const unfit = await told((await page.request('/api/replay', post({ watch: 'lamp', changes: { interval_ms: -1 } }))).body);
    expect(unfit).toEqual([{ event: 'failed', data: expect.stringContaining('interval_ms') }]);
    const nothing = await told((await page.request('/api/replay', post({ watch: 'none' }))).body);
    expect(nothing).toMatchObject([{ event: 'failed' }]);
    expect(nothing[0]?.data).not.toContain(folder);
    for (const body of [{ watch: 'lamp', changes: { '--out': 'x' } }, { watch: 'lamp', since: '--out' }, { watch: '../x' }, '[]'])
      expect([body, (await page.request('/api/replay', post(body))).status]).toEqual([body, 400]);
    expect((await page.request('/api/replay', post({ watch: 'door' }))).status).toBe(404);
  });

  it('is one at a time, and ends when the browser goes', async () => {
    const { page } = fakePage(node());
    const first = await page.request('/api/replay', post({ watch: 'lamp', changes: { question: 'Is there a person?' } }));
    expect((await page.request('/api/replay', post({ watch: 'lamp' }))).status).toBe(429);
    await first.body?.cancel();
    await until('the first has ended', async () => {
      const next = await page.request('/api/replay', post({ watch: 'lamp' }));
      if (next.status !== 200) return false;
      expect((await told(next.body)).at(-1)?.event).toBe('report');
      return true;
    });
  });
});

describe('a command beside the node', () => {
  it('is ended with its signal, and its output is bounded', async () => {
    const abort = new AbortController();
    const endless = runBeside([process.execPath, '-e', 'console.error("here"); setInterval(() => {}, 1000)'], {
      signal: abort.signal,
      onLine: () => abort.abort(),
    });
    await expect(endless).rejects.toThrow(/abort/);
    const flood = await runBeside([process.execPath, '-e', 'const x = "x".repeat(1e6); const w = () => process.stdout.write(x, w); w()'], {
      signal: new AbortController().signal,
    });
    expect(flood.code).toBeNull();
    await expect(runBeside(['/absent/program'], { signal: new AbortController().signal })).rejects.toThrow('ENOENT');
  });
});
