/**
 * A node: cameras, watches and the broker, put together from a configuration. What each part does is its own; here is the order in which they
 * come up and go down, and what flows from one to the other.
 */
import { randomUUID } from 'node:crypto';
import { EventEmitter } from 'node:events';
import type { MiphaError } from '../errors.js';
import type { Health } from '../mqtt/messages.js';
import { WatchLoop } from '../watch/loop.js';
import { nothingKnown, type WatchOutcome } from '../watch/outcome.js';
import { Queries } from '../watch/queries.js';
import { Usage } from '../watch/usage.js';
import { BrokerSide } from './broker-side.js';
import { type CameraReporter, cameraReporter } from './camera-reporter.js';
import { CameraSet } from './cameras.js';
import { Changer } from './changer.js';
import type { Config, LoadedConfig } from './config/config.js';
import type { ConfigDiff } from './config/diff.js';
import type { Overridden } from './config/overrides.js';
import { type Check, HttpServer } from './http.js';
import { rethrow, sayLastWords } from './last-words.js';
import { Latency } from './latency.js';
import type { Log } from './log.js';
import { Metrics } from './metrics.js';
import type { LoadedModel, LoadModel, ModelState } from './model.js';
import { Notifier } from './notify.js';
import { OverrideGuard } from './override-guard.js';
import { own } from './own.js';
import { StateDir } from './state-dir.js';
import { Status } from './status.js';
import { System } from './system.js';
import { Troubles } from './troubles.js';
import { handlersOf } from './verbs.js';

export interface ServiceOptions {
  loaded: LoadedConfig;
  /** Reads the configuration again, for reload(). */
  load: () => Promise<LoadedConfig>;
  loadModel: LoadModel;
  /** Throws when this machine cannot run such a model; asked before a change over MQTT is kept. Default: everything is believed. */
  proveModel?: ((model: Config['model']) => Promise<void>) | undefined;
  log: Log;
  version: string;
  /** Why this start must do without the overrides that are kept: it is the next one after they made a start fail. */
  withoutOverrides?: string | undefined;
}

interface Parts {
  cameras: CameraSet;
  loop: WatchLoop;
  queries: Queries;
}

/** No look of a model that fits a board takes that long: the engine hangs, and systemd's watchdog may end it. */
const HANGS_MS = 120_000;

/** `restart`: somebody asked for one over MQTT. `failed`: the node cannot go on, see the error. */
export class Service extends EventEmitter<{ restart: []; failed: [MiphaError] }> {
  readonly session = randomUUID();
  private readonly begunMs = performance.now();
  private readonly log;
  private readonly latency = new Latency();
  private readonly usage = new Usage();
  private readonly ending = new AbortController();
  private readonly stateDir: StateDir;
  private readonly guard: OverrideGuard;
  private hasStarted = false;
  private lifecycle: Health['lifecycle'] = 'starting';
  private modelState: ModelState = 'loading';
  private model: LoadedModel | null = null;
  private parts: Parts | null = null;
  private changer!: Changer;
  private side!: BrokerSide;
  private reporter!: CameraReporter;
  private troubles!: Troubles;
  private status!: Status;
  private metrics!: Metrics;
  private notifier!: Notifier;
  private http: HttpServer | null = null;
  private healthTimer: NodeJS.Timeout | undefined;
  private stopping: Promise<void> | undefined;

  constructor(private readonly options: ServiceOptions) {
    super();
    this.log = options.log.logger;
    this.stateDir = new StateDir(options.loaded.config.state_dir, { onWarning: (message) => this.log.warn(message) });
    this.guard = new OverrideGuard(this.stateDir, this.log);
  }

  /** Cameras by id, once start() has resolved. */
  get cameras(): CameraSet {
    return this.partsOrThrow().cameras;
  }

  /** What the node would publish about its health now. */
  health(): Health {
    return this.status.health();
  }

