/** The order of an installation, with models that are only names: which one serves, what a start would take, what is told. */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { MiphaError } from '../../src/errors.js';
import { readManifest } from '../../src/package/verify.js';
import { ModelsFolder } from '../../src/update/models-folder.js';
import { Trial } from '../../src/update/trial.js';
import { Updater } from '../../src/update/updater.js';
import { until } from '../support/mosquitto.js';
import { newSigner, refusalOf, type Signer, scratch, writeRelease } from './helpers.js';

interface FakeModel {
  name: string;
  disposed: boolean;
  dispose(): Promise<void>;
}

/** A node of a package of its own, with releases in a folder; `room`: models that fit the memory. */
class Bench {
  readonly log: string[] = [];
  room = 2;
  /** Names of packages that fail their self-test, and how many labelled answers each gets right. */
  readonly broken = new Set<string>();
  readonly right: Record<string, number> = {};
  seated: FakeModel | null = null;
  loaded = 0;
  held = 0;
  failed: unknown = null;
  updater!: Updater<FakeModel>;

  constructor(
    readonly folder: string,
    readonly signer: Signer,
    private base = 'own',
  ) {}

  get stick(): string {
    return join(this.folder, 'stick');
  }

  get models(): ModelsFolder {
    return new ModelsFolder(join(this.folder, 'state', 'models'), this.base, [this.signer.text]);
  }

  async release(name: string, seed: number) {
    return await writeRelease(join(this.stick, name), seed, name, this.signer);
  }

  async start(trialMs = 10_000): Promise<void> {
    let begun = await this.models.begin();
    for (;;) {
      try {
        this.seated = await this.load(begun.folder);
        break;
      } catch (error) {
        begun = await this.models.fallBack((error as Error).message);
      }
    }
    const updater = new Updater<FakeModel>({
      models: this.models,
      begun,
      rules: { folder: this.stick, origins: [] },
      seat: {
        load: (folder) => this.load(folder),
        hold: async () => {
          this.held++;
          return () => this.held--;
        },
        put: (model) => {
          expect(this.held).toBe(1);
          const before = this.seated;
          this.seated = model;
          this.log.push(`seat ${model?.name ?? 'nobody'}`);
          return before;
        },
        failed: (error) => {
          this.failed = error;
        },
      },
      score: async (model) => Array.from({ length: 10 }, (_, index) => index < (this.right[(model ?? this.seated)?.name ?? ''] ?? 5)),
      own: { name: 'own-package', release: null },
      trialMs,
    });
    updater.on('outcome', ({ outcome, release }) => this.log.push(`${outcome} ${release}`));
    updater.on('alert', (message) => this.log.push(message === null ? 'no alert' : `alert: ${message}`));
    this.updater = updater;
    await updater.start();
    onTestFinished(() => updater.stop());
  }

  async restart(): Promise<void> {
    await this.updater.stop();
    await this.seated?.dispose();
    await this.start();
  }

  /** As a process that is killed: nobody says goodbye. */
  async crash(): Promise<void> {
    await this.seated?.dispose();
    await this.start();
  }

  async install(source?: string): Promise<void> {
    await this.updater.install(source, undefined);
    await this.idle();
  }

  async idle(): Promise<void> {
    await until('it is done', () => ['idle', 'trial'].includes(this.updater.status.phase));
  }

  answers(ms: number | null, times = 20): void {
    for (let n = 0; n < times; n++) this.updater.answered(ms);
  }

  /** Answers that take so long, until it is enough. */
  async goesBackFor(ms: number): Promise<void> {
    await until('it goes back', () => {
      this.updater.answered(ms);
      return this.updater.status.last?.outcome === 'rolled_back' && this.updater.status.phase === 'idle';
    });
  }

  private async load(folder: string | undefined): Promise<FakeModel> {
    const name = folder === undefined ? this.base : (await readManifest(folder)).name;
    if (this.loaded >= this.room) throw new MiphaError('ERR_MEMORY', 'no room', { details: { neededBytes: 2, availableBytes: 1 } });
    if (this.broken.has(name)) throw new MiphaError('ERR_SELF_TEST', `${name}: self-test failed`);
    this.loaded++;
    const model: FakeModel = {
      name,
      disposed: false,
      dispose: async () => {
        if (!model.disposed) this.loaded--;
        model.disposed = true;
      },
    };
    return model;
  }
}

async function bench(): Promise<Bench> {
  const made = new Bench(await scratch(), newSigner());
  await made.release('1.0', 1);
  await made.start();
  return made;
}

