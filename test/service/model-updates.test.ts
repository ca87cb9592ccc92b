/** Models that are installed while a node runs, through a broker: what its clients see, who goes on, and what comes back. */

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from 'vitest';
import { MiphaError } from '../../src/errors.js';
import { healthSchema, infoSchema, type ModelState, modelStateSchema } from '../../src/mqtt/messages.js';
import { addLabels } from '../../src/record/labels.js';
import type { ConfigInput } from '../../src/service/config/config.js';
import type { LoadModel } from '../../src/service/model/model.js';
import { type Mosquitto, sleep, startMosquitto, until } from '../support/mosquitto.js';
import { nanoRelease } from '../support/nano-release.js';
import { describeWith } from '../support/programs.js';
import { newSigner, writeRelease } from '../update/helpers.js';
import { type Ear, type FakeModel, fakeModel, LAMP, listen, type Node, startNode } from './support.js';

const signer = newSigner();
/** Another picture with each frame, so that watches ask as often as they may. */
const QUICK = { uri: 'synthetic://kitchen?cup=one&change_ms=20&fps=25' };

describeWith(['mosquitto'], 'models of a node', () => {
  let mosquitto: Mosquitto;
  let ear: Ear;
  let folder = '';

  beforeAll(async () => {
    mosquitto = await startMosquitto();
  });
  afterAll(() => mosquitto[Symbol.asyncDispose]());
  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'mipha-models-'));
    ear = await listen(mosquitto.url, ['mipha/v1/test/#', 'homeassistant/#']);
  });
  afterEach(async () => {
    await ear[Symbol.asyncDispose]();
    rmSync(folder, { recursive: true, force: true });
  });

  const stick = () => join(folder, 'stick');
  /** On a machine that tests keep busy the shipped model is not to be judged by its pace. */
  const updates = (trial_s = 86_400) => ({ keys: [signer.text], folder: stick(), trial_s });
  async function start(values: ConfigInput = {}, loadModel?: LoadModel): Promise<Node> {
    const node = await startNode(
      mosquitto.url,
      { state_dir: join(folder, 'state'), model: { updates: updates() }, cameras: { kitchen: QUICK }, ...values },
      loadModel === undefined ? {} : { loadModel },
    );
    await until('the node is online', () => ear.on('availability').at(-1)?.text === 'online');
    return node;
  }
  /** Of this node, not of one before. */
  const models = () =>
    ear
      .on('model')
      .filter(({ text, retained }) => text !== '' && !retained)
      .map(({ text }) => modelStateSchema.parse(JSON.parse(text)));
  const outcome = (release: string, of: string, times = 1) =>
    until(`${release} is ${of}`, () => {
      const found = models().filter(({ last, incoming }) => incoming === null && last?.release === release && last.outcome === of);
      return new Set(found.map(({ last }) => last?.ts)).size >= times ? (found.at(-1) as ModelState) : null;
    });
  async function ask(verb: string, body: object = {}) {
    const transaction = `${verb} ${Math.random()}`;
    await ear.request(verb, { ...body, transaction });
    return await ear.response(transaction);
  }
  const results = () =>
    ear
      .on('watch/lamp/result')
      .filter(({ text, retained }) => text !== '' && !retained)
      .map(({ text }) => JSON.parse(text));

  it('are installed on request and taken back, while watches go on and keep what they believe; the next start has them', async () => {
    await nanoRelease(join(stick(), '2.0'), '2.0', signer.privateKey);
    const values = { mqtt: { discovery: { enabled: true } }, watches: { lamp: { ...LAMP, interval_ms: 50 } } };
    {
      await using node = await start(values);
      await until('answers', () => results().filter(({ status }) => status === 'ok').length > 10);
      expect(models().at(-1)).toMatchObject({
        phase: 'idle',
        installed: { id: 'mipha-nano', release: 'shipped', from: 'configuration' },
        latest: { release: '2.0' },
      });
      const before = results().length;
      const response = await ask('model/install');
      expect(response).toMatchObject({ status: 'ok', data: { release: '2.0', model: 'nano-2.0' } });
      const installed = await outcome('2.0', 'installed');
      expect(installed).toMatchObject({
        phase: 'trial',
        installed: { id: 'nano-2.0', release: '2.0', from: 'installed' },
        previous: 'shipped',
        latest: null,
      });
      expect(installed.last?.way).toBe('beside');
      await until('answers of the new one', () => results().filter(({ model }) => model.id === 'nano-2.0').length > 10);
      const since = results().slice(before - 1);
      expect(since.filter(({ status }) => status !== 'ok')).toEqual([]); // nothing was lost, and nothing became unknown
      expect(since.map(({ seq }) => seq)).toEqual(since.map((_, i) => since[0].seq + i));
      expect(infoSchema.parse(JSON.parse(ear.on('info').at(-1)?.text ?? '')).models).toMatchObject([
        { id: 'nano-2.0', release: '2.0', state: 'ready' },
      ]);
      expect(healthSchema.parse(node.service.health()).engine).toMatchObject({ state: 'ready', release: '2.0' });
      expect(ear.on('event').map(({ text }) => JSON.parse(text).event_type)).toContain('model_installed');
      const device = JSON.parse(ear.all.findLast(({ topic }) => topic === 'homeassistant/device/mipha_test/config')?.text ?? '{}');
      expect(device.components.model).toMatchObject({
        platform: 'update',
        command_topic: 'mipha/v1/test/request/model/install',
        payload_install: '{}',
      });
    }
    await using node = await start(values);
    expect(node.service.health().engine.release).toBe('2.0');
    expect(await ask('model/rollback')).toMatchObject({ status: 'ok', data: { from: '2.0', to: 'shipped' } });
    const back = await outcome('2.0', 'rolled_back');
    expect(back).toMatchObject({
      phase: 'idle',
      installed: { id: 'mipha-nano', from: 'configuration' },
      previous: null,
      latest: null,
      last: { by_itself: false },
    });
    expect(await ask('query', { question: 'Is the lamp on?', answer: { type: 'boolean' } })).toMatchObject({
      status: 'ok',
      data: { model: { id: 'mipha-nano' } },
    });
    expect((await ask('model/rollback')).error).toMatchObject({ code: 'MODEL_REFUSED' });
    expect(ear.on('alert/model').filter(({ text }) => text !== '')).toEqual([]);
  });

  it('that are not what was signed, fail their self-test or are not there are refused with words, and the old one answers', async () => {
    await nanoRelease(join(stick(), '3.0'), '3.0', signer.privateKey, { spoilt: true });
    await writeRelease(join(stick(), 'foreign'), 1, '9.0', newSigner());
    await writeRelease(join(stick(), 'changed'), 2, '8.0', signer);
    writeFileSync(join(stick(), 'changed', 'golden.json'), 'x');
    await using _ = await start();
    for (const [request, words] of [
      [{ source: 'foreign' }, 'release.sig'],
      [{ source: '../state' }, 'below model.updates.folder'],
      [{ source: 'nothing' }, 'ENOENT'],
      [{ source: 'https://else.example/model' }, 'model.updates.origins names none'],
      [{ source: 'changed', sha256: '0'.repeat(64) }, 'expected the sha256 0000'],
    ] as const) {
      const { error } = await ask('model/install', request);
      expect(error).toMatchObject({ code: 'MODEL_REFUSED', message: expect.stringContaining(words) });
    }
    expect((await ask('model/install', { sha256: 'short' })).error).toMatchObject({ code: 'SCHEMA' });
    await ask('model/install', { source: 'changed' });
    expect((await outcome('8.0', 'refused')).last?.message).toContain('golden.json');
    await ask('model/install', { source: '3.0' });
    const refused = await outcome('3.0', 'refused');
    expect(refused.last?.message).toContain('ERR_SELF_TEST');
    expect(refused.installed.from).toBe('configuration');
    expect(await ask('query', { question: 'Is the lamp on?', answer: { type: 'boolean' } })).toMatchObject({
      status: 'ok',
      data: { model: { id: 'mipha-nano' } },
    });
  });

  it('cannot be installed where the configuration names no key, or closes it', async () => {
    {
      await using _ = await start({ model: {} });
      for (const verb of ['model/install', 'model/rollback']) {
        const { error } = await ask(verb);
        expect(error).toMatchObject({ code: 'FORBIDDEN', message: expect.stringContaining('model.updates.keys') });
      }
      expect(models()).toEqual([]);
      expect(ear.on('model').at(-1)?.text ?? '').toBe(''); // what an earlier node left is taken back
    }
    await using _ = await start({ requests: { closed: ['model/install'] } });
    expect((await ask('model/install')).error).toMatchObject({ code: 'FORBIDDEN', message: expect.stringContaining('requests.closed') });
  });

  /** A fake model for each release, by the name of its folder; `own` for the configuration's. */
  function fakes(made: Record<string, () => FakeModel>, ids: Record<string, string>): LoadModel {
    return async ({ folder: at }) => {
      const name = at === undefined ? 'own' : (ids[basename(at)] ?? 'own');
      return Object.assign((made[name] as () => FakeModel)(), { name });
    };
  }

  it('that get fewer of the labelled answers on record right are refused; others are scored by them', async () => {
    const [worse, better] = [await writeRelease(join(stick(), 'w'), 1, '1.0', signer), await writeRelease(join(stick(), 'b'), 2, '2.0', signer)];
    const yes = () => fakeModel({ answer: () => true });
    const loadModel = fakes(
      { own: yes, worse: () => fakeModel({ answer: () => false }), better: yes },
      { [worse.id]: 'worse', [better.id]: 'better' },
    );
    await using _ = await start(
      { cameras: { kitchen: { ...QUICK, images: true } }, watches: { lamp: { ...LAMP, record: true, change_percent: 0 } } },
      loadModel,
    );
    await until('recorded answers', () => results().filter(({ status }) => status === 'ok').length > 5);
    for (const { id } of results()
      .filter(({ status }) => status === 'ok')
      .slice(0, 3)) {
      expect(await ask('label', { watch: 'lamp', answer: id, verdict: 'right' })).toMatchObject({ status: 'ok' });
    }
    expect((await addLabels(join(folder, 'state', 'record'), 'lamp', [])).unknown).toEqual([]);
    await ask('model/install', { source: 'w' });
    const refused = await outcome('1.0', 'refused');
    expect(refused.last?.message).toContain('expected at least 3 of 3 labelled answers of the record right, as the present model has, received 0');
    await ask('model/install', { source: 'b' });
    expect((await outcome('2.0', 'installed')).last?.message).toContain('3 of 3 labelled answers right');
  });

  it('take turns where the memory holds one: nothing is answered meanwhile, the old one comes back if the new one fails, and cameras follow what it sees', async () => {
    const [bad, large] = [await writeRelease(join(stick(), 'x'), 1, '1.0', signer), await writeRelease(join(stick(), 'y'), 2, '2.0', signer)];
    const kinds: Record<string, string> = { [bad.id]: 'bad', [large.id]: 'large' };
    let [loaded, loading] = [0, 0];
    const loadModel: LoadModel = async ({ folder: at }) => {
      const name = at === undefined ? 'own' : (kinds[basename(at)] as string);
      if (loaded > 0) throw new MiphaError('ERR_MEMORY', 'one fits', { details: { neededBytes: 2, availableBytes: 1 } });
      loading++;
      if (at !== undefined) await sleep(1500);
      if (name === 'bad') throw new MiphaError('ERR_SELF_TEST', 'self-test failed');
      loaded++;
      const dispose = async () => void loaded--;
      return Object.assign(fakeModel({}), { name, dispose, imageSize: name === 'large' ? 64 : 112 });
    };
    const short = { ...LAMP, ttl_ms: 600, reask_ms: 300, interval_ms: 20 };
    await using node = await start({ watches: { lamp: short, long: { ...LAMP, interval_ms: 20 } } }, loadModel);
    await until('answers', () => results().filter(({ status }) => status === 'ok').length > 5);
    const begun = results().length;
    const before = node.service.cameras.get('kitchen');
    await ask('model/install', { source: 'x' });
    await until('the old one is unloaded', () => loading === 2);
    expect((await ask('query', { question: 'Is the lamp on?' })).error).toMatchObject({ code: 'MODEL_LOADING', retryable: true });
    expect(node.service.health().engine.state).toBe('loading');
    expect((await outcome('1.0', 'refused')).last?.message).toContain('self-test failed');
    expect(
      results()
        .slice(begun)
        .some(({ status }) => status === 'stale'),
    ).toBe(true); // it has expired as always
    expect(ear.on('watch/long/state').at(-1)?.text).toBe('ON'); // or has not
    await until('answers again', () => results().at(-1)?.status === 'ok');
    await ask('model/install', { source: 'y' });
    expect((await outcome('2.0', 'installed')).last?.way).toBe('in_turn');
    await until(
      'a camera for pictures of another size',
      () => node.service.cameras.get('kitchen')?.state === 'online' && node.service.cameras.get('kitchen') !== before,
    );
    expect(results().some(({ status }) => status === 'error')).toBe(false);
    expect(loaded).toBe(1);
  });

  it('that take twice the time go back by themselves, with an alert that the next installation takes away', async () => {
    const [slow, good] = [await writeRelease(join(stick(), 's'), 1, '1.0', signer), await writeRelease(join(stick(), 'g'), 2, '2.0', signer)];
    const timed = (ms: number) => () => {
      const made = fakeModel({});
      const { look } = made;
      made.look = async (...call) =>
        Object.assign(await look(...call), { timings: { queueMs: 0, preprocessMs: 0, visionMs: ms, prefillMs: 0, totalMs: ms } });
      return made;
    };
    const loadModel = fakes({ own: timed(10), slow: timed(20), good: timed(12) }, { [slow.id]: 'slow', [good.id]: 'good' });
    await using node = await start(
      { model: { updates: updates(15) }, watches: { lamp: { ...LAMP, interval_ms: 20, change_percent: 0 } } },
      loadModel,
    );
    const answers = async () => {
      const before = results().length;
      await until('answers', () => results().length > before + 25);
    };
    await answers();
    await ask('model/install', { source: 's' });
    await outcome('1.0', 'installed');
    const back = await outcome('1.0', 'rolled_back');
    expect(back).toMatchObject({ phase: 'idle', installed: { id: 'own' }, last: { by_itself: true } });
    const alert = await until('the alert', () => ear.on('alert/model').find(({ text }) => text !== '')?.text);
    expect(JSON.parse(alert).message).toContain('1.0 was taken back: an answer takes 20 ms, where the model before took 10 ms');
    expect(node.service.health().errors).toMatchObject([{ id: 'model' }]);
    await answers();
    await ask('model/install', { source: 'g' });
    await outcome('2.0', 'installed');
    await until('the alert is over', () => ear.on('alert/model').at(-1)?.text === '');
    await answers();
    expect(models().at(-1)?.installed.id).toBe('good');
  });
});