  /** Resolves when everything runs; the broker may still be away. Rejects, with everything stopped again, when the model, a camera's URI, the state folder or a port is unusable. */
  async start(): Promise<void> {
    try {
      await this.stateDir.open();
      this.wire(await this.guard.begin(this.options.loaded, this.options.withoutOverrides ?? null));
      await this.listen();
      this.connect();
      await this.loadModel();
      await this.watch();
    } catch (error) {
      this.modelState = this.model === null ? 'failed' : this.modelState;
      await this.stop();
      throw error;
    }
    this.lifecycle = 'running';
    this.hasStarted = true;
    await this.guard.settle(this.side.node);
    this.publishInfo();
    this.side.node.event('started', `mipha-edge ${this.options.version}`);
    await this.tick();
    await this.notifier.ready(`${Object.keys(this.config.cameras).length} cameras, ${Object.keys(this.config.watches).length} watches`);
    this.log.info({ node: this.config.node, session: this.session, model: this.model?.name }, 'running');
  }

  /** The node runs, or ran. */
  get started(): boolean {
    return this.hasStarted;
  }

  /** Whether overrides were in force, and so may be why start() failed. */
  get hadOverrides(): boolean {
    return this.guard.inForce;
  }

  /** No new work; what is under way may finish within the budget; states and `offline` go out; processes, sockets and timers are gone. */
  stop(): Promise<void> {
    this.stopping ??= this.shutDown();
    return this.stopping;
  }

  /** For a process that must end because of an error that nobody caught: says so everywhere, `offline` too. Never rejects; nothing may follow. */
  async abandon(error: unknown, withinMs: number): Promise<void> {
    this.stopping ??= Promise.resolve();
    clearTimeout(this.healthTimer);
    const { log, notifier, side } = this;
    const others = {
      notify: notifier && ((status: string) => notifier.stopping(status)),
      sayOffline: side && ((ms: number) => side.link.lastWords(ms)),
    };
    await sayLastWords(error, { log, ...others }, withinMs);
    this.options.log.flushSync();
  }

  /** Reads the configuration again and applies it, or keeps the old one and raises an alert. Never rejects. */
  async reload(): Promise<void> {
    if (this.side === undefined) return; // not started: what was read a moment ago is new enough
    try {
      this.guard.tell(await this.changer.reload());
      this.side.node.alert('config', null);
      this.side.node.event('config_applied', 'the configuration was read again');
      this.log.info('configuration read again');
    } catch (error) {
      const { message } = error as Error;
      this.log.error(`the new configuration is refused, the old one stays in force: ${message}`);
      this.side.node.alert('config', `The new configuration is refused, the old one stays in force: ${message}`);
      this.side.node.event('config_refused', message);
    }
  }

  private get config(): Config {
    return this.changer.config;
  }

  /** Makes what needs no waiting. */
  private wire(loaded: Overridden): void {
    const { load, log, version, proveModel = async () => {} } = this.options;
    this.changer = new Changer({
      base: this.options.loaded,
      loaded,
      stateDir: this.stateDir,
      load,
      proveModel,
      apply: (config, diff) => this.apply(config, diff),
      taken: () => this.republish(),
    });
    this.guard.tell(loaded);
    this.side = new BrokerSide({
      changer: this.changer,
      session: this.session,
      clientSuffix: this.stateDir.clientSuffix,
      log,
      model: () => ({ id: this.model?.name ?? '', rev: this.model?.revision ?? '' }),
      handlers: ({ topics, outlet, results }) =>
        handlersOf({
          topics,
          outlet,
          results,
          session: this.session,
          changer: this.changer,
          parts: () => this.parts,
          watches: () => this.config.watches,
          limits: () => ({ ...this.config.requests, imageBytes: this.status.imageBytes }),
          info: () => this.status.info(),
          health: () => this.status.health(),
          restart: () => setImmediate(() => this.emit('restart')), // after the response is on its way
          answered: (outcome, status) =>
            this.metrics.answered({ watch: null, status, timing: outcome?.timing ?? null, tokens: outcome?.tokens ?? null }),
        }),
    });
    this.troubles = new Troubles(this.side.node);
    this.reporter = cameraReporter({
      node: this.side.node,
      troubles: this.troubles,
      log: log.child('camera'),
      isEnabled: (id) => own(this.config.cameras, id)?.enabled !== false,
      onChange: () => void this.tick(),
    });
    this.status = new Status({
      version,
      node: this.config.node,
      session: this.session,
      begunMs: this.begunMs,
      system: new System(),
      latency: this.latency,
      config: () => this.config,
      restartRequired: () => this.changer.restartRequired.length > 0,
      overrides: () => this.changer.overrides,
      lifecycle: () => (this.lifecycle === 'running' && this.unwell().length > 0 ? 'degraded' : this.lifecycle),
      model: () => ({ state: this.modelState, loaded: this.model }),
      cameras: () => this.parts?.cameras.all() ?? [],
      loop: () => this.parts?.loop.status() ?? null,
      queries: () => this.parts?.queries.status ?? null,
      link: () => this.side.link.stats(),
      logDropped: () => log.dropped,
      alerts: () => this.side.node.standingAlerts,
    });
    this.metrics = new Metrics({ version, snapshot: () => this.status.metrics() });
    this.notifier = new Notifier({ healthy: () => this.unwell('engine').length === 0 });
  }

