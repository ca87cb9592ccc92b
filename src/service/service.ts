/**
 * A node: cameras, watches and the broker, put together from a configuration. What each part does is its own; here is the order in which they
 * come up and go down.
 */
import { randomUUID } from 'node:crypto';
import { EventEmitter } from 'node:events';
import type { Frame } from '../camera/frame.js';
import type { MiphaError } from '../errors.js';
import { chatRoutes } from '../http/chat.js';
import type { HttpServer } from '../http/server.js';
import type { Health } from '../mqtt/messages.js';
import type { Handlers } from '../mqtt/requests.js';
import { Desk } from '../page/desk.js';
import { OFFERS } from '../page/node.js';
import type { WatchEvent } from '../watch/event.js';
import type { Look } from '../watch/loop.js';
import type { Opinion } from '../watch/opinion.js';
import { nothingKnown, type WatchOutcome } from '../watch/outcome.js';
import { within } from '../watch/within.js';
import type { CameraSet } from './cameras.js';
import { nodeChat } from './chat/node-chat.js';
import type { Config, LoadedConfig } from './config/config.js';
import type { ConfigDiff } from './config/diff.js';
import { sayLastWords } from './last-words.js';
import type { Log } from './log/log.js';
import type { LoadModel } from './model/model.js';
import { type NodeParts, nodeParts } from './node-parts.js';
import type { NodeState } from './node-state.js';
import { pageMount } from './page/page-mount.js';
import { offersOf, type PageSetup, pageNode } from './page/page-node.js';
import { openPort } from './port.js';
import { checksOf } from './readiness.js';
import { OverrideGuard } from './state/override-guard.js';
import { StateDir } from './state/state-dir.js';
import { Trials } from './trial/trials.js';
import { handlersOf } from './verbs.js';
import { Watching } from './watching.js';

export interface ServiceOptions {
  loaded: LoadedConfig;
  /** Reads the configuration again, for reload(). */
  load: () => Promise<LoadedConfig>;
  loadModel: LoadModel;
  /** Throws when this machine cannot run such a model; asked before a change over MQTT is kept. Default: everything is believed. */
  proveModel?: ((model: Config['model']) => Promise<void>) | undefined;
  log: Log;
  version: string;
  /** What the page needs besides the node. Default: there is no page. */
  page?: PageSetup | undefined;
  /** Why this start must do without the overrides that are kept: it is the next one after they made a start fail. */
  withoutOverrides?: string | undefined;
}

/** `restart`: somebody asked for one over MQTT. `failed`: the node cannot go on, see the error. */
export class Service extends EventEmitter<{ restart: []; failed: [MiphaError] }> {
  private readonly state: NodeState;
  private readonly log;
  private readonly ending = new AbortController();
  private readonly stateDir: StateDir;
  private readonly guard: OverrideGuard;
  /** Null until the state folder has been read. */
  private parts: NodeParts | null = null;
  private http: HttpServer | null = null;
  private desk: Desk | null = null;
  private readonly trials: Trials;
  private hasStarted = false;
  private healthTimer: NodeJS.Timeout | undefined;
  private stopping: Promise<void> | undefined;

  constructor(private readonly options: ServiceOptions) {
    super();
    this.log = options.log.logger;
    this.state = {
      version: options.version,
      session: randomUUID(),
      begunMs: performance.now(),
      lifecycle: 'starting',
      modelState: 'loading',
      model: null,
      release: null,
      modelFolder: undefined,
      watching: null,
    };
    this.trials = new Trials(this.state);
    this.stateDir = new StateDir(options.loaded.config.state_dir, { onWarning: (message) => this.log.warn(message) });
    this.guard = new OverrideGuard(this.stateDir, this.log);
  }

  get session(): string {
    return this.state.session;
  }

  /** Cameras by id, once start() has resolved. */
  get cameras(): CameraSet {
    if (this.state.watching === null) throw new Error('the service has not started');
    return this.state.watching.cameras;
  }

