/** The model that serves, and releases that take its place while the node runs. Without keys in the configuration there is no such thing. */
import { readFile } from 'node:fs/promises';
import type { ErrorCode } from '../../errors.js';
import { MiphaError } from '../../errors.js';
import { RequestError, requestErrorOf } from '../../mqtt/request-error.js';
import type { RequestOf, ResponseOf } from '../../mqtt/request-schemas.js';
import { type Begun, ModelsFolder } from '../../update/models-folder.js';
import { releaseNameIn, revisionIn } from '../../update/release.js';
import { isAnsweredRight, type SmokeItem, smokeSet } from '../../update/smoke.js';
import type { Outcome } from '../../update/state.js';
import { Updater } from '../../update/updater.js';
import type { WatchOutcome } from '../../watch/outcome.js';
import type { BrokerSide } from '../broker-side.js';
import type { Config } from '../config/config.js';
import { modelsFolderOf } from '../config/models-folder.js';
import { recordFolderOf } from '../config/record-folder.js';
import type { Log } from '../log/log.js';
import type { Metrics } from '../metrics.js';
import type { NodeState } from '../node-state.js';
import { modelStateOf } from './messages.js';
import type { LoadedModel, LoadModel } from './model.js';
import { SeatedModel } from './seated-model.js';

export interface ModelUpdatesOptions {
  state: NodeState;
  side: BrokerSide;
  metrics: Pick<Metrics, 'modelChanged'>;
  log: Log;
  config: () => Config;
  loadModel: LoadModel;
  /** Another model serves, or none for a while. */
  onModel: () => void;
  /** There is no model any more. */
  onFailed: (error: MiphaError) => void;
}

const LOOK_MS = 600_000;
/** Of one labelled answer, waiting included. */
const SCORE_MS = 60_000;
const EVENTS = { installed: 'model_installed', refused: 'model_refused', rolled_back: 'model_rolled_back' } as const;
/** Failures that say nothing about the model. */
const NOT_ITS_FAULT: readonly ErrorCode[] = ['ERR_CAMERA', 'ERR_IMAGE'];
/** What a release can be refused with. */
const REFUSALS: readonly ErrorCode[] = ['ERR_UPDATE', 'ERR_MODEL_MISSING', 'ERR_MODEL_FORMAT', 'ERR_MODEL_CHECKSUM', 'ERR_SELF_TEST'];

export class ModelUpdates {
  private updater: Updater<LoadedModel> | null = null;
  private seat: SeatedModel | null = null;
  private items: SmokeItem[] = [];
  private looking: NodeJS.Timeout | undefined;
  private ownName = '';
  private readonly log;

  constructor(private readonly options: ModelUpdatesOptions) {
    this.log = options.log.child('model');
  }

  /** Loads what is to serve: the release that was installed, or the one before it where that fails, or the package of the configuration. */
  async load(signal: AbortSignal): Promise<LoadedModel> {
    const config = this.options.config();
    const { updates, folder = null } = config.model;
    const path = modelsFolderOf(config);
    if (path === undefined || updates.keys.length === 0) return await this.loadFrom(undefined, signal);
    const ca = updates.ca_file === undefined ? undefined : await readFile(updates.ca_file);
    const own = await ownNameOf(folder);
    const models = new ModelsFolder(path, folder, updates.keys, (message) => this.log.warn(message));
    const { begun, model } = await this.loadInstalled(models, signal);
    const { state } = this.options;
    state.release = begun.release?.release ?? null;
    state.modelFolder = begun.folder;
    this.ownName = own.name;
    this.seat = new SeatedModel(model);
    this.updater = new Updater({
      models,
      begun,
      rules: { ...updates, ca },
      seat: {
        load: (to, until) => this.loadFrom(to, until),
        hold: () => this.hold(),
        put: (next) => this.put(next),
        failed: (error) => this.failed(error),
      },
      score: (asked, until) => this.score(asked, until),
      own,
      trialMs: updates.trial_s * 1000,
    });
    return this.seat;
  }

  /** The node runs. */
  async start(): Promise<void> {
    const { updater } = this;
    if (updater === null) {
      this.options.side.node.forgetModel();
      return;
    }
    updater.on('changed', () => this.publish());
    updater.on('alert', (message) => this.options.side.node.alert('model', message));
    updater.on('outcome', (outcome) => this.tell(outcome));
    await updater.start();
    this.looking = setInterval(() => void updater.look().catch(() => {}), LOOK_MS).unref();
    this.publish();
  }

  answered({ status, timing, error }: WatchOutcome): void {
    if (status === 'ok' && timing !== null) this.updater?.answered(timing.prepMs + timing.visionMs + timing.prefillMs + timing.decodeMs);
    else if (status === 'error' && error !== null && !NOT_ITS_FAULT.includes(error.code)) this.updater?.answered(null);
  }

  async install({ source, sha256 }: RequestOf<'model/install'>): Promise<ResponseOf<'model/install'>> {
    const { release, model, sha256: whole, bytes } = await this.permitted().install(source, sha256).catch(refuse);
    return { release, model, sha256: whole, bytes };
  }

  async rollBack(): Promise<ResponseOf<'model/rollback'>> {
    try {
      return this.permitted().rollBack();
    } catch (error) {
      return refuse(error);
    }
  }

