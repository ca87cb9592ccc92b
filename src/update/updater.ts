/**
 * Installs releases on a node that runs, and takes them back: fetched, tested, asked what the record knows the answers to, put in the place of the
 * present one, then on trial. One thing at a time; whatever goes wrong is an outcome in words, and the model before serves.
 */
import { EventEmitter } from 'node:events';
import { MiphaError } from '../errors.js';
import { checkSpace, releaseAt } from './bring.js';
import { type Disposable, exchange, type Seat } from './exchange.js';
import { type Begun, type ModelsFolder, outcomeOf, type Serving } from './models-folder.js';
import { newestIn, type Offered } from './offered.js';
import { refused } from './refused.js';
import type { Release } from './release.js';
import { allowedSource, type Source, type SourceRules } from './source.js';
import type { Outcome, Way } from './state.js';
import { Pace, Trial } from './trial.js';
import { refuseWorse } from './worse.js';

/** idle; being fetched; being tested or put in its place; in its place, and on trial. */
export type Phase = 'idle' | 'fetching' | 'testing' | 'trial';

export interface UpdateStatus {
  phase: Phase;
  /** Of what is fetched, 0 to 100; null: nothing is. */
  percent: number | null;
  /** Being fetched or tested. */
  incoming: string | null;
  /** That serves; null: that of the configuration. */
  installed: Release | null;
  /** Of it. */
  folder: string | undefined;
  /** That a rollback would bring back; null: that of the configuration. */
  previous: string | null;
  canRollBack: boolean;
  offered: Offered | null;
  last: Outcome | null;
}

export interface UpdaterOptions<M extends Disposable> {
  models: ModelsFolder;
  begun: Begun;
  rules: SourceRules;
  seat: Seat<M>;
  /** How many of the labelled answers on record a model gets right, one by one; null asks the present one, which goes on serving. */
  score: (model: M | null, signal: AbortSignal) => Promise<(boolean | null)[]>;
  /** What the package of the configuration is called, and as which release; null: it is none. */
  own: { name: string; release: string | null };
  trialMs: number;
}

/** A server has so long to say what it has. */
const ASK_MS = 20_000;
const PROGRESS_MS = 1000;
/** Of the trial: so long answers must take twice the time. */
const SLOW_SHARE = 1 / 30;

/** `changed`: the status. `outcome`: something has come to its end. `alert`: it went back by itself; null: that is settled. */
export class Updater<M extends Disposable> extends EventEmitter<{ changed: []; outcome: [Outcome]; alert: [string | null] }> {
  private stage: 'fetching' | 'testing' = 'testing'; // of the work
  private percent: number | null = null;
  private incoming: string | null = null;
  private serving: Serving;
  private previous: Serving = { folder: undefined, release: null };
  private offered: Offered | null = null;
  private last: Outcome | null;
  private trial: Trial | null = null;
  private trialTimer: NodeJS.Timeout | undefined;
  private work: Promise<void> | null = null;
  private asking = false; // what may be installed
  private toldMs = 0;
  private readonly pace = new Pace();
  private readonly ending = new AbortController();

  constructor(private readonly options: UpdaterOptions<M>) {
    super();
    const { begun } = options;
    this.serving = { folder: begun.folder, release: begun.release };
    this.last = begun.state.last;
  }

  get status(): UpdateStatus {
    const { percent, incoming, offered, last } = this;
    const phase = this.work !== null ? this.stage : this.trial === null ? 'idle' : 'trial';
    const installed = this.serving.release;
    const { folder } = this.serving;
    const previous = this.previous.release?.release ?? null;
    return { phase, percent, incoming, installed, folder, previous, canRollBack: installed !== null, offered, last };
  }

  /** The node runs: the trial goes on, and what a command has brought is taken up. */
  async start(): Promise<void> {
    const { begun } = this.options;
    if (begun.byItself) this.emit('alert', begun.note);
    if (begun.release !== null && begun.state.trial !== null) this.beginTrial(begun.state.trial.usualMs);
    await this.learn();
    await this.takeUp();
  }

  /** Resolves when it may be fetched and there is room; the rest is told by `outcome`. Throws ERR_UPDATE, ERR_BUSY, and what a wrong release is. */
  async install(source: string | undefined, sha256: string | undefined): Promise<Release> {
    this.refuseBusy();
    this.asking = true;
    try {
      const { from, release } = await this.ask(source, sha256);
      if (this.work !== null) throw this.busy(); // the present one has begun to go back
      this.begin(release.release, () => this.fetchAndInstall(from, release));
      return release;
    } finally {
      this.asking = false;
    }
  }