  /** The node runs, or ran. */
  get started(): boolean {
    return this.hasStarted;
  }

  /** Whether overrides were in force, and so may be why start() failed. */
  get hadOverrides(): boolean {
    return this.guard.inForce;
  }

  /** What the node would publish about its health now. Throws before start(). */
  health(): Health {
    if (this.parts === null) throw new Error('the service has not started');
    return this.parts.status.health();
  }

  /** Resolves when everything runs; the broker may still be away. Rejects, with everything stopped again, when the model, a camera's URI, the state folder or a port is unusable. */
  async start(): Promise<void> {
    const { state } = this;
    try {
      await this.stateDir.open();
      const parts = await this.assemble();
      const handlers = this.handlers(parts);
      await this.listen(parts, handlers);
      this.connect(parts, handlers);
      await this.loadModel(parts);
      await this.watch(parts);
      state.lifecycle = 'running';
      this.hasStarted = true;
      await this.guard.settle(parts.side.node);
      await parts.updates.start();
      this.publishInfo(parts);
      parts.side.servePool();
      parts.side.node.event('started', `mipha-edge ${state.version}`);
      await parts.board.begin();
      this.tick(parts);
      const { node, cameras, watches } = parts.changer.config;
      await parts.notifier.ready(`${Object.keys(cameras).length} cameras, ${Object.keys(watches).length} watches`);
      this.log.info({ node, session: state.session, model: state.model?.name }, 'running');
    } catch (error) {
      if (state.model === null) state.modelState = 'failed';
      await this.stop();
      await this.endLate();
      throw error;
    }
  }

  /** No new work; what is under way may finish within the budget; states and `offline` go out; processes, sockets and timers are gone. */
  stop(): Promise<void> {
    this.stopping ??= this.shutDown();
    return this.stopping;
  }

  /** For a process that must end because of an error that nobody caught: says so everywhere, `offline` too. Never rejects; nothing may follow. */
  async abandon(error: unknown, withinMs: number): Promise<void> {
    this.stopping ??= Promise.resolve();
    this.state.lifecycle = 'stopping';
    clearTimeout(this.healthTimer);
    const { log, parts } = this;
    const others =
      parts === null
        ? { notify: undefined, sayOffline: undefined, closeRecord: undefined }
        : {
            notify: (status: string) => parts.notifier.stopping(status),
            sayOffline: (ms: number) => parts.side.link.lastWords(ms),
            closeRecord: (ms: number) => parts.record.close(ms),
          };
    await sayLastWords(error, { log, ...others }, withinMs);
    this.options.log.flushSync();
  }

  /** Reads the configuration again and applies it, or keeps the old one and raises an alert. Never rejects. */
  async reload(): Promise<void> {
    if (this.parts === null) return; // not started: what was read a moment ago is new enough
    const { changer, side, updates } = this.parts;
    updates.reload();
    try {
      this.guard.tell(await changer.reload());
      side.node.alert('config', null);
      side.node.event('config_applied', 'the configuration was read again');
      this.log.info('configuration read again');
    } catch (error) {
      const { message } = error as Error;
      this.log.error(`the new configuration is refused, the old one stays in force: ${message}`);
      side.node.alert('config', `The new configuration is refused, the old one stays in force: ${message}`);
      side.node.event('config_refused', message);
    }
  }

  private async assemble(): Promise<NodeParts> {
    const { loaded: base, load, log, withoutOverrides = null, proveModel = async () => {} } = this.options;
    const loaded = await this.guard.begin(base, withoutOverrides);
    const parts: NodeParts = nodeParts({
      state: this.state,
      log,
      change: {
        base,
        loaded,
        stateDir: this.stateDir,
        load,
        proveModel,
        apply: async (config, diff) => await this.apply(config, diff, parts),
        taken: () => this.republish(parts),
      },
      model: {
        load: this.options.loadModel,
        onModel: () => void this.exchanged(parts),
        onFailed: (error) => this.emit('failed', error),
      },
      onCamera: () => this.tick(parts),
    });
    this.parts = parts;
    this.guard.tell(loaded);
    return parts;
  }