describe('an installation', () => {
  it('seats the new model beside the old one, survives a restart, and goes back to what served before', async () => {
    const node = await bench();
    expect(node.updater.status).toMatchObject({ phase: 'idle', installed: null, canRollBack: false, offered: { source: '1.0' } });
    await node.install();
    expect(node.log).toEqual(['seat tiny-1', 'installed 1.0', 'no alert']);
    expect(node.updater.status).toMatchObject({
      phase: 'trial',
      installed: { release: '1.0' },
      previous: null,
      offered: null,
      last: { way: 'beside' },
    });
    expect(node.loaded).toBe(1);
    await node.release('1.1', 2);
    await node.install();
    expect(node.seated?.name).toBe('tiny-2');
    expect(node.updater.status.previous).toBe('1.0');
    await node.restart();
    expect(node.seated?.name).toBe('tiny-2');
    expect(node.updater.rollBack()).toEqual({ from: '1.1', to: '1.0' });
    await node.idle();
    expect(node.seated?.name).toBe('tiny-1');
    expect(node.updater.status).toMatchObject({ phase: 'idle', offered: null, last: { outcome: 'rolled_back', by_itself: false } }); // 1.1 is not offered again
    node.updater.rollBack();
    await node.idle();
    expect(node.seated?.name).toBe('own');
    expect(() => node.updater.rollBack()).toThrow(/nothing to go back to/);
    await node.restart();
    expect(node.seated?.name).toBe('own');
    expect(node.loaded).toBe(1);
  });

  it('unloads the old model first where memory holds one, and says so', async () => {
    const node = await bench();
    node.room = 1;
    await node.install();
    expect(node.log).toEqual(['seat nobody', 'seat tiny-1', 'installed 1.0', 'no alert']);
    expect(node.updater.status.last).toMatchObject({ way: 'in_turn' });
    expect(node.held).toBe(0);
    node.updater.rollBack();
    await node.idle();
    expect(node.seated?.name).toBe('own');
  });

  it.each([2, 1])('of a model that fails its self-test or answers worse leaves the old one, with room for %i', async (room) => {
    const node = await bench();
    node.room = room;
    node.broken.add('tiny-1');
    await node.install();
    expect(node.updater.status).toMatchObject({
      installed: null,
      last: { outcome: 'refused', message: expect.stringContaining('ERR_SELF_TEST: tiny-1') },
    });
    node.broken.clear();
    node.right['tiny-1'] = 4;
    await node.install();
    const words = 'expected at least 5 of 10 labelled answers of the record right, as the present model has, received 4';
    expect(node.updater.status.last?.message).toContain(words);
    expect(node.seated).toMatchObject({ name: 'own', disposed: false });
    expect([node.loaded, node.held, node.failed]).toEqual([1, 0, null]);
    await node.restart();
    expect(node.seated?.name).toBe('own');
    node.right['tiny-1'] = 5;
    await node.install();
    expect(node.updater.status.last).toMatchObject({ outcome: 'installed', message: expect.stringContaining('5 of 10 labelled answers right') });
  });

  it('says that the node cannot go on when neither can be loaded', async () => {
    const node = await bench();
    node.room = 1;
    node.broken.add('tiny-1').add('own');
    await node.install();
    expect(node.failed).toMatchObject({ code: 'ERR_SELF_TEST' });
    expect((await node.models.state()).active).toBeNull();
  });

  it('is one at a time, of another release than the one that serves, and of one that is there', async () => {
    const node = await bench();
    const first = node.updater.install('1.0', undefined);
    const second = refusalOf(node.updater.install('1.0', undefined));
    expect([await first, await second]).toMatchObject([
      { release: '1.0' },
      { code: 'ERR_BUSY', message: expect.stringContaining('is being installed') },
    ]);
    await node.idle();
    expect(await refusalOf(node.updater.install('1.0', undefined))).toMatchObject({ message: '1.0 serves already' });
    expect(await refusalOf(node.updater.install(undefined, undefined))).toMatchObject({ details: { reason: 'nothing' } });
  });

  it('is given up when the node stops, and can be asked for again', async () => {
    const node = await bench();
    await node.updater.install('1.0', undefined);
    await node.restart();
    expect(['own', 'tiny-1']).toContain(node.seated?.name);
    if (node.seated?.name === 'own') await node.install('1.0');
    expect(node.seated?.name).toBe('tiny-1');
  });
});