  /** Begins to go back to what served before; the rest is told by `outcome`. Throws ERR_UPDATE where nothing is installed. */
  rollBack(): { from: string; to: string } {
    this.refuseBusy();
    const { release } = this.serving;
    if (release === null) throw refused('nothing', 'Nothing is installed over the package of the configuration, so there is nothing to go back to');
    const to = this.previous.release?.release ?? this.options.own.name;
    this.begin(release.release, () => this.goBack(`${release.release} was taken back on request`, false));
    return { from: release.release, to };
  }

  /** A command may have changed which model is to serve. */
  async takeUp(): Promise<void> {
    const { models } = this.options;
    const { wanted, active } = await models.state();
    const isNews = wanted !== null || active !== (this.serving.release?.id ?? null);
    if (!isNews || this.ending.signal.aborted) return;
    if (this.work !== null) {
      await this.work; // which may be the news
      await this.takeUp();
      return;
    }
    this.begin(null, async () => {
      if (wanted === null) return await this.follow(active);
      const { folder, release } = await models.serving(wanted);
      this.incoming = release?.release ?? null;
      await this.put(folder, release as Release);
    });
  }

  /** An answer of the model, and how long it worked for it; null: it failed. */
  answered(ms: number | null): void {
    if (this.work === null && ms !== null && this.trial === null) this.pace.add(ms);
    const reason = this.work === null ? (this.trial?.answered(ms) ?? null) : null;
    if (reason === null) return;
    this.endTrial(); // it has failed: once
    const name = this.serving.release?.release ?? '';
    this.begin(name, async () => {
      const message = `${name} was taken back: ${reason}`;
      await this.goBack(message, true).catch((error: unknown) => {
        if (this.ending.signal.aborted) throw error; // the next start has it on trial again
        this.emit('alert', `${name} should have been taken back (${reason}), but what served before cannot: ${(error as Error).message}`);
        throw error;
      });
    });
  }

  /** Looks into the folder for what is newer. */
  async look(): Promise<Offered | null> {
    const { models, rules, own } = this.options;
    const { failed } = await models.state();
    this.offered = await newestIn(rules.folder, models.keys, failed, this.serving.release === null ? own.release : this.serving.release.release);
    this.emit('changed');
    return this.offered;
  }

  /** For good; what is under way is given up, and goes on where it was cut when it is asked for again. */
  async stop(): Promise<void> {
    clearTimeout(this.trialTimer);
    this.ending.abort(new MiphaError('ERR_DISPOSED', 'The node is being stopped'));
    await this.work;
    await this.options.models.end();
  }

  private async ask(source: string | undefined, sha256: string | undefined): Promise<{ from: Source; release: Release }> {
    const { models, rules } = this.options;
    await models.prepare();
    const named = source ?? (await this.look())?.source;
    if (named === undefined) throw refused('nothing', 'There is no newer release in model.updates.folder: name one in `source`');
    const from = await allowedSource(named, rules);
    const signal = AbortSignal.any([this.ending.signal, AbortSignal.timeout(ASK_MS)]);
    const release = await releaseAt(from, models.keys, sha256, signal).catch((error: unknown) => {
      if (!signal.aborted) throw error;
      throw refused('unreachable', `${from.name}: expected ${ASK_MS / 1000} s to be enough for what is in it, received nothing`);
    });
    if (release.id === this.serving.release?.id) throw refused('nothing', `${release.release} serves already`);
    await checkSpace(models.path, release);
    return { from, release };
  }

  private refuseBusy(): void {
    if (this.work !== null || this.asking) throw this.busy();
  }

  private busy(): MiphaError {
    return new MiphaError('ERR_BUSY', `${this.incoming ?? 'A release'} is being installed or taken back`);
  }

  /** What it throws is the outcome. */
  private begin(name: string | null, work: () => Promise<void>): void {
    this.incoming = name;
    this.stage = 'testing';
    this.work = work()
      .catch((error: unknown) => this.giveUp(error))
      .catch(() => {}) // the disk: nothing can be kept, and everybody was told
      .finally(() => {
        this.work = null;
        this.incoming = null;
        this.percent = null;
        this.emit('changed');
      });
    this.emit('changed');
  }