  /** Somebody has changed something on this machine. */
  reload(): void {
    void this.updater?.takeUp();
  }

  async stop(): Promise<void> {
    clearInterval(this.looking);
    await this.updater?.stop();
  }

  private permitted(): Updater<LoadedModel> {
    if (this.updater !== null) return this.updater;
    throw new RequestError(
      'FORBIDDEN',
      'Models cannot be installed on this node: its configuration names no key that vouches for them (model.updates.keys)',
      {
        refs: [{ key: 'model.updates.keys', value: '' }],
      },
    );
  }

  private async loadInstalled(models: ModelsFolder, signal: AbortSignal): Promise<{ begun: Begun; model: LoadedModel }> {
    let begun = await models.begin();
    for (;;) {
      if (begun.note !== null) this.log.warn(begun.note);
      try {
        return { begun, model: await this.loadFrom(begun.folder, signal) };
      } catch (error) {
        if (signal.aborted || begun.release === null) throw error;
        const { code, message } = error as MiphaError;
        begun = await models.fallBack(`it could not be loaded: ${code === undefined ? message : `${code}: ${message}`}`);
      }
    }
  }

  private async loadFrom(folder: string | undefined, signal: AbortSignal): Promise<LoadedModel> {
    const { model } = this.options.config();
    const loaded = await this.options.loadModel(folder === undefined ? model : { ...model, folder }, signal);
    for (const { backend, code, reason } of loaded.status().passedOver) this.log.warn({ backend, code }, `${backend} is not in use: ${reason}`);
    return loaded;
  }

  /** First those who ask once: one of them may take long, and watches go on meanwhile. */
  private async hold(): Promise<() => void> {
    const { watching } = this.options.state;
    if (watching === null) return () => {};
    const releaseQueries = await watching.queries.lane.hold();
    const releaseWatches = await watching.loop.hold();
    await watching.kept.forget();
    return () => {
      releaseWatches();
      releaseQueries();
    };
  }

  private put(model: LoadedModel | null): LoadedModel | null {
    const { state, onModel } = this.options;
    const before = this.seat?.put(model) ?? null;
    state.modelState = model === null ? 'loading' : 'ready';
    onModel();
    return before;
  }

  private failed(error: unknown): void {
    const { message } = error as Error;
    this.options.state.modelState = 'failed';
    this.options.onFailed(
      new MiphaError('ERR_SELF_TEST', `No model serves any more: neither the new one nor the one before could be loaded: ${message}`, {
        cause: error,
      }),
    );
  }

  /** The present one is asked in turn with everybody else. */
  private async score(model: LoadedModel | null, signal: AbortSignal): Promise<(boolean | null)[]> {
    if (model === null) {
      const config = this.options.config();
      const recorded = Object.entries(config.watches).flatMap(([id, { record }]) => (record ? [id] : []));
      this.items = await smokeSet(recordFolderOf(config), recorded, signal);
    }
    const marks: (boolean | null)[] = [];
    for (const item of this.items) {
      signal.throwIfAborted();
      marks.push(model === null ? await this.scorePresent(item, signal) : await isAnsweredRight(model, item, signal));
    }
    return marks;
  }

  /** Null: its turn did not come in time. */
  private async scorePresent(item: SmokeItem, signal: AbortSignal): Promise<boolean | null> {
    const { seat } = this;
    const { watching } = this.options.state;
    if (seat === null || watching === null) return null;
    const request = { deadlineMs: SCORE_MS, guest: true, signal };
    return await watching.queries.lane.run(request, (turn) => isAnsweredRight(seat, item, turn.signal)).catch(() => null);
  }

  private publish(): void {
    const { state, side, config } = this.options;
    const { updater, seat } = this;
    if (updater === null || seat === null) return;
    const facts = { session: state.session, node: config().node, id: seat.name, rev: seat.revision, ownName: this.ownName };
    side.node.model(modelStateOf(updater.status, facts));
  }

  private tell(outcome: Outcome): void {
    const { state, side, metrics, onModel } = this.options;
    const installed = this.updater?.status.installed ?? null;
    state.release = installed?.release ?? null;
    state.modelFolder = this.updater?.status.folder;
    metrics.modelChanged(outcome.outcome, outcome.by_itself);
    this.log[outcome.outcome === 'installed' ? 'info' : 'warn']({ release: outcome.release, way: outcome.way }, outcome.message);
    side.node.event(EVENTS[outcome.outcome], outcome.message, { release: outcome.release });
    onModel();
    this.publish();
  }
}

/** `folder`: of the configuration; null: it names none, and the shipped package serves. */
async function ownNameOf(folder: string | null): Promise<{ name: string; release: string | null }> {
  if (folder === null) return { name: 'shipped', release: null };
  const release = await releaseNameIn(folder);
  return { name: release ?? (await revisionIn(folder).catch(() => 'configured')), release };
}

/** All that a release can be refused with has one code: what is wrong with it is in the words. */
function refuse(error: unknown): never {
  if (!(error instanceof MiphaError) || !REFUSALS.includes(error.code)) throw error;
  throw new RequestError('MODEL_REFUSED', error.message, { retryable: requestErrorOf(error).retryable, cause: error });
}
