/** The editor of a watch in Chromium: every part of it with the keyboard alone, errors beside their fields, tried before it is saved. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { fakeModel, LAMP } from '../service/support.js';
import { freePort, type Mosquitto, startMosquitto, until } from '../support/mosquitto.js';
import { describeWith } from '../support/programs.js';
import { faultsOf, launch, open, type Served, serve } from './browser.js';

describeWith(['mosquitto', 'chromium'], 'the editor of a watch', () => {
  let mosquitto: Mosquitto;
  let browser: Browser;
  let node: Served;
  let folder = '';
  beforeAll(async () => {
    [mosquitto, browser, folder] = await Promise.all([startMosquitto(), launch(), mkdtemp(join(tmpdir(), 'mipha-editor-'))]);
    const values = {
      ...{ mqtt: { url: mosquitto.url }, state_dir: folder, cameras: { kitchen: { uri: 'synthetic://kitchen?change_ms=500', images: true } } },
      watches: { lamp: { ...LAMP, interval_ms: 500, record: true }, door: { camera: 'kitchen', question: 'Is the door open?' } },
    };
    let yes = false;
    node = await serve(await freePort(), values, async () => fakeModel({ answer: () => (yes = !yes) }));
  }, 60_000);
  afterAll(async () => {
    await browser?.close();
    await node?.[Symbol.asyncDispose]();
    await mosquitto?.[Symbol.asyncDispose]();
    await rm(folder, { recursive: true });
  });

  const overrides = async (page: Page) => {
    const { settings } = (await (await page.request.get(`${node.url}api/config`)).json()) as { settings: Row[] };
    const own = settings.filter(({ origin, value }) => origin === 'mqtt' && value !== null);
    return Object.fromEntries(own.map(({ path, value }) => [path.replace('watches.lamp.', ''), value]));
  };
  interface Row {
    path: string;
    value: unknown;
    origin: string;
  }

  it('changes, tries, saves and takes back every part with the keyboard alone', async () => {
    await using opened = await open(browser, `${node.url}#/watch/lamp`);
    const { page, complaints } = opened;
    await page.getByText('What is told').waitFor();
    await until('something is recorded', async () => {
      await page.getByRole('button', { name: 'Read again' }).click();
      return (await page.locator('.lines li').count()) > 2;
    });
    const key = (name: string) => page.keyboard.press(name);
    const focused = () =>
      page.evaluate(() => {
        const { activeElement: at } = document;
        const labels =
          at instanceof HTMLInputElement || at instanceof HTMLSelectElement || at instanceof HTMLTextAreaElement ? [...(at.labels ?? [])] : [];
        return (labels[0]?.textContent || at?.getAttribute('aria-label') || at?.textContent || '').trim();
      });
    const tabTo = async (words: RegExp, back = false) => {
      for (let i = 0; i < 120; i++) {
        await key(back ? 'Shift+Tab' : 'Tab');
        if (words.test(await focused())) return;
      }
      throw new Error(`Tab does not reach ${words}`);
    };
    const write = async (text: string) => {
      await key('Control+a');
      await page.keyboard.type(text);
    };
    await page.locator('main').focus();
    await tabTo(/^What is believed/);
    await key('Enter');
    await tabTo(/^to keep the present value/);
    await write('0');
    await tabTo(/^Other rules for No/);
    await key('Space');
    await tabTo(/^For No: answers that must agree/);
    await write('2');
    await tabTo(/^For No: of the last/);
    await write('3');
    await tabTo(/^What is told/);
    await key('Enter');
    await tabTo(/^Add quiet hours/);
    await key('Enter');
    await tabTo(/^From$/, true);
    await write('23:15');
    await tabTo(/^Sun/);
    await key('Space');
    await tabTo(/^Ask a second question/);
    await key('Space');
    await tabTo(/^Second question/);
    await page.keyboard.type('Is it really on?');
    await tabTo(/^Answer that agrees/);
    await key('ArrowDown');
    await tabTo(/^A new value is one that differs/);
    await key('ArrowDown');
    await key('ArrowDown');
    await tabTo(/^Event of/);
    await key('ArrowDown');
    await tabTo(/^Part of the picture/);
    await key('Enter');
    await tabTo(/^Look only at a part/);
    await key('Space');
    await tabTo(/^its width/);
    await write('0.5');
    await tabTo(/^Save \d+ changes/);
    expect(await faultsOf(page)).toEqual([]);
    await tabTo(/^Try$/);
    await key('Enter');
    await page.getByText(/answers are others; \d+ were asked anew/).waitFor({ timeout: 30_000 });
    await tabTo(/^Save \d+ changes/, true);
    await key('Enter');
    await page.getByText(/^Saved/).waitFor();
    expect(await overrides(page)).toMatchObject({
      keep_confidence: 0,
      'off.agreement.n': 2,
      'off.agreement.of': 3,
      'events.quiet': [{ from: '23:15', to: '06:30', days: ['mon', 'tue', 'wed', 'thu', 'fri', 'sat'] }],
      'events.confirm.question': 'Is it really on?',
      'events.confirm.expect': false,
      'compare.event': 'lamp',
      'crop.width': 0.5,
    });
    for (const name of [/^Other rules for No/, /^Ask a second question/, /^Look only at a part/])
      await page.getByRole('checkbox', { name }).uncheck();
    await page.getByRole('button', { name: 'Remove quiet hours 1' }).click();
    await page.getByLabel('A new value is one that differs from').selectOption('what was last told');
    await page.getByLabel('to keep the present value').fill('');
    await page.getByRole('button', { name: 'Try', exact: true }).focus();
    await page.getByRole('button', { name: /^Save \d+ changes/ }).click();
    await until('all is as it was', async () => Object.keys(await overrides(page)).length === 0);
    expect(complaints).toEqual([]);
  });

  it('says what does not fit beside the field, as it is written, and does not save it', async () => {
    await using opened = await open(browser, `${node.url}#/watch/lamp`, { viewport: { width: 360, height: 740 }, colorScheme: 'dark' });
    const { page } = opened;
    await page.getByText('When it asks').click();
    const field = page.getByLabel('An answer holds for (s)');
    await field.fill('1');
    await field.press('Tab');
    const words = page.locator('[id="ttl_ms-issue"]');
    await words.waitFor();
    expect(await words.innerText()).toMatch(/ttl_ms above reask_ms/);
    expect([await field.getAttribute('aria-invalid'), await field.getAttribute('aria-describedby')]).toEqual(['true', 'ttl_ms-issue']);
    expect(await page.getByRole('button', { name: 'Save 1 change' }).isDisabled()).toBe(true);
    await page.getByText('What is told').click();
    await page.getByRole('button', { name: 'Add quiet hours' }).click();
    await page.getByLabel('From', { exact: true }).fill('25:00');
    await page.getByLabel('From', { exact: true }).press('Tab');
    await page.locator('[id="events.quiet.0.from-issue"]').getByText('a time from 00:00 to 23:59').waitFor();
    await page.getByText('Answer, camera').click();
    await page.getByLabel('Answer', { exact: true }).selectOption('One of');
    await page.getByLabel('Choices, one a line').fill('one, two');
    await page.locator('[id="answer.choices-issue"]').waitFor();
    expect(await faultsOf(page)).toEqual([]);
    expect(await page.evaluate(() => document.documentElement.scrollWidth - innerWidth)).toBe(0);
    await page.getByRole('button', { name: 'Undo' }).click();
    await page.locator('.trouble').first().waitFor({ state: 'detached' });
    await page.getByRole('button', { name: 'Nothing changed' }).waitFor();
  });
});
