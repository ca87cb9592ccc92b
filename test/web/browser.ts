/** A node with its page, and a real browser before it. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Browser, type BrowserContextOptions, chromium, type Page } from 'playwright-core';
import { type ConfigInput, configOf } from '../../src/service/config/config.js';
import { Log } from '../../src/service/log/log.js';
import { type LoadModel, modelLoader } from '../../src/service/model/model.js';
import { Service } from '../../src/service/service.js';
import { MAIN, ROOT } from '../cli/run.js';
import { NANO } from '../support/nano.js';
import { pathOf } from '../support/program-list.js';

const AXE = readFileSync(join(ROOT, 'node_modules', 'axe-core', 'axe.min.js'), 'utf8');

export interface Served extends AsyncDisposable {
  service: Service;
  url: string;
}

/** A node called `test` on this port. */
export async function serve(port: number, values: ConfigInput, loadModel: LoadModel = modelLoader(NANO)): Promise<Served> {
  const { mqtt, http, ...rest } = values as { mqtt?: object; http?: object };
  const loaded = configOf({
    node: 'test',
    mqtt: { discovery: { enabled: false }, ...mqtt },
    http: { port, ...http },
    log: { level: 'fatal' },
    health_interval_ms: 1000,
    ...rest,
  });
  const page = { folder: join(ROOT, 'dist', 'web'), mipha: [process.execPath, MAIN], check: [] };
  const service = new Service({ loaded, load: async () => loaded, loadModel, log: new Log(loaded.config.log), version: '0.0.0-test', page });
  await service.start();
  return { service, url: `http://127.0.0.1:${port}/`, [Symbol.asyncDispose]: () => service.stop() };
}

export async function launch(): Promise<Browser> {
  return await chromium.launch({ executablePath: pathOf('chromium') as string, args: ['--no-sandbox'] });
}

export interface Opened extends AsyncDisposable {
  page: Page;
  /** What the browser complained of, and requests to other hosts. */
  complaints: string[];
  /** Paths that were asked for. */
  asked: string[];
}

export async function open(browser: Browser, url: string, options: BrowserContextOptions = {}): Promise<Opened> {
  const context = await browser.newContext(options);
  const page = await context.newPage();
  const complaints: string[] = [];
  const asked: string[] = [];
  page.on('console', (message) => {
    // that a node is away, or a picture gone, is no fault of the page
    if (message.type() === 'error' && !/Failed to load resource|ERR_CONNECTION/.test(message.text())) complaints.push(message.text());
  });
  page.on('pageerror', (error) => complaints.push(error.message));
  page.on('request', (request) => {
    const { origin, pathname } = new URL(request.url());
    if (!['data:', 'blob:'].includes(new URL(request.url()).protocol) && !url.startsWith(origin)) complaints.push(`a request to ${request.url()}`);
    asked.push(pathname);
  });
  await page.goto(url);
  return { page, complaints, asked, [Symbol.asyncDispose]: () => context.close() };
}

/** What axe has to say, in words; nothing where all is well. */
export async function faultsOf(page: Page): Promise<string[]> {
  await page.evaluate(AXE);
  return await page.evaluate(async () => {
    const { axe } = globalThis as unknown as {
      axe: { run(): Promise<{ violations: { id: string; nodes: { html: string; failureSummary: string }[] }[] }> };
    };
    const { violations } = await axe.run();
    return violations.map(({ id, nodes }) => `${id}: ${nodes[0]?.html} ${nodes[0]?.failureSummary}`);
  });
}