  private handlers({ side, changer, status, metrics, record, frames, updates }: NodeParts): Handlers {
    const restart = () => setImmediate(() => this.emit('restart')); // after the response is on its way
    return handlersOf({ state: this.state, side, changer, status, metrics, record, frames, updates, restart });
  }

  private async listen(parts: NodeParts, handlers: Handlers): Promise<void> {
    const { changer, side, metrics } = parts;
    const { log, page } = this.options;
    const { http } = changer.config;
    if (!http.enabled) return;
    this.desk = new Desk(side.requestsOptions(handlers));
    this.http = await openPort(http, log, {
      live: () => [{ name: 'process', ok: true }],
      ready: () => checksOf(this.state, changer.config, side.link.connected),
      metrics: () => metrics.scrape(),
      mounts: [
        ...(http.chat ? [chatRoutes(nodeChat(this.state, changer, metrics))] : []),
        ...(page === undefined ? [] : [pageMount(pageNode(parts, this.state, { ...page, desk: this.desk, trials: this.trials, log }), page.folder)]), // last: it has the rest
      ],
    });
  }

  private connect(parts: NodeParts, handlers: Handlers): void {
    const { side } = parts;
    side.on('online', () => this.tick(parts)); // health is not kept for later, so it is told now
    side.on('offline', () => this.tick(parts));
    side.on('outdated', () => this.republish(parts));
    side.on('failed', (error) => {
      this.ending.abort(error);
      if (this.state.watching !== null) this.emit('failed', error);
    });
    side.node.forgetAlerts();
    this.publishInfo(parts);
    this.publishIgnorance(parts);
    side.connect(handlers);
  }

  private async loadModel({ updates }: NodeParts): Promise<void> {
    this.log.info('loading the model');
    this.state.model = await updates.load(this.ending.signal);
    this.state.modelState = 'ready';
    this.ending.signal.throwIfAborted();
  }

  private async watch(parts: NodeParts): Promise<void> {
    const { side, reporter, troubles, changer, record, load, frames } = parts;
    const model = this.state.model;
    if (model === null) throw new Error('the model is not loaded');
    const onOutcome = (outcome: WatchOutcome) => this.answered(outcome, parts);
    const onEvent = (event: WatchEvent) => {
      side.results.event(event);
      record.told(event);
      if (event.frame !== null) frames.keep(event.frame.id);
    };
    const onOpinion = (opinion: Opinion) => this.opined(opinion, parts);
    const onLoad = () => load.changed();
    const onLook = (frame: Frame, { camera }: Look) => frames.seen(camera, frame);
    const watching = new Watching({ model, side, reporter, troubles, record, onOutcome, onEvent, onOpinion, onLoad, onLook }, changer.config);
    this.state.watching = watching;
    await record.apply(changer.config);
    this.ending.signal.throwIfAborted();
    await watching.open(changer.config);
    this.ending.signal.throwIfAborted();
    watching.begin();
  }

  private answered(outcome: WatchOutcome, { side, metrics, troubles, latency, record, updates }: NodeParts): void {
    side.results.watch(outcome);
    updates.answered(outcome);
    record.answered(outcome);
    metrics.answered(outcome);
    troubles.answered(outcome);
    if (outcome.frame !== null && outcome.status === 'ok') latency.add(performance.now() - outcome.frame.monotonicMs);
    if (outcome.error !== null) this.options.log.child('watch').warn({ watch: outcome.watch, code: outcome.error.code }, outcome.error.message);
  }

  private opined(opinion: Opinion, { record }: NodeParts): void {
    record.opined(opinion);
    const { watch, error } = opinion;
    if (error !== null) this.options.log.child('watch').warn({ watch, code: error.code }, `the question that confirms its events: ${error.message}`);
  }