  private async fetchAndInstall(from: Source, release: Release): Promise<void> {
    this.stage = 'fetching';
    this.emit('changed');
    const onProgress = (fraction: number) => this.tellProgress(Math.floor(fraction * 100));
    const folder = await this.options.models.bring(from, release, { signal: this.ending.signal, onProgress });
    await this.put(folder, release);
  }

  /** From a folder where it is whole. */
  private async put(folder: string | undefined, release: Release): Promise<void> {
    const { models, score, seat } = this.options;
    const { signal } = this.ending;
    this.stage = 'testing';
    this.percent = null;
    this.emit('changed');
    const before = await score(null, signal);
    const { usualMs } = this.pace;
    let words = '';
    const check = async (model: M) => {
      const { right, of } = refuseWorse(release.release, before, before.length === 0 ? [] : await score(model, signal));
      words = of === 0 ? 'it reproduces its own golden answers; nothing on record is labelled' : `${right} of ${of} labelled answers right`;
    };
    let outcome: Outcome | undefined;
    const commit = async (way: Way) => {
      outcome = outcomeOf('installed', release.release, `${release.release} serves: ${words}`, way);
      await models.install(release, outcome, usualMs);
    };
    await exchange(seat, { from: this.serving.folder, to: folder, check, commit, signal });
    await this.settle({ folder, release }, outcome as Outcome);
    this.beginTrial(usualMs);
    this.emit('alert', null);
  }

  private async goBack(message: string, byItself: boolean): Promise<void> {
    const { models, seat } = this.options;
    const release = this.serving.release as Release;
    let outcome: Outcome | undefined;
    const commit = async (way: Way) => {
      outcome = outcomeOf('rolled_back', release.release, message, way, byItself);
      await models.rollBack(outcome, true);
    };
    const { folder, release: before } = this.previous;
    await exchange(seat, { from: this.serving.folder, to: folder, check: async () => {}, commit, signal: this.ending.signal });
    this.endTrial();
    await this.settle({ folder, release: before }, outcome as Outcome);
    this.emit('alert', byItself ? message : null);
  }

  /** A command has said what serves. */
  private async follow(active: string | null): Promise<void> {
    const { models, seat } = this.options;
    const next = await models.serving(active);
    await exchange(seat, { from: this.serving.folder, to: next.folder, check: async () => {}, commit: async () => {}, signal: this.ending.signal });
    this.endTrial();
    const { last } = await models.state();
    await this.settle(next, last ?? outcomeOf('rolled_back', this.serving.release?.release ?? '', 'taken back by a command', null));
    this.emit('alert', null);
  }

  private async settle(serving: Serving, outcome: Outcome): Promise<void> {
    this.serving = serving;
    this.last = outcome;
    this.pace.forget();
    await this.learn();
    await this.options.models.prune().catch(() => []); // another one is at it
    this.emit('outcome', outcome);
  }

  private async giveUp(error: unknown): Promise<void> {
    if (this.ending.signal.aborted) return;
    const name = this.incoming ?? 'A release';
    const { code, message } = error as { code?: string; message: string };
    this.last = outcomeOf('refused', name, error instanceof MiphaError ? `${code}: ${message}` : (code ?? message), null);
    const { last } = this;
    this.emit('outcome', last);
    await this.options.models.change((state) => ({ ...state, wanted: null, last }));
  }

  /** What a rollback would bring back, and what is offered. */
  private async learn(): Promise<void> {
    const { models } = this.options;
    const { previous } = await models.state();
    this.previous = await models.serving(previous).catch(async () => {
      await models.change((state) => ({ ...state, previous: null })).catch(() => {}); // nobody vouches for it any more
      return { folder: undefined, release: null };
    });
    await this.look();
  }

  private beginTrial(usualMs: number | null): void {
    this.endTrial();
    const { trialMs } = this.options;
    this.trial = new Trial({ usualMs, standsMs: trialMs * SLOW_SHARE });
    this.trialTimer = setTimeout(() => void this.pass(), trialMs).unref();
  }

  private endTrial(): void {
    clearTimeout(this.trialTimer);
    this.trial = null;
  }

  private async pass(): Promise<void> {
    if (this.work !== null) return; // it is being taken back, or replaced
    this.endTrial();
    this.emit('changed');
    await this.options.models.change((state) => ({ ...state, trial: null })).catch(() => {}); // then it is on trial again after the next start
  }

  private tellProgress(percent: number): void {
    const now = performance.now();
    if (percent === this.percent || now - this.toldMs < PROGRESS_MS) return;
    this.toldMs = now;
    this.percent = percent;
    this.emit('changed');
  }
}
