/** The page offers what the node's configuration and the visitor's role permit, and says why not the rest. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { ConfigInput } from '../../src/service/config/config.js';
import { fakeModel, LAMP } from '../service/support.js';
import { freePort, type Mosquitto, startMosquitto } from '../support/mosquitto.js';
import { describeWith } from '../support/programs.js';
import { faultsOf, launch, open, serve } from './browser.js';

describeWith(['mosquitto', 'chromium'], 'what the page offers', () => {
  let mosquitto: Mosquitto;
  let browser: Browser;
  let folder = '';
  beforeAll(async () => {
    [mosquitto, browser, folder] = await Promise.all([startMosquitto(), launch(), mkdtemp(join(tmpdir(), 'mipha-offers-'))]);
  }, 60_000);
  afterAll(async () => {
    await browser?.close();
    await mosquitto?.[Symbol.asyncDispose]();
    await rm(folder, { recursive: true });
  });

  const begin = async (values: ConfigInput) =>
    await serve(
      await freePort(),
      { mqtt: { url: mosquitto.url }, cameras: { kitchen: { uri: 'synthetic://kitchen', images: true } }, watches: { lamp: LAMP }, ...values },
      async () => fakeModel(),
    );

  it('no picture of yours where http.chat is off, nothing while it is drained, and all again', async () => {
    await using node = await begin({ http: { chat: false } });
    await using opened = await open(browser, `${node.url}#/ask`);
    const { page } = opened;
    await page.getByText('http.chat is off').waitFor();
    expect(await page.getByLabel('About').locator('option').allInnerTexts()).toEqual(['what kitchen sees now']);
    const button = page.getByRole('button', { name: 'Ask' });
    expect(await button.isDisabled()).toBe(false);
    const change = async (draining: boolean) =>
      await page.request.post(`${node.url}api/request/options`, { data: { options: { draining } }, headers: { origin: node.url.slice(0, -1) } });
    await change(true);
    await page.getByText('its option draining is on').waitFor();
    expect([await button.isDisabled(), await faultsOf(page)]).toEqual([true, []]);
    await change(false);
    await page.getByText('its option draining is on').waitFor({ state: 'detached' });
    expect(await button.isDisabled()).toBe(false);
  });

  it('a picture as large as the port takes, and no larger', async () => {
    await using node = await begin({ http: { body_bytes: 65_536 } });
    await using opened = await open(browser, `${node.url}#/ask`);
    const { page } = opened;
    await page.getByLabel('About').selectOption('a picture of yours');
    await page.getByLabel('Picture').setInputFiles({ name: 'big.png', mimeType: 'image/png', buffer: Buffer.alloc(50_000) });
    await page.getByText('A picture has at most 36.9 kB here, this one has 50 kB').waitFor();
  });

  it('no question where only the watches may ask, and no change, label or drop where these are closed', async () => {
    await using node = await begin({
      ...{ requests: { queries: false, closed: ['options', 'label', 'overrides/drop'] }, state_dir: join(folder, 'state') },
      watches: { lamp: { ...LAMP, record: true } },
    });
    await using opened = await open(browser, `${node.url}#/ask`);
    const { page } = opened;
    await page.getByText('requests.queries is off').waitFor();
    expect(await page.getByRole('button', { name: 'Ask' }).isDisabled()).toBe(true);
    await page.goto(`${node.url}#/watch/lamp`);
    await page.getByText('not save: this node closes changes').waitFor();
    await page.getByText('a node that does not close it').waitFor();
    expect(await page.getByRole('button', { name: 'Right' }).count()).toBe(0);
    await page.goto(`${node.url}#/node`);
    await page.getByText('cannot be dropped from here').waitFor();
    expect(await page.getByRole('button', { name: /follow the file again/ }).count()).toBe(0);
  });

  it('to a viewer neither trying nor labels nor checks', async () => {
    const token = 'a'.repeat(64);
    const file = join(folder, 'viewer.token');
    await writeFile(file, `${token}\n`, { mode: 0o600 });
    await using node = await begin({ http: { viewer_token_file: file } });
    await using opened = await open(browser, node.url);
    const { page } = opened;
    await page.getByLabel('Token of this node').fill(token);
    await page.getByRole('button', { name: 'Log in' }).click();
    await page.locator('.camera').waitFor();
    await page.goto(`${node.url}#/watch/lamp`);
    await page.getByText('neither try nor save').waitFor();
    expect(await page.getByRole('button', { name: 'Try', exact: true }).count()).toBe(0);
    await page.goto(`${node.url}#/node`);
    await page.getByText('Checking another configuration takes an operator').waitFor();
    expect(await page.getByLabel('The file as it would be (YAML)').count()).toBe(0);
  });
});