  /** Puts a changed configuration into force; while the model is being loaded, watch() takes what is in force then. */
  private async apply(config: Config, diff: ConfigDiff, { side, record, changer, frames }: NodeParts): Promise<void> {
    this.options.log.setLevel(config.log.level);
    const { watching } = this.state;
    if (watching !== null) {
      await record.apply(config, diff.cameras.changed); // first: cameras take their time, and what may not be recorded must not be meanwhile
      await watching.apply(config, diff).catch(async (error: unknown) => {
        await record.apply(changer.config);
        throw error;
      });
    }
    side.withdrawPictures(config, diff.cameras.changed);
    frames.withdraw([...diff.cameras.changed, ...diff.cameras.removed]);
  }

  /** Another model serves, or none for a while. */
  private async exchanged(parts: NodeParts): Promise<void> {
    const { model, watching } = this.state;
    if (model !== null && this.stopping === undefined) await watching?.cameras.setModelSide(model.imageSize);
    this.republish(parts);
    this.tick(parts);
  }

  private publishInfo({ side, status, changer }: NodeParts): void {
    side.announce(status.info());
    const { page } = this.options;
    if (page !== undefined) side.feed.state(OFFERS, JSON.stringify(offersOf(changer.config, page)));
  }

  /** Until cameras deliver and watches are answered: what an earlier process that crashed has left on the broker must not look true. */
  private publishIgnorance({ side, changer }: NodeParts): void {
    for (const [id, { enabled }] of Object.entries(changer.config.cameras)) side.node.camera(id, 'offline', enabled);
    for (const [id, spec] of Object.entries(changer.config.watches)) side.results.watch(nothingKnown(id, spec));
  }

  private republish(parts: NodeParts): void {
    this.publishInfo(parts);
    for (const [id, spec] of Object.entries(parts.changer.config.watches)) parts.side.node.watchSettings(id, spec);
    for (const camera of this.state.watching?.cameras.all() ?? []) parts.reporter.publish(camera);
    parts.load.changed();
    parts.side.servePool();
  }

  /** Health now, and again after the interval. */
  private tick(parts: NodeParts): void {
    const { status, side, reporter, changer, load } = parts;
    if (this.stopping !== undefined) return;
    side.node.health(status.health());
    load.changed();
    reporter.repeatMotion();
    clearTimeout(this.healthTimer);
    this.healthTimer = setTimeout(() => this.tick(parts), changer.config.health_interval_ms);
  }

  /** What start() made after a stop that came in its midst had looked: it would keep the process. */
  private async endLate(): Promise<void> {
    const { state } = this;
    await state.watching?.stop(0);
    const { model } = state;
    state.model = null;
    await model?.dispose();
  }

  private async shutDown(): Promise<void> {
    const { state, parts } = this;
    const end = performance.now() + (parts?.changer.config.shutdown_ms ?? 0);
    const left = () => Math.max(0, end - performance.now());
    state.lifecycle = 'stopping';
    clearTimeout(this.healthTimer);
    if (!this.ending.signal.aborted) this.ending.abort();
    if (parts !== null) {
      const { board, side, notifier, reporter, status, record, load, frames, fleet, updates } = parts;
      const notified = notifier.stopping();
      side.node.event('stopping', 'the node is being stopped');
      side.refuseRequests();
      this.desk?.stop();
      await this.trials.stop();
      const updated = updates.stop();
      await state.watching?.stop(left() / 2);
      await within(updated, left() / 2);
      const recorded = record.close(left() / 2);
      await side.pictures.finish(left() / 2);
      reporter.stop();
      load.stop();
      board.stop();
      frames.clear();
      side.node.health(status.health());
      side.node.clearAlerts();
      await side.leavePool();
      await side.link.stop(left());
      side.feed.close();
      await fleet.stop();
      await this.http?.stop();
      await recorded;
      await notified;
    }
    const { model } = state;
    state.model = null;
    await model?.dispose();
    await this.stateDir.endStart();
    await this.stateDir.close();
    this.log.info('stopped');
    this.options.log.close();
  }
}
