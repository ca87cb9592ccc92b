/** A whole node that records: what its record holds beside what a client of the broker got, what it must never hold, and disks that are in trouble. */
import { mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import sharp from 'sharp';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { healthSchema } from '../../src/mqtt/messages.js';
import { readLabels } from '../../src/record/labels.js';
import { type Recorded, readRecord } from '../../src/record/read.js';
import { Recorder } from '../../src/record/recorder.js';
import type { ConfigInput, LoadedConfig } from '../../src/service/config/config.js';
import { type Mosquitto, sleep, startMosquitto, until } from '../support/mosquitto.js';
import { describeWith } from '../support/programs.js';
import { canMount, mounted } from '../support/small-disk.js';
import { config, type Ear, fakeModel, LAMP, listen, type Node, startNode } from './support.js';

const CAMERA = { uri: 'synthetic://kitchen?cup=one&change_ms=100', images: true };
const RECORDED = { ...LAMP, record: true, change_percent: 0 };
const canFill = canMount('a node whose record is on a full disk');

async function lines(folder: string, watch = 'lamp'): Promise<Recorded[]> {
  const all: Recorded[] = [];
  for await (const one of readRecord(folder, { watch })) all.push(one);
  return all;
}

/** Says yes and no in turn, five times each. */
function wavering() {
  let asked = 0;
  return fakeModel({ answer: () => Math.floor(asked++ / 5) % 2 === 0 });
}

describeWith(['mosquitto'], 'a node that records', () => {
  let mosquitto: Mosquitto;
  let ear: Ear;
  let folder = '';

  beforeAll(async () => {
    mosquitto = await startMosquitto();
  });
  afterAll(() => mosquitto[Symbol.asyncDispose]());
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'mipha-recording-'));
    ear = await listen(mosquitto.url);
  });
  afterEach(async () => {
    await ear[Symbol.asyncDispose]();
    await rm(folder, { recursive: true, force: true });
  });

  async function start(values: ConfigInput = {}, load?: () => Promise<LoadedConfig>): Promise<Node> {
    const node = await startNode(
      mosquitto.url,
      { state_dir: folder, cameras: { kitchen: CAMERA }, watches: { lamp: RECORDED }, ...values },
      { loadModel: async () => wavering(), ...(load === undefined ? {} : { load }) },
    );
    await until('the node is online', () => ear.on('availability').at(-1)?.text === 'online');
    return node;
  }
  const results = (watch = 'lamp') =>
    ear
      .on(`watch/${watch}/result`)
      .filter(({ text, retained }) => text !== '' && !retained)
      .map(({ text }) => JSON.parse(text));
  const events = () => ear.on('watch/lamp/event').map(({ text }) => JSON.parse(text));
  const alert = () => ear.on('alert/recorder').findLast(({ retained }) => !retained)?.text ?? '';
  const record = () => join(folder, 'record');

  it('has in its record every answer and event that went out, by the same id, and the picture of every frame', async () => {
    {
      await using node = await start({ watches: { lamp: RECORDED, door: LAMP } });
      await until(
        'answers and events',
        () => results().filter(({ frame }) => frame !== null).length > 30 && results('door').length > 5 && events().length > 3,
        20_000,
      );
      const health = healthSchema.parse(node.service.health());
      expect(health.recorder).toMatchObject({ lost: {}, pictures_dropped: 0 });
      expect(health.recorder?.segments).toBe(1);
    }
    const recorded = await lines(record());
    const [first, ...rest] = recorded.map(({ line }) => line);
    expect(first).toMatchObject({
      kind: 'start',
      watch: 'lamp',
      camera: 'kitchen',
      model: { name: 'fake', hash: '0' },
      spec: { question: LAMP.question },
    });
    const answers = new Map(rest.flatMap((line) => (line.kind === 'answer' ? [[line.id, line] as const] : [])));
    const frames = new Map(recorded.flatMap((one) => (one.line.kind === 'frame' && one.line.asked ? [[one.line.id, one] as const] : [])));
    const told = results().filter(({ frame, session }) => frame !== null && session === (first as { session: string }).session);
    expect(told.length).toBeGreaterThan(30);
    for (const { id, frame, value, observed, confidence, answer } of told) {
      expect(answers.get(id)).toMatchObject({ frame: frame.id, value, observed, confidence, text: answer });
      expect(frames.get(frame.id)?.line).toMatchObject({ width: frame.width, height: frame.height });
    }
    const eventLines = rest.flatMap((line) => (line.kind === 'event' ? [line] : []));
    expect(eventLines.map(({ answer, event_type, value, previous }) => ({ answer, event_type, value, previous }))).toEqual(
      events().map(({ result, event_type, value, previous }) => ({ answer: result, event_type, value, previous })),
    );
    // a frame that was recorded for its looks, and asked about later, has two lines and one picture
    const pictures = new Map(
      recorded.flatMap(({ line, picture }) => (line.kind === 'frame' && picture !== null ? [[line.id, { line, picture }] as const] : [])),
    );
    expect([...frames.keys()].filter((id) => !pictures.has(id))).toEqual([]);
    for (const { line, picture } of pictures.values()) {
      const { format, width, height } = await sharp(picture).metadata();
      expect({ format, width, height }).toEqual({ format: 'jpeg', width: line.width, height: line.height });
    }
    expect(await lines(record(), 'door')).toEqual([]);
  });

  it('has every answer to a second question, before the event that it lets go', async () => {
    const confirm = { question: 'Is it the ceiling lamp?', expect: false };
    {
      await using _ = await start({ watches: { lamp: { ...RECORDED, events: { confirm } } } });
      await until('events', () => events().filter(({ event_type }) => event_type === 'triggered').length > 2, 20_000);
    }
    const all = (await lines(record())).map(({ line }) => line);
    const opinions = all.flatMap((line) => (line.kind === 'opinion' ? [line] : []));
    const asked = new Set(all.flatMap((line) => (line.kind === 'frame' && line.asked ? [line.id] : [])));
    for (const { question, expect: expected, observed, agrees, frame } of opinions) {
      expect([question, expected, agrees, asked.has(frame)]).toEqual([confirm.question, false, observed === false, true]);
    }
    const triggered = all.flatMap((line, at) => (line.kind === 'event' && line.event_type === 'triggered' ? [all[at - 1]] : []));
    for (const before of triggered) expect(before).toMatchObject({ kind: 'opinion', agrees: true });
    expect(triggered.length).toBeGreaterThan(1);
  });

  it('begins and ends while it runs; without a recorded watch nothing is decided for it', async () => {
    await using node = await start({ watches: { lamp: LAMP } });
    await until('answers', () => results().length > 5);
    expect(node.service.health().recorder).toBeNull();
    const put = async (more: object, transaction: string) => {
      await ear.request('watch/put', { watch: 'lamp', spec: { ...LAMP, ...more }, transaction });
      return await ear.response(transaction);
    };
    expect(await put({ record: true }, 'on')).toMatchObject({ status: 'ok' });
    await until('a record', async () => (await lines(record())).some(({ line }) => line.kind === 'answer'));
    const [first] = await lines(record());
    expect(first?.line).toMatchObject({ kind: 'start', spec: { record: true } });
    expect(await put({}, 'off')).toMatchObject({ status: 'ok' });
    await sleep(300); // what waits is written
    const before = (await lines(record())).length;
    const seen = results().length;
    await until('more answers', () => results().length > seen + 5);
    expect((await lines(record())).length).toBe(before);
  });

  it('refuses a watch over MQTT whose pictures may not be kept, with words', async () => {
    await using _ = await start({ cameras: { kitchen: { ...CAMERA, images: false } }, watches: { lamp: LAMP } });
    await ear.request('watch/put', { watch: 'lamp', spec: RECORDED, transaction: 'private' });
    const { status, error } = await ear.response('private');
    expect({ status, code: error?.code }).toEqual({ status: 'error', code: 'SCHEMA' });
    expect(error?.message).toContain('watches.lamp.record');
    expect(error?.message).toContain('false while cameras.kitchen.images is off');
  });

  it('stops at once when the images of its camera are turned off, and drops an override that asks for more', async () => {
    let images = true;
    const values = () => ({ state_dir: folder, cameras: { kitchen: { ...CAMERA, images } }, watches: { lamp: LAMP } });
    await using node = await start(values(), async () => config(mosquitto.url, values()));
    await ear.request('options', { options: { watches: { lamp: { record: true } } }, transaction: 'on' });
    expect(await ear.response('on')).toMatchObject({ status: 'ok' });
    await until('a record', async () => (await lines(record())).some(({ line }) => line.kind === 'answer'));
    images = false;
    const turned = performance.now();
    await node.service.reload();
    const seen = results().length;
    await until('more answers', () => results().length > seen + 5);
    const late = (await lines(record())).filter(({ line }) => line.kind === 'frame' && line.decided_ms > turned + 100);
    expect(late).toEqual([]);
  });

  it('refuses whole what turns images off and goes on recording, and says what to do', async () => {
    let images = true;
    const values = () => ({ state_dir: folder, cameras: { kitchen: { ...CAMERA, images } }, watches: { lamp: RECORDED } });
    await using node = await start(values(), async () => config(mosquitto.url, values()));
    images = false;
    await node.service.reload();
    const { message } = JSON.parse(await until('an alert', () => ear.on('alert/config').at(-1)?.text));
    expect(message).toContain('is refused, the old one stays in force');
    expect(message).toContain('(watches.lamp.record): expected false while cameras.kitchen.images is off');
    expect(message).toContain('to keep no pictures turn off both, to record turn on cameras.kitchen.images');
    const seen = (await lines(record())).length;
    await until('more on record', async () => (await lines(record())).length > seen); // the old one is in force
  });

  it('runs, says why, and records once it can, where another process records into its folder', async () => {
    const other = await Recorder.open({ folder: record(), session: 'other', limits: { bytes: 1 << 20, days: 1 } });
    await using node = await start();
    await until('answers', () => results().length > 3);
    const { level, message } = JSON.parse(await until('the alert', alert));
    expect(level).toBe('WARNING');
    expect(message).toBe(`Nothing is recorded: ${record()}: process ${process.pid} records into this folder`);
    expect(node.service.health().errors).toContainEqual({ id: 'recorder', level, message });
    await other.close();
    await until('a record', async () => (await lines(record())).some(({ line }) => line.kind === 'answer'));
    await until('no alert', () => alert() === '', 10_000);
    expect(node.service.health().recorder?.lost).toHaveProperty('locked');
  });

  it('writes what it has when it is abandoned', async () => {
    const node = await start();
    await until('answers', () => results().length > 5);
    await node.service.abandon(new Error('a bug'), 2000);
    const last = results().at(-1);
    expect((await lines(record())).some(({ line }) => line.kind === 'answer' && line.id === last.id)).toBe(true);
    await node.service.cameras.stop();
  });

  describe.skipIf(!canFill)('on a small disk', () => {
    it('answers go on while it is full or read-only; the alert comes and goes', async () => {
      await mounted(4 << 20, async (disk, mount) => {
        const folder = join(disk, 'record');
        const kinds = async () => (await lines(folder)).map(({ line }) => line.kind);
        mount('remount,ro,');
        await using node = await start({ recorder: { folder } });
        const goesOn = async () => {
          const seen = results().length;
          await until('answers that go on', () => results().length > seen + 10);
        };
        await until('an alert', () => /Nothing is recorded: .*EROFS/.test(alert()));
        await goesOn();
        mount('remount,rw,');
        await until('no alert', () => alert() === '', 20_000);
        await until('a record', async () => (await kinds()).includes('lost'));
        expect(node.service.health().recorder?.lost).toHaveProperty('read_only');

        await writeFile(join(disk, 'filler'), Buffer.alloc(8 << 20)).catch(() => {});
        await until('an alert', () => /(Nothing is|Pictures are not) recorded: .*(full|ENOSPC)/.test(alert()), 20_000);
        await goesOn();
        await rm(join(disk, 'filler'));
        await until('no alert', () => alert() === '', 20_000);
        const { length } = await kinds();
        await until('more on record', async () => (await kinds()).length > length + 5);
      });
    }, 90_000);
  });

  it('takes labels for answers that it has, with values that could be answers, unless it is closed to them', async () => {
    let closed: string[] = [];
    const values = () => ({ state_dir: folder, cameras: { kitchen: CAMERA }, watches: { lamp: RECORDED, door: LAMP }, requests: { closed } });
    await using node = await start(values(), async () => config(mosquitto.url, values()));
    const { id: answer } = await until('an answer', () => results().find(({ frame }) => frame !== null));
    let asked = 0;
    const label = async (body: object) => {
      const transaction = `label-${asked++}`;
      await ear.request('label', { watch: 'lamp', answer, verdict: 'wrong', ...body, transaction });
      const { status, data, error } = await ear.response(transaction);
      return status === 'ok' ? data : `${error?.code}: ${error?.message}`;
    };
    expect(await label({})).toEqual({ watch: 'lamp', answer }); // at once: the answer may not be on the disk yet
    expect((await readLabels(record(), 'lamp')).labels.get(answer)).toMatchObject({ verdict: 'wrong' });
    expect(await label({ value: false })).toEqual({ watch: 'lamp', answer });
    expect(await label({ verdict: 'right' })).toEqual({ watch: 'lamp', answer });
    const { labels } = await readLabels(record(), 'lamp');
    expect([...labels.values()]).toEqual([{ answer, verdict: 'right', at: expect.any(String) }]);
    expect(await label({ value: 'off' })).toBe('SCHEMA: value: expected true or false, received "off"');
    expect(await label({ verdict: 'right', value: true })).toBe('SCHEMA: value: expected none with the verdict right, received true');
    expect(await label({ verdict: 'maybe' })).toMatch(/^SCHEMA: .*verdict/);
    expect(await label({ answer: 'x-1' })).toBe('UNKNOWN_ANSWER: answer: expected the id of a recorded answer of the watch lamp, received "x-1"');
    expect(await label({ watch: 'door' })).toMatch(/^UNKNOWN_ANSWER: .* of the watch door/);
    expect(await label({ watch: 'roof' })).toMatch(/^UNKNOWN_WATCH: /);
    closed = ['label'];
    await node.service.reload();
    expect(await label({})).toMatch(/^FORBIDDEN: label is closed/);
    expect((await readLabels(record(), 'lamp')).labels.size).toBe(1);
  });

  it('opens its folder for its owner alone', async () => {
    await using _ = await start();
    await until('a record', async () => (await lines(record())).length > 0);
    const { mode } = await stat(record());
    expect(mode & 0o77).toBe(0);
  });
});
