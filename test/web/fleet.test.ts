/** The fleet on the page: who needs a person comes first and says why; 200 nodes in Chromium, filtered, in both themes. */
import { connectAsync, type MqttClient } from 'mqtt';
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { FleetState } from '../../src/pool/fleet.js';
import { labelsOf, needsOf, rowsOf } from '../../web/src/fleet.js';
import { fakeModel } from '../service/support.js';
import { publishMember } from '../support/fleet.js';
import { freePort, type Mosquitto, startMosquitto, until } from '../support/mosquitto.js';
import { describeWith } from '../support/programs.js';
import { faultsOf, launch, open, serve } from './browser.js';

const NOW = Date.parse('2026-11-28T12:00:00Z');
const state = (node: string, more: Partial<FleetState> = {}): FleetState => ({
  ...{ node, online: true, version: '1.2.3', model: { id: 'mipha-3b', rev: 'abc' }, labels: { site: 'hall-2' }, draining: false, watches: 1 },
  ...{ overrides: 0, restartRequired: false, lifecycle: 'running', uptimeS: 5, backend: 'cpu', queue: null, healthAt: new Date(NOW).toISOString() },
  ...{ cameras: [{ id: 'front', state: 'online', frameAgeMs: 5, fps: 5 }], alerts: [], ...more },
});
const topicsOf = (...nodes: FleetState[]) =>
  new Map<string, unknown>([['broker', { trouble: null }], ...nodes.map((one): [string, unknown] => [`node/${one.node}`, one])]);

describe('rows of a fleet', () => {
  it('begin with who needs a person, and say why in words', () => {
    const alert = (level: 'WARNING' | 'URGENT' | 'CRITICAL') => ({ id: 'x', level, message: level });
    const all = topicsOf(
      state('a-well'),
      state('b-drained', { draining: true }),
      state('c-restart', { restartRequired: true }),
      state('d-silent', { healthAt: new Date(NOW - 600_000).toISOString() }),
      state('e-warning', { alerts: [alert('WARNING')] }),
      state('f-camera', { cameras: [{ id: 'front', state: 'stalled', frameAgeMs: null, fps: 0 }] }),
      state('g-urgent', { alerts: [alert('WARNING'), alert('URGENT')] }),
      state('h-critical', { alerts: [alert('URGENT'), alert('CRITICAL')] }),
      state('i-offline', { online: false, healthAt: new Date(NOW - 7_200_000).toISOString(), restartRequired: true }),
    );
    const rows = rowsOf(all, { words: '', label: '' }, NOW);
    expect(rows.map(({ node }) => node.node[0]).join('')).toBe('ihgfedcba');
    expect(rows.map(({ needs }) => needs[0]?.words)).toEqual([
      ...['Offline, last heard 2 h ago', 'CRITICAL', 'URGENT', 'Camera front is stalled', 'WARNING', 'Silent for 10 min', 'Waits for a restart'],
      ...['Drained: it takes no questions', undefined],
    ]);
    expect(needsOf(state('x', { lifecycle: 'degraded' }), NOW).map(({ words }) => words)).toEqual(['Degraded']);
  });

  it('are those that have all the words, and the label', () => {
    const all = topicsOf(state('press-1'), state('press-2', { labels: { site: 'hall-3', line: '7' } }), state('gate', { version: '2.0.0' }));
    const names = (words: string, label = '') => rowsOf(all, { words, label }, NOW).map(({ node }) => node.node);
    expect([names('press'), names('HALL-3 press'), names('2.0'), names('', 'site: hall-2'), names('press', 'line: 7'), names('no')]).toEqual([
      ['press-1', 'press-2'],
      ['press-2'],
      ['gate'],
      ['gate', 'press-1'],
      ['press-2'],
      [],
    ]);
    expect(labelsOf(state('x', { labels: {} }))).toEqual([]);
  });
});

describeWith(['mosquitto', 'chromium'], 'the fleet in a browser', () => {
  let mosquitto: Mosquitto;
  let browser: Browser;
  let client: MqttClient;
  beforeAll(async () => {
    [mosquitto, browser] = await Promise.all([startMosquitto({ config: ['max_queued_messages 0'] }), launch()]);
    client = await connectAsync(mosquitto.url);
  }, 60_000);
  afterAll(async () => {
    await browser?.close();
    await client?.endAsync(true);
    await mosquitto?.[Symbol.asyncDispose]();
  });
  const begin = async () => await serve(await freePort(), { mqtt: { url: mosquitto.url }, cameras: {}, watches: {} }, async () => fakeModel());

  it('says that it is alone, then shows 200 others as they come, filtered by label, and without a fault', async () => {
    await using node = await begin();
    await using opened = await open(browser, `${node.url}#/fleet`, { viewport: { width: 360, height: 740 }, colorScheme: 'dark' });
    const { page, complaints } = opened;
    await page.getByText('The broker tells of no other node').waitFor();
    for (let i = 0; i < 200; i++)
      await publishMember(client, `press-${i}`, {
        labels: { line: `${i % 10}` },
        ...(i === 57 ? { alert: 'The disk is full' } : {}),
        online: i !== 123,
      });
    await page.getByText('201 of 201 shown').waitFor();
    const names = () => page.locator('[data-node]').evaluateAll((rows) => rows.map((row) => (row as HTMLElement).dataset.node));
    expect((await names()).slice(0, 2)).toEqual(['press-123', 'press-57']);
    const begun = performance.now();
    await page.getByLabel('Label', { exact: true }).selectOption('line: 7');
    await page.getByText('20 of 201 shown').waitFor();
    expect(performance.now() - begun).toBeLessThan(1500);
    expect((await names())[0]).toBe('press-57');
    await page.getByText('The disk is full').waitFor();
    await publishMember(client, 'press-57', { labels: { line: '7' } });
    await page.getByText('The disk is full').waitFor({ state: 'detached', timeout: 3000 });
    expect([await faultsOf(page), await page.evaluate(() => document.documentElement.scrollWidth - innerWidth)]).toEqual([[], 0]);
    await page.goto(`${node.url}#/`);
    await until('nobody is asked any more', async () => (await page.locator('.fleet').count()) === 0);
    expect(complaints).toEqual([]);
    await using desk = await open(browser, `${node.url}#/fleet`, { colorScheme: 'light' });
    await desk.page.getByText('201 of 201 shown').waitFor();
    expect(await faultsOf(desk.page)).toEqual([]);
    await mosquitto.stop();
    await desk.page.getByText('The broker cannot be asked').waitFor({ timeout: 5000 });
    await desk.page.getByText('Below is what it said last').waitFor();
    await mosquitto.start();
    await desk.page.getByText('The broker cannot be asked').waitFor({ state: 'detached', timeout: 30_000 });
  }, 120_000);
});