  private async listen(): Promise<void> {
    const { enabled, host, port } = this.config.http;
    if (!enabled) return;
    this.http = new HttpServer({
      host,
      port,
      live: () => [{ name: 'process', ok: true }],
      ready: () => this.checks(),
      metrics: () => this.metrics.scrape(),
    });
    await this.http.start();
  }

  private connect(): void {
    this.side.on('online', () => void this.tick()); // health is not kept for later, so it is told now
    this.side.on('outdated', () => this.republish());
    this.side.on('failed', (error) => {
      this.ending.abort(error);
      if (this.parts !== null) this.emit('failed', error);
    });
    this.side.node.forgetAlerts();
    this.publishInfo();
    this.publishIgnorance();
    this.side.connect();
  }

  private async loadModel(): Promise<void> {
    this.log.info('loading the model');
    const model = await this.options.loadModel(this.config.model, this.ending.signal);
    this.model = model;
    for (const { backend, code, reason } of model.status().passedOver) this.log.warn({ backend, code }, `${backend} is not in use: ${reason}`);
    this.modelState = 'ready';
    this.ending.signal.throwIfAborted();
  }

  private async watch(): Promise<void> {
    const model = this.model as LoadedModel;
    const loop = new WatchLoop(model, {
      onOutcome: (outcome) => this.answered(outcome),
      onFault: rethrow, // an answer would be lost, uncounted
      usage: this.usage,
    });
    const queries = new Queries(model, { limit: this.config.requests.queue, usage: this.usage });
    const cameras = new CameraSet(model.imageSize, {
      added: (camera) => {
        this.reporter.added(camera);
        loop.addCamera(camera);
      },
      removed: (camera) => {
        loop.removeCamera(camera.id);
        this.reporter.removed(camera);
      },
    });
    this.parts = { cameras, loop, queries };
    for (const [id, spec] of Object.entries(this.config.watches)) {
      loop.put(id, spec);
      this.side.node.watchSettings(id, spec);
    }
    await cameras.apply(this.config.cameras);
    this.ending.signal.throwIfAborted();
    loop.start();
  }

  private answered(outcome: WatchOutcome): void {
    this.side.results.watch(outcome);
    this.metrics.answered(outcome);
    this.troubles.answered(outcome);
    if (outcome.frame !== null && outcome.status === 'ok') this.latency.add(performance.now() - outcome.frame.monotonicMs);
    if (outcome.error !== null) this.options.log.child('watch').warn({ watch: outcome.watch, code: outcome.error.code }, outcome.error.message);
  }