describe('a trial', () => {
  it('is lost when answers are slow for long, not for a moment; or when most of them fail', () => {
    let now = 0;
    const trial = new Trial({ usualMs: 100, standsMs: 1000, now: () => now });
    const answers = (ms: number | null, times: number) => Array.from({ length: times }, () => trial.answered(ms)).at(-1);
    expect(answers(500, 30)).toBeNull();
    now = 999;
    expect(answers(500, 1)).toBeNull();
    expect(answers(100, 20)).toBeNull();
    now = 5000;
    expect(answers(500, 20)).toBeNull();
    now = 6000;
    expect(answers(500, 1)).toBe('an answer takes 500 ms, where the model before took 100 ms');
    expect(new Trial({ usualMs: null, standsMs: 0 }).answered(1e6)).toBeNull();
    const failing = new Trial({ usualMs: 100, standsMs: 0 });
    expect(Array.from({ length: 5 }, () => failing.answered(null))).toEqual([null, null, null, null, '5 of its last 5 answers failed']);
  });

  it('ends with the old model when an answer takes twice the time', async () => {
    const node = await bench();
    node.answers(100);
    await node.install();
    node.answers(199);
    expect(node.updater.status.phase).toBe('trial');
    await node.goesBackFor(201);
    expect(node.seated?.name).toBe('own');
    const words = '1.0 was taken back: an answer takes 201 ms, where the model before took 100 ms';
    expect(node.log.slice(-2)).toEqual(['rolled_back 1.0', `alert: ${words}`]);
    expect(node.updater.status).toMatchObject({ phase: 'idle', offered: null, last: { by_itself: true, message: words } });
  });

  it('ends with the old model when most answers fail, by the old pace after a restart too', async () => {
    const node = await bench();
    await node.install();
    node.answers(50, 8);
    node.answers(null, 8);
    expect(node.seated?.name).toBe('tiny-1');
    node.answers(null, 4);
    await node.idle();
    expect(node.seated?.name).toBe('own');
    await node.release('1.1', 2);
    node.answers(100);
    await node.install();
    await node.restart();
    expect(node.updater.status.phase).toBe('trial');
    await node.goesBackFor(250);
    expect(node.seated?.name).toBe('own');
  });

  it('is over after its time, and then nothing takes the model back', async () => {
    const node = await bench();
    await node.updater.stop();
    await node.start(20);
    await node.install();
    await until('it has passed', () => node.updater.status.phase === 'idle');
    await until('it is on the disk', async () => (await node.models.state()).trial === null);
    node.answers(null);
    expect(node.seated?.name).toBe('tiny-1');
  });

  it('that no start outlives ends with the old model; starts that were ended in order do not count', async () => {
    const node = await bench();
    await node.install();
    for (let n = 0; n < 5; n++) await node.restart();
    expect(node.seated?.name).toBe('tiny-1');
    for (let n = 0; n < 3; n++) await node.crash();
    expect(node.seated?.name).toBe('own');
    expect(node.log.at(-1)).toMatch(/^alert: 1\.0 was taken back: 3 starts in a row/);
  });
});

describe('a start', () => {
  it('takes the model before when the installed one cannot be loaded, or nobody vouches for it any more', async () => {
    const node = await bench();
    await node.install();
    node.broken.add('tiny-1');
    await node.restart();
    expect(node.seated?.name).toBe('own');
    expect(node.log.at(-1)).toContain('alert: 1.0 was taken back: tiny-1: self-test failed');
    node.broken.clear();
    await node.install('1.0');
    const elsewhere = new Bench(node.folder, newSigner());
    await elsewhere.start();
    expect(elsewhere.seated?.name).toBe('own');
    expect(elsewhere.log[0]).toContain('release.sig');
  });

  it('takes the package of the configuration when that names another one than then', async () => {
    const node = await bench();
    await node.install();
    const other = new Bench(node.folder, node.signer, 'another');
    await other.start();
    expect(other.seated?.name).toBe('another');
    expect(other.log).toEqual([]);
    expect(other.updater.status).toMatchObject({ installed: null, canRollBack: false });
  });

  it('takes up what a command has brought, and what it has taken back', async () => {
    const node = await bench();
    const release = await node.models.serving(null);
    expect(release.release).toBeNull();
    await node.install();
    const next = await node.release('1.1', 2);
    const { allowedSource } = await import('../../src/update/source.js');
    await node.models.bring(await allowedSource('1.1', { folder: node.stick, origins: [] }), next, { signal: new AbortController().signal });
    await node.models.change((state) => ({ ...state, wanted: next.id }));
    await node.restart();
    await until('it serves', () => node.seated?.name === 'tiny-2');
    await node.idle();
    expect((await node.models.state()).wanted).toBeNull();
    await node.models.rollBack(
      { outcome: 'rolled_back', release: '1.1', at: new Date().toISOString(), message: 'on this machine', way: null, by_itself: false },
      true,
    );
    await node.updater.takeUp();
    await until('it follows', () => node.seated?.name === 'tiny-1');
    await node.idle();
    expect(node.log.at(-2)).toBe('rolled_back 1.1');
  });

  it('finds nothing of what was not finished, and removes what nobody needs', async () => {
    const node = await bench();
    await node.install();
    await node.release('1.1', 2);
    await node.install();
    await node.release('1.2', 3);
    await node.install();
    const names = (await readdir(node.models.path)).filter((name) => !name.startsWith('.') && name !== 'state.json');
    expect(names).toHaveLength(2); // the one that serves, and the one before
  });
});
