/** Settings tried by way of the page: one at a time, for operators, told as it goes, ended when the browser goes, and no path is told. */
import { expect, it } from 'vitest';
import type { PageNode, TrialRequest } from '../../src/page/node.js';
import { until } from '../support/mosquitto.js';
import { eventsOf, fakePage } from './support.js';

const FOLDER = '/var/lib/mipha/record';
const REPORT = {
  watch: 'lamp',
  computed: 2,
  flips: [
    { frame: 'kitchen-1~2', at: new Date(0), picture: `${FOLDER}/lamp/00000017/x.jpg`, before: { value: true }, now: { value: false } },
    { frame: 'kitchen-2', at: new Date(1), picture: null, before: { value: true }, now: { value: false } },
  ],
};
const asked: TrialRequest[] = [];
const node = (tryOut: PageNode['tryOut']): Partial<PageNode> => ({
  recorded: (watch) => (watch === 'lamp' ? { folder: FOLDER, isShown: true, isRecorded: true } : null),
  tryOut: async (request, options) => {
    asked.push(request);
    return await tryOut(request, options);
  },
});
const post = (body: unknown) => ({ method: 'POST', body: typeof body === 'string' ? body : JSON.stringify(body) });
const told = async (body: ReadableStream<Uint8Array> | null) => {
  const all: { event: string; data: string }[] = [];
  for await (const one of eventsOf(body)) all.push(one);
  return all;
};

it('tells how far it is and then the report, with addresses of pictures instead of paths', async () => {
  const { page } = fakePage(
    node(async (_, { onProgress }) => {
      for (const share of [0.1, 0.5]) onProgress(share);
      return REPORT as never;
    }),
  );
  const events = await told(
    (await page.request('/api/replay', post({ watch: 'lamp', changes: { 'events.gap_ms': 0, off: null }, since: '2h' }))).body,
  );
  expect(events.map(({ event }) => event)).toEqual(['progress', 'progress', 'report']);
  expect(JSON.parse(events[2]?.data as string)).toMatchObject({
    computed: 2,
    flips: [{ picture: 'api/record/lamp/kitchen-1.jpg?segment=00000017' }, { picture: null }],
  });
  expect(asked.at(-1)).toMatchObject({ watch: 'lamp', changes: { 'events.gap_ms': 0, off: null } });
  expect(Number(asked.at(-1)?.since) / 1000).toBeCloseTo(Date.now() / 1000 - 7200, -1);
});

it('says what is wrong, without paths', async () => {
  const { page, visitor } = fakePage(node(async () => Promise.reject(new Error(`${FOLDER}/lamp: not there`))));
  const failed = await told((await page.request('/api/replay', post({ watch: 'lamp' }))).body);
  expect(failed).toEqual([{ event: 'failed', data: '{"message":"the record/lamp: not there"}' }]);
  for (const body of [{ watch: 'lamp', changes: { '--out': 'x' } }, { watch: 'lamp', since: '--out' }, { watch: '../x' }, '[]', '{'])
    expect([body, (await page.request('/api/replay', post(body))).status]).toEqual([body, 400]);
  expect((await page.request('/api/replay', post({ watch: 'door' }))).status).toBe(404);
  expect((await page.request('/api/replay', post(' '.repeat(70_000)))).status).toBe(413);
  visitor.role = 'viewer';
  expect((await page.request('/api/replay', post({ watch: 'lamp' }))).status).toBe(403);
});

it('is one at a time, and ends when the browser goes', async () => {
  let ended = 0;
  const { page } = fakePage(
    node(
      (_, { signal }) =>
        new Promise((_, reject) => {
          signal.addEventListener('abort', () => {
            ended++;
            reject(signal.reason);
          });
        }),
    ),
  );
  const first = await page.request('/api/replay', post({ watch: 'lamp' }));
  expect((await page.request('/api/replay', post({ watch: 'lamp' }))).status).toBe(429);
  await first.body?.cancel();
  await until('the first has ended', () => ended === 1);
  const next = await page.request('/api/replay', post({ watch: 'lamp' }));
  expect(next.status).toBe(200);
  await next.body?.cancel();
});
