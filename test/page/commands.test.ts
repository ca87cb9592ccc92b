/** What the page runs beside the node: the compiled command that checks a configuration. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { runBeside } from '../../src/page/child.js';
import type { PageNode } from '../../src/page/node.js';
import { MAIN } from '../cli/run.js';
import { fakePage } from './support.js';

let folder = '';
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'mipha-page-commands-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const node = (): Partial<PageNode> => ({
  commands: {
    mipha: [process.execPath, MAIN],
    check: ['--as', join(folder, 'there.yaml'), '--set', 'http.port=9'],
  },
});
const post = (body: string) => ({ method: 'POST', body });

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
    expect((await page.request('/api/config/check', post('node: n'))).status).toBe(403);
    const none = fakePage().page;
    expect((await none.request('/api/config/check', post('node: n'))).status).toBe(501);
  });
});

describe('a command beside the node', () => {
  it('is ended with its signal, and its output is bounded', async () => {
    const abort = new AbortController();
    const endless = runBeside([process.execPath, '-e', 'setInterval(() => {}, 1000)'], { input: '', signal: abort.signal });
    setTimeout(() => abort.abort(), 100);
    await expect(endless).rejects.toThrow(/abort/);
    const flood = await runBeside([process.execPath, '-e', 'const x = "x".repeat(1e6); const w = () => process.stdout.write(x, w); w()'], {
      input: '',
      signal: new AbortController().signal,
    });
    expect(flood.code).toBeNull();
    await expect(runBeside(['/absent/program'], { input: '', signal: new AbortController().signal })).rejects.toThrow('ENOENT');
  });
});
