/** The page of a whole node in a real browser, as a person uses it. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Browser, Page } from 'playwright-core';
import sharp from 'sharp';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { RawImage } from '../../src/engine/image.js';
import { readLabels } from '../../src/record/labels.js';
import { fakeModel, LAMP } from '../service/support.js';
import { counts } from '../support/counts.js';
import { freePort, type Mosquitto, sleep, startMosquitto, until } from '../support/mosquitto.js';
import { describeWith } from '../support/programs.js';
import { faultsOf, launch, open, type Served, serve } from './browser.js';

const KITCHEN = { uri: 'synthetic://kitchen?cup=one&change_ms=1500', images: true };
const CUP = {
  camera: 'kitchen',
  question: 'What color is the cup?',
  answer: { type: 'choice', choices: ['red', 'green', 'blue', 'yellow', 'orange', 'purple', 'white', 'black'] },
};
const SIZES = { desk: { width: 1280, height: 900 }, phone: { width: 360, height: 740 }, 'desk at 200 %': { width: 640, height: 450 } };

describeWith(['mosquitto', 'chromium'], 'the page in a browser', () => {
  let mosquitto: Mosquitto;
  let browser: Browser;
  let folder = '';
  let port = 0;
  let node: Served;
  const values = () => ({
    mqtt: { url: mosquitto.url },
    state_dir: folder,
    cameras: { kitchen: KITCHEN, yard: { uri: 'synthetic://kitchen?seed=9&change_ms=4000' } },
    watches: { lamp: { ...LAMP, record: true }, cup: { ...CUP, record: true }, 'yard-lamp': { ...LAMP, camera: 'yard' } },
  });

  beforeAll(async () => {
    [mosquitto, browser, folder, port] = await Promise.all([startMosquitto(), launch(), mkdtemp(join(tmpdir(), 'mipha-browser-')), freePort()]);
    node = await serve(port, values());
  }, 120_000);
  afterAll(async () => {
    await browser?.close();
    await node?.[Symbol.asyncDispose]();
    await mosquitto?.[Symbol.asyncDispose]();
    await rm(folder, { recursive: true, force: true });
  });

  const text = (page: Page, selector: string) => page.locator(selector).first().innerText();
  const shows = (page: Page, words: string | RegExp, withinMs = 10_000) => page.getByText(words).first().waitFor({ timeout: withinMs });

  it.each(Object.entries(SIZES).flatMap(([size, viewport]) => (['light', 'dark'] as const).map((colorScheme) => ({ size, viewport, colorScheme }))))(
    'has no fault that axe finds, nothing beside the screen and nothing from elsewhere: $colorScheme, $size',
    async ({ viewport, colorScheme }) => {
      await using opened = await open(browser, node.url, { viewport, colorScheme });
      const { page, complaints } = opened;
      await page.locator('.camera img').first().waitFor();
      for (const [view, words] of [
        ['#/', 'What happened'],
        ['#/watch/lamp', 'As a table'],
        ['#/watch/cup', 'Right'],
        ['#/ask', 'In words'],
        ['#/node', 'Warnings'],
      ] as const) {
        await page.goto(node.url + view);
        await shows(page, words);
        for (const table of await page.locator('summary').all()) await table.click();
        expect([view, await faultsOf(page)]).toEqual([view, []]);
        expect([view, await page.evaluate(() => document.documentElement.scrollWidth - innerWidth)]).toEqual([view, 0]);
      }
      expect(complaints).toEqual([]);
    },
  );

  it('is used with the keyboard alone: a watch is found, its question changed, a zone drawn and saved', async () => {
    await using opened = await open(browser, `${node.url}#/`);
    const { page } = opened;
    await page.locator('[data-watch=lamp] a').waitFor();
    const press = async (key: string, times = 1) => {
      for (let i = 0; i < times; i++) await page.keyboard.press(key);
    };
    const focusedText = () =>
      page.evaluate(() => {
        const { activeElement: element } = document;
        return element instanceof HTMLButtonElement || element instanceof HTMLAnchorElement
          ? (element.getAttribute('aria-label') ?? element.textContent ?? '')
          : '';
      });
    const tabTo = async (words: RegExp) => {
      for (let i = 0; i < 80; i++) {
        await press('Tab');
        if (words.test(await focusedText())) return;
      }
      throw new Error(`Tab does not reach ${words}`);
    };
    await tabTo(/Is the lamp on\?/);
    await press('Enter');
    await shows(page, 'Settings');
    await tabTo(/Add a zone/);
    await press('Enter');
    await page.keyboard.down('Shift');
    await press('Tab', 6); // back over the buttons to the corners
    await page.keyboard.up('Shift');
    await tabTo(/Corner 4 of zone 1: 30 % from the left, 60 % from the top/);
    await press('ArrowLeft', 3);
    await press('Shift+ArrowDown', 2);
    await press('+');
    expect(await focusedText()).toMatch(/Corner 4 of zone 1: 27 % from the left, 80 % from the top/);
    await tabTo(/Save 1 change/);
    await press('Enter');
    await shows(page, /Saved/);
    const info = await page.request.get(`${node.url}api/config`);
    const { settings } = (await info.json()) as { settings: { path: string; value: unknown; origin: string }[] };
    expect(settings.filter(({ origin }) => origin === 'mqtt')).toMatchObject([
      {
        path: 'watches.lamp.zone',
        origin: 'mqtt',
        value: [
          [
            [0.3, 0.3],
            [0.6, 0.3],
            [0.6, 0.6],
            [0.27, 0.8],
            [0.285, 0.55],
          ],
        ],
      },
    ]);
    await page.request.post(`${node.url}api/request/overrides/drop`, { data: {}, headers: { origin: node.url.slice(0, -1) } });
  });

  it('draws a mask with the mouse', async () => {
    await using opened = await open(browser, `${node.url}#/watch/lamp`);
    const { page } = opened;
    await page.getByRole('button', { name: 'Add a zone' }).click();
    const corner = page.getByRole('button', { name: /^Corner 1 of zone 1/ });
    const canvas = await page.locator('.canvas').boundingBox();
    if (canvas === null) throw new Error('there is nothing to draw on');
    await corner.hover();
    await page.mouse.down();
    await page.mouse.move(canvas.x + 0.1 * canvas.width, canvas.y + 0.2 * canvas.height, { steps: 5 });
    await page.mouse.up();
    expect(await corner.getAttribute('aria-label')).toMatch(/: (9|10) % from the left, (19|20) % from the top/);
    await page.getByRole('radio', { name: /^Privacy/ }).check();
    await page.getByRole('button', { name: 'Add a private area' }).click();
    expect(await text(page, '.masks pre')).toContain('privacy: [[[0.3,0.3]');
  });

  it('asks a camera, in words and with choices, and shows the frame that was asked about', async () => {
    await using opened = await open(browser, `${node.url}#/ask`);
    const { page } = opened;
    await page.getByLabel('Question').fill('What color is the cup?');
    await page.getByLabel('One of').check();
    await page.getByLabel('Choices, with commas between').fill('red, green, blue, yellow, orange, purple, white, black');
    await page.getByRole('button', { name: 'Ask' }).click();
    await shows(page, / % sure, in \d+ ms/);
    expect(await text(page, '.asked .value')).toMatch(/^(red|green|blue|yellow|orange|purple|white|black)$/);
    await until('its picture', () => page.evaluate(() => (document.querySelector('.asked img') as HTMLImageElement | null)?.naturalWidth));
    await page.getByLabel('In words').check();
    await page.getByLabel('Question').fill('What is on the table?');
    await page.getByRole('button', { name: 'Ask' }).click();
    await until('a sentence', async () => /on the table\.$/.test(await text(page, '.asked .value')));
    await page.getByLabel('About').selectOption('what yard sees now');
    await page.getByLabel('Question').fill('x'.repeat(900));
    await page.getByRole('button', { name: 'Ask' }).click();
    await shows(page, /No answer/);
  });

  it('asks about a picture that somebody has, in words and typed', async () => {
    await using opened = await open(browser, `${node.url}#/ask`);
    const { page, complaints } = opened;
    await page.getByLabel('About').selectOption('a picture of yours');
    await page.getByLabel('Question').fill('What is on the table?');
    await page.getByRole('button', { name: 'Ask' }).click();
    await page.getByText('Choose a picture first').waitFor();
    await page.getByLabel('Picture').setInputFiles(join('examples', 'kitchen.png'));
    await page.locator('.upload').waitFor();
    await page.getByRole('button', { name: 'Ask' }).click();
    await until('a sentence', async () => /on the table\.$/.test(await text(page, '.asked .value')));
    await page.getByLabel('Yes or no').check();
    await page.getByLabel('Question').fill('Is there a person?');
    await page.getByRole('button', { name: 'Ask' }).click();
    await until('yes or no', async () => /^(Yes|No)$/.test(await text(page, '.asked .value')));
    expect(complaints).toEqual([]);
  });

  it('labels what was recorded, tries settings on it, and checks a configuration', async () => {
    await using opened = await open(browser, `${node.url}#/watch/lamp`);
    const { page } = opened;
    await page.getByLabel(/All answers/).check();
    await page.getByRole('button', { name: 'Wrong' }).first().click();
    await page.locator('button[aria-pressed=true]').first().waitFor();
    await until('the label', async () =>
      [...(await readLabels(join(folder, 'record'), 'lamp')).labels.values()].some(({ verdict }) => verdict === 'wrong'),
    );
    await page.getByLabel('Question', { exact: true }).fill('Is the door open?');
    await page.getByLabel('with').selectOption('all there is');
    await page.getByRole('button', { name: 'Try', exact: true }).click();
    await shows(page, /answers are others; \d+ were asked anew/, 60_000);
    await page.goto(`${node.url}#/node`);
    await page.getByLabel('The file as it would be (YAML)').fill('node: n\nlog: { level: inf }');
    await page.getByRole('button', { name: 'Check' }).click();
    await shows(page, /Line 2: log\.level: expected one of .*did you mean info/, 30_000);
  });

  it('lets pictures stand still where motion is reduced, until one is asked for', async () => {
    await using opened = await open(browser, node.url, { reducedMotion: 'reduce' });
    const { page } = opened;
    const image = page.locator('.camera img').first();
    await image.waitFor();
    const first = await image.getAttribute('data-frame');
    const before = await text(page, '[data-watch=cup] .value');
    await until('another answer', async () => (await page.locator('[data-watch=lamp]').getAttribute('data-frame')) !== first, 15_000);
    expect([await image.getAttribute('data-frame'), before.length > 0]).toEqual([first, true]);
    await shows(page, /about another frame/);
    await page.getByRole('button', { name: 'Show the newest' }).first().click();
    await until('the newest picture', async () => (await image.getAttribute('data-frame')) !== first);
  });

  it('tells within two seconds that broker, camera or service went away, and that they are back', async () => {
    await using opened = await open(browser, node.url);
    const { page } = opened;
    await shows(page, 'Connected');
    const within = async (what: string, words: string | RegExp, work: () => Promise<unknown>, mostMs = 2000) => {
      const begun = performance.now();
      await work();
      await shows(page, words, 30_000);
      expect([what, performance.now() - begun < mostMs]).toEqual([what, true]);
    };
    await within('the broker is away', 'Broker away', () => mosquitto.stop());
    await mosquitto.start();
    await page.getByText('Broker away').waitFor({ state: 'detached', timeout: 30_000 }); // the node tries again after a second, then two …
    const change = async (patch: object) => {
      await page.request.post(`${node.url}api/request/options`, { data: { options: patch }, headers: { origin: node.url.slice(0, -1) } });
    };
    await within('the camera is away', 'Disabled', () => change({ cameras: { yard: { enabled: false } } }));
    await change({ cameras: { yard: { enabled: true } } });
    await page.getByText('Disabled').waitFor({ state: 'detached' });
    await node[Symbol.asyncDispose]();
    await within('the service is away', 'Not connected', async () => {});
    node = await serve(port, values());
    await within('the service is back', /^.*Connected$/, async () => {});
    await page.getByText('Not connected').waitFor({ state: 'detached', timeout: 2000 });
    await page.locator('.camera img').first().waitFor();
  });

  it('asks a stranger for the token, and lets a viewer look only', async () => {
    const token = 'a'.repeat(64);
    const file = join(folder, 'viewer.token');
    await writeFile(file, `${token}\n`, { mode: 0o600 });
    const other = await freePort();
    await using closed = await serve(
      other,
      { mqtt: { url: mosquitto.url }, http: { viewer_token_file: file }, base: 'other', cameras: { kitchen: KITCHEN }, watches: { lamp: LAMP } },
      async () => fakeModel(),
    );
    await using opened = await open(browser, closed.url);
    const { page } = opened;
    await page.getByLabel('Token of this node').fill('b'.repeat(64));
    await page.getByRole('button', { name: 'Log in' }).click();
    await page.getByRole('alert').getByText(/token/).waitFor();
    expect(await faultsOf(page)).toEqual([]);
    await page.getByLabel('Token of this node').fill(token);
    await page.getByRole('button', { name: 'Log in' }).click();
    await page.locator('.camera img').waitFor();
    await page.goto(`${closed.url}#/watch/lamp`);
    await shows(page, /that takes an operator/);
    expect(await page.getByRole('button', { name: 'Try', exact: true }).count()).toBe(0);
  });
});

describeWith(['mosquitto', 'chromium'], 'pictures and answers', () => {
  it('belong together whatever is shown, and a page left open neither grows nor polls', async () => {
    await using mosquitto = await startMosquitto();
    const browser = await launch();
    const folder = await mkdtemp(join(tmpdir(), 'mipha-shades-'));
    try {
      // pictures of one shade each, and a model that says which it sees
      const shades = Array.from({ length: 25 }, (_, i) => 10 * i);
      for (const shade of shades)
        await sharp({ create: { width: 64, height: 64, channels: 3, background: { r: shade, g: shade, b: shade } } })
          .png()
          .toFile(join(folder, `${1000 + shade}.png`));
      let seen = 0;
      const model = fakeModel({ answer: () => Math.round(seen / 10) });
      const { look } = model;
      const watching = {
        ...model,
        look: async (image: RawImage, options?: object) => {
          seen = image.data[0] as number;
          return await look(image, options);
        },
      };
      await using node = await serve(
        await freePort(),
        {
          mqtt: { url: mosquitto.url },
          cameras: { shade: { uri: `images://${folder}?fps=8&loop=true`, images: true } },
          watches: {
            shade: { camera: 'shade', question: 'Which shade?', answer: { type: 'number', min: 0, max: 25 }, interval_ms: 0, change_percent: 0 },
          },
        },
        async () => watching as never,
      );
      await using opened = await open(browser, node.url);
      const { page, asked, complaints } = opened;
      await page.locator('[data-watch=shade] .value').waitFor();
      const wanted = counts(60, 200);
      // looked at whenever the value on the page changes, as it is on the screen then
      const found = page.evaluate(async (most: number) => {
        const canvas = document.createElement('canvas');
        canvas.width = canvas.height = 1;
        const ink = canvas.getContext('2d', { willReadFrequently: true }) as CanvasRenderingContext2D;
        const wrong: string[] = [];
        let [last, count, own] = ['', 0, 0];
        await new Promise<void>((resolve) => {
          const check = () => {
            const value = document.querySelector('[data-watch=shade] .value')?.textContent ?? '';
            const image = document.querySelector('.camera img') as HTMLImageElement | null;
            if (image !== null && value !== last && /^\d+$/.test(value)) {
              last = value;
              count++;
              const row = document.querySelector('[data-watch=shade]') as HTMLElement;
              const isOwn = row.dataset.frame === image.dataset.frame;
              if (isOwn) own++;
              ink.drawImage(image, 0, 0, 1, 1);
              const shade = Math.round((ink.getImageData(0, 0, 1, 1).data[0] as number) / 10);
              if (isOwn && shade !== Number(value)) wrong.push(`${value} beside shade ${shade}`);
              if (!isOwn && !/another frame/.test(row.textContent ?? '')) wrong.push(`${value} beside another frame, which is not said`);
            }
            if (count < most) requestAnimationFrame(check);
            else resolve();
          };
          check();
        });
        return { wrong, count, own };
      }, wanted);
      const metrics = async () => {
        const session = await page.context().newCDPSession(page);
        await session.send('HeapProfiler.enable');
        await session.send('HeapProfiler.collectGarbage');
        await session.send('Performance.enable');
        const { metrics: all } = await session.send('Performance.getMetrics');
        await session.detach();
        return Object.fromEntries(all.map(({ name, value }) => [name, value])) as Record<'Nodes' | 'JSEventListeners' | 'JSHeapUsedSize', number>;
      };
      await sleep(3000);
      const early = await metrics();
      const { wrong, count, own } = await found;
      expect({ wrong, count }).toEqual({ wrong: [], count: wanted });
      expect(own).toBeGreaterThan(0.8 * wanted);
      await sleep(1000);
      const late = await metrics();
      expect(late.Nodes - early.Nodes).toBeLessThan(300); // the list of what happened fills up to its end
      expect(late.JSEventListeners - early.JSEventListeners).toBeLessThan(50);
      expect(late.JSHeapUsedSize).toBeLessThan(early.JSHeapUsedSize + 2_000_000);
      expect(asked.filter((path) => !path.startsWith('/api/frames/') && !/^\/($|assets\/|icon|favicon)/.test(path))).toEqual(['/api/stream']);
      expect(complaints).toEqual([]);
    } finally {
      await browser.close();
      await rm(folder, { recursive: true });
    }
  });
});
