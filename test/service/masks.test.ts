/** Masks hold in a whole node: no pixel of what is private reaches the model or the broker, whatever is asked and while masks change. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import sharp from 'sharp';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { ConfigInput } from '../../src/service/config/config.js';
import { freePort, type Mosquitto, sleep, startMosquitto, until } from '../support/mosquitto.js';
import { leaning, MASK, secret } from '../support/private-part.js';
import { describeWith } from '../support/programs.js';
import { traceIn } from '../support/traces.js';
import { config, fakeModel, listen, ROOT, startNode } from './support.js';

/** Of the scale: what JPEG does to colours without the secret is less. */
const TRACE = 0.1;
const CORNER = [
  [0, 0],
  [0.2, 0],
  [0, 0.2],
];
const BESIDE = { x: 0.1, y: 0.2, width: 0.6, height: 0.6 }; // holds all of it, and more

describeWith(['mosquitto'], 'a node with a privacy mask', () => {
  let mosquitto: Mosquitto;
  let folder: string;
  beforeAll(async () => {
    mosquitto = await startMosquitto();
    folder = mkdtempSync(join(tmpdir(), 'mipha-masks-'));
    let name = 0;
    for (const [width, height] of [
      [640, 480],
      [1280, 720],
      [200, 300],
    ] as const) {
      const upright = sharp(secret(width, height).data, { raw: { width, height, channels: 3 } });
      await upright
        .clone()
        .jpeg({ quality: 90 })
        .toFile(join(folder, `${name++}.jpg`));
      const turned = sharp(await upright.png().toBuffer()).rotate(270);
      await turned
        .withMetadata({ orientation: 6 })
        .jpeg({ quality: 90 })
        .toFile(join(folder, `${name++}.jpg`));
    }
  });
  afterAll(async () => {
    rmSync(folder, { recursive: true, force: true });
    await mosquitto[Symbol.asyncDispose]();
  });

  it('tells nobody, not even while its masks change, and opens no camera again for that', async () => {
    const model = fakeModel();
    const inputs: number[] = [];
    const { look } = model;
    model.look = async (image, options) => {
      inputs.push(leaning(image as { data: Uint8Array })); // with its crop: bytes between its rows belong to it too
      return await look(image, options);
    };
    const values = (privacy: unknown): ConfigInput => ({
      cameras: { yard: { uri: `images://${folder}?fps=25&loop=true`, images: true, frame_side_px: 384, privacy } },
      watches: {
        whole: { camera: 'yard', question: 'a?', interval_ms: 0, change_percent: 0 },
        part: { camera: 'yard', question: 'b?', interval_ms: 0, change_percent: 0, crop: BESIDE },
        zone: { camera: 'yard', question: 'c?', interval_ms: 0, change_percent: 0, zone: [MASK], ignore: [CORNER] },
      },
    });
    const masks: unknown[] = [[MASK]];
    await using ear = await listen(mosquitto.url);
    const load = async () => config(mosquitto.url, values(masks.at(-1)));
    await using node = await startNode(mosquitto.url, values([MASK]), { loadModel: async () => model, load });

    const snapshot = async (transaction: string) => {
      await ear.request('snapshot', { transaction, max_age_ms: 60_000, quality: 90 });
      const { data, error } = (await ear.response(transaction)) as unknown as { data: { frame: { id: string } }; error: { code: string } | null };
      return error === null ? data.frame.id : error.code;
    };
    const images = () => ear.all.filter(({ topic }) => topic === `${ROOT}/camera/yard/image`).map(({ packet }) => packet.payload as Buffer);
    await until('online', () => ear.on('availability').at(-1)?.text === 'online');
    await until('questions', () => inputs.length > 20);
    const first = await snapshot('first');
    const ids = new Set([first.replace(/\d+$/, '')]);
    for (let round = 0; round < 12; round++) {
      masks.push(round % 2 === 0 ? [MASK, CORNER] : [CORNER, MASK].slice(round % 4 === 1 ? 1 : 0));
      await node.service.reload();
      const seen = await snapshot(`round ${round}`); // at once: the newest frame was taken under the mask before
      if (seen !== 'NO_FRAME') ids.add(seen.replace(/\d+$/, ''));
      await ear.request('query', { question: 'q?', crop: BESIDE, transaction: `query ${round}`, max_age_ms: 60_000 });
      await ear.response(`query ${round}`);
      await sleep(60);
      ids.add((await snapshot(`later ${round}`)).replace(/\d+$/, ''));
    }
    expect(ids.size).toBe(1); // the camera that it was
    expect(images().length).toBeGreaterThan(12);
    expect(inputs.length).toBeGreaterThan(60);
    expect(Math.max(...inputs)).toBeLessThan(TRACE);
    for (const image of images()) expect(leaning({ data: await sharp(image).raw().toBuffer() })).toBeLessThan(TRACE);

    const before = inputs.length;
    masks.push([]); // the owner may: or all of this would prove nothing
    await node.service.reload();
    await until('a question about all of it', () => inputs.slice(before).some((share) => share > 0.8));
    await snapshot('last');
    await until('the secret', async () => leaning({ data: await sharp(images().at(-1)).raw().toBuffer() }) > 0.8);
  });

  it('is told by no topic, no body of HTTP, no line of the log and no file that is kept', async () => {
    await using broker = await startMosquitto();
    /** By where it came from, everything that a node with this mask says and keeps. */
    const saidBy = async (privacy: unknown): Promise<Map<string, Buffer[]>> => {
      const kept = mkdtempSync(join(tmpdir(), 'mipha-masks-kept-'));
      const said = new Map<string, Buffer[]>();
      const add = (where: string, bytes: Buffer) => said.set(where, [...(said.get(where) ?? []), bytes]);
      const port = await freePort();
      const watch = { camera: 'yard', question: 'a?', interval_ms: 0, change_percent: 0, record: true, events: { confirm: { question: 'sure?' } } };
      let asked = 0;
      const log: string[] = [];
      await using ear = await listen(broker.url, ['#']);
      {
        await using node = await startNode(
          broker.url,
          {
            ...{ state_dir: kept, http: { port }, log: { level: 'trace' }, mqtt: { discovery: { enabled: true } } },
            cameras: { yard: { uri: `images://${folder}?fps=25&loop=true`, images: true, privacy } },
            watches: { whole: watch, part: { ...watch, crop: BESIDE }, zone: { ...watch, zone: [MASK] } },
          },
          { loadModel: async () => fakeModel({ answer: () => Math.floor(asked++ / 7) % 2 === 0 }), log },
        );
        await until('online', () => ear.on('availability').at(-1)?.text === 'online');
        await until('events', () => ['whole', 'part', 'zone'].every((id) => ear.on(`watch/${id}/event`).length > 2));
        for (const [verb, body] of Object.entries({
          ...{
            snapshot: { max_age_ms: 60_000 },
            query: { question: 'q?', crop: BESIDE },
            health: {},
            announce: {},
            'watch/put': { watch: 'more', spec: { ...watch, enabled: false } },
          },
          ...{ label: { watch: 'whole', answer: 'none-1', verdict: 'right' }, nonsense: {} },
        })) {
          await ear.request(verb, { transaction: `ask-${verb}`, ...body });
          if (verb !== 'nonsense') await ear.response(`ask-${verb}`);
        }
        for (const path of ['/livez', '/livez?verbose', '/readyz', '/readyz?verbose', '/metrics', '/', '/login', '/v1', '/v1/cameras/yard']) {
          add(`http ${path}`, Buffer.from(await (await fetch(`http://127.0.0.1:${port}${path}`)).arrayBuffer()));
        }
        await node.service.reload();
      }
      for (const { topic, packet } of ear.all) add(topic, packet.payload as Buffer);
      for (const line of log) add('log', Buffer.from(line));
      for (const path of readdirSync(kept, { recursive: true }).map((name) => join(kept, String(name)))) {
        if (statSync(path).isFile()) add(`file ${basename(path)}`, readFileSync(path));
      }
      rmSync(kept, { recursive: true });
      return said;
    };
    const traces = async (said: Map<string, Buffer[]>) => {
      const found = new Set<string>();
      for (const [where, all] of said) if (Math.max(...(await Promise.all(all.map(traceIn)))) >= TRACE) found.add(where.replace(/\d+\.jpg/, 'N.jpg'));
      return [...found].sort();
    };

    const said = await saidBy([MASK]);
    expect(said.get('log')?.length).toBeGreaterThan(5);
    expect([...said.keys()]).toEqual(expect.arrayContaining(['file log.ndjson', `${ROOT}/health`, `${ROOT}/watch/part/picture`, 'http /metrics']));
    expect(await traces(said)).toEqual([]);
    const pictures = ['camera/yard/image', ...['part', 'whole', 'zone'].map((id) => `watch/${id}/picture`)].map((topic) => `${ROOT}/${topic}`);
    expect(await traces(await saidBy([]))).toEqual(['file N.jpg', ...pictures]); // or the search would see nothing
    const { data, width, height } = secret(64, 48);
    const png = await sharp(data, { raw: { width, height, channels: 3 } })
      .png()
      .toBuffer();
    for (const text of [`{"x":"${png.toString('base64')}"}`, `[${[...data].join(', ')}]`, Buffer.from(data).toString('base64')])
      expect(await traceIn(Buffer.from(text))).toBeGreaterThan(0.8);
  }, 60_000);

  it('gives nobody a frame of the mask before once a new one is in force', async () => {
    const values = (privacy: unknown): ConfigInput => ({
      cameras: { yard: { uri: `images://${folder}/0.jpg?fps=0`, images: true, privacy } }, // one picture, and offline
      watches: {},
    });
    await using ear = await listen(mosquitto.url);
    const load = async () => config(mosquitto.url, values([MASK]));
    await using node = await startNode(mosquitto.url, values([CORNER]), { loadModel: async () => fakeModel(), load });
    const asked = async (transaction: string) => {
      await ear.request('snapshot', { transaction, max_age_ms: 60_000 });
      return await ear.response(transaction);
    };
    const newest = async () => {
      const image = ear.all.findLast(({ topic }) => topic === `${ROOT}/camera/yard/image`);
      const data = await sharp(image?.packet.payload as Buffer)
        .raw()
        .toBuffer();
      return leaning({ data });
    };
    await until('online', () => ear.on('availability').at(-1)?.text === 'online');
    let tries = 0;
    await until('the picture', async () => (await asked(`try ${tries++}`)).status === 'ok');
    expect(await newest()).toBeGreaterThan(0.8);
    await node.service.reload(); // which starts a camera anew that has ended
    const { error } = await asked('after');
    if (error !== null) expect(error.code).toBe('NO_FRAME');
    else expect(await newest()).toBeLessThan(TRACE);
  });
});