  /** Puts a changed configuration into force. */
  private async apply(config: Config, diff: ConfigDiff): Promise<void> {
    this.options.log.setLevel(config.log.level);
    if (this.parts === null) return; // the model is being loaded; watch() takes what is in force then
    const { cameras, loop, queries } = this.parts;
    await cameras.apply(config.cameras);
    for (const [id, { enabled }] of Object.entries(config.cameras)) if (!enabled) this.troubles.cameraFine(id);
    for (const id of diff.watches.removed) {
      loop.delete(id);
      this.side.results.forget(id);
      this.side.node.forgetWatchSettings(id);
      this.troubles.watchFine(id);
    }
    for (const id of diff.watches.added) this.side.results.watch(nothingKnown(id, config.watches[id] as Config['watches'][string]));
    for (const id of [...diff.watches.added, ...diff.watches.changed]) {
      this.troubles.watchFine(id); // it is tried anew
      loop.put(id, config.watches[id] as Config['watches'][string]);
    }
    queries.setLimit(config.requests.queue);
  }

  private publishInfo(): void {
    this.side.announce(this.status.info());
  }

  /** Until cameras deliver and watches are answered: what an earlier process that crashed has left on the broker must not look true. */
  private publishIgnorance(): void {
    for (const [id, { enabled }] of Object.entries(this.config.cameras)) this.side.node.camera(id, 'offline', enabled);
    for (const [id, spec] of Object.entries(this.config.watches)) this.side.results.watch(nothingKnown(id, spec));
  }

  private republish(): void {
    this.publishInfo();
    this.publishSettings();
  }

  private publishSettings(): void {
    for (const [id, spec] of Object.entries(this.config.watches)) this.side.node.watchSettings(id, spec);
    for (const camera of this.parts?.cameras.all() ?? []) this.reporter.publish(camera);
  }

  /** Health now, and again after the interval. */
  private async tick(): Promise<void> {
    await this.status.refresh();
    if (this.stopping !== undefined) return;
    this.side.node.health(this.status.health());
    this.reporter.repeatMotion();
    clearTimeout(this.healthTimer);
    this.healthTimer = setTimeout(() => void this.tick(), this.config.health_interval_ms);
  }

  private checks(): Check[] {
    const cameras = this.parts?.cameras.all() ?? [];
    const enabled = cameras.filter(({ id }) => own(this.config.cameras, id)?.enabled !== false);
    const fresh = enabled.filter(({ state }) => state === 'online');
    const lookingMs = this.parts?.loop.status().lookingMs ?? 0;
    const hangs = lookingMs > HANGS_MS;
    return [
      {
        name: 'engine',
        ok: this.modelState === 'ready' && this.stopping === undefined && !hangs,
        detail: hangs ? `looking for ${Math.round(lookingMs / 1000)} s` : this.modelState,
      },
      { name: 'cameras', ok: enabled.length === 0 || fresh.length > 0, detail: `${fresh.length} of ${enabled.length} online` },
      { name: 'broker', ok: this.side.link.connected, detail: this.side.link.connected ? 'online' : 'away' },
    ];
  }

  private unwell(only?: string): Check[] {
    return this.checks().filter(({ name, ok }) => !ok && (only === undefined || name === only));
  }

  private partsOrThrow(): Parts {
    if (this.parts === null) throw new Error('the service has not started');
    return this.parts;
  }

  private async shutDown(): Promise<void> {
    const end = performance.now() + (this.changer?.config.shutdown_ms ?? 0);
    const left = () => Math.max(0, end - performance.now());
    this.lifecycle = 'stopping';
    clearTimeout(this.healthTimer);
    if (!this.ending.signal.aborted) this.ending.abort();
    if (this.changer !== undefined) {
      const notified = this.notifier.stopping();
      this.side.node.event('stopping', 'the node is being stopped');
      this.side.refuseRequests();
      await Promise.all([this.parts?.loop.stop(left() / 2), this.parts?.queries.stop(left() / 2)]);
      await this.parts?.cameras.stop();
      this.reporter.stop();
      this.side.node.health(this.status.health());
      this.side.node.clearAlerts();
      await this.side.link.stop(left());
      await this.http?.stop();
      await notified;
    }
    const { model } = this;
    this.model = null;
    await model?.dispose();
    await this.stateDir.endStart();
    await this.stateDir.close();
    this.log.info('stopped');
    this.options.log.close();
  }
}
