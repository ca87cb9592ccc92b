/**
 * A node: cameras, watches and the broker, put together from a configuration. What each part does is its own; here is the order in which they
 * come up and go down, and what flows from one to the other.
 */
import { randomUUID } from 'node:crypto';
import { EventEmitter } from 'node:events';
import type { MiphaError } from '../errors.js';
import { Discovery } from '../mqtt/discovery.js';
import { Link } from '../mqtt/link.js';
import { type Health, Stamp } from '../mqtt/messages.js';
import { Requests } from '../mqtt/requests.js';
import { type Topics, topicsOf } from '../mqtt/topics.js';
import type { Incoming } from '../mqtt/wire.js';
import { WatchLoop } from '../watch/loop.js';
import type { WatchOutcome } from '../watch/outcome.js';
import { Queries } from '../watch/queries.js';
import { Usage } from '../watch/usage.js';
import { type CameraReporter, cameraReporter } from './camera-reporter.js';
import { CameraSet } from './cameras.js';
import { Changer } from './changer.js';
import { type Config, type LoadedConfig, withChanges } from './config.js';
import type { ConfigDiff } from './config-diff.js';
import { type Check, HttpServer } from './http.js';
import { Latency } from './latency.js';
import { linkOptions } from './link-options.js';
import type { Log } from './log.js';
import { Metrics } from './metrics.js';
import type { LoadedModel, LoadModel, ModelState } from './model.js';
import { Notifier } from './notify.js';
import { Outlet } from './outlet.js';
import { NodePublisher } from './publish-node.js';
import { ResultPublisher } from './publish-results.js';
import { applySetting, type Setting } from './settings.js';
import { StateDir } from './state-dir.js';
import { Status } from './status.js';
import { System } from './system.js';
import { handlersOf } from './verbs.js';

export interface ServiceOptions {
  loaded: LoadedConfig;
  /** Reads the configuration again, for reload(). */
  load: () => Promise<LoadedConfig>;
  loadModel: LoadModel;
  log: Log;
  version: string;
}

interface Parts {
  cameras: CameraSet;
  loop: WatchLoop;
  queries: Queries;
}

/** `restart`: somebody asked for one over MQTT. `failed`: the node cannot go on, see the error. */
export class Service extends EventEmitter<{ restart: []; failed: [MiphaError] }> {
  readonly session = randomUUID();
  private readonly begunMs = performance.now();
  private readonly log;
  private readonly latency = new Latency();
  private readonly usage = new Usage();
  private readonly ending = new AbortController();
  private readonly stateDir: StateDir;
  private lifecycle: Health['lifecycle'] = 'starting';
  private modelState: ModelState = 'loading';
  private model: LoadedModel | null = null;
  private parts: Parts | null = null;
  private changer!: Changer;
  private topics!: Topics;
  private link!: Link;
  private node!: NodePublisher;
  private results!: ResultPublisher;
  private requests!: Requests;
  private discovery: Discovery | null = null;
  private reporter!: CameraReporter;
  private status!: Status;
  private metrics!: Metrics;
  private notifier!: Notifier;
  private http: HttpServer | null = null;
  private healthTimer: NodeJS.Timeout | undefined;
  private forwarding: () => void = () => {};
  private stopping: Promise<void> | undefined;

  constructor(private readonly options: ServiceOptions) {
    super();
    this.log = options.log.logger;
    this.stateDir = new StateDir(options.loaded.config.state_dir, { onWarning: (message) => this.log.warn(message) });
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
      this.wire(withChanges(this.options.loaded, this.stateDir.changes));
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
    this.publishInfo();
    this.node.event('started', `mipha-edge ${this.options.version}`);
    await this.tick();
    const { health_interval_ms } = this.config;
    this.healthTimer = setInterval(() => void this.tick(), health_interval_ms);
    await this.notifier.ready(`${Object.keys(this.config.cameras).length} cameras, ${Object.keys(this.config.watches).length} watches`);
    this.log.info({ node: this.config.node, session: this.session, model: this.model?.name }, 'running');
  }

  /** No new work; what is under way may finish within the budget; states and `offline` go out; processes, sockets and timers are gone. */
  stop(): Promise<void> {
    this.stopping ??= this.shutDown();
    return this.stopping;
  }

  /** Reads the configuration again and applies it, or keeps the old one and raises an alert. Never rejects. */
  async reload(): Promise<void> {
    try {
      const { warnings } = await this.changer.reload();
      for (const warning of warnings) this.log.warn(warning);
      this.node.alert('config', null);
      this.node.event('config_applied', 'the configuration was read again');
      this.log.info('configuration read again');
    } catch (error) {
      const { message } = error as Error;
      this.log.error({ err: error }, 'the new configuration is refused, the old one stays in force');
      this.node.alert('config', `The new configuration is refused, the old one stays in force: ${message}`);
      this.node.event('config_refused', message);
    }
  }

  private get config(): Config {
    return this.changer.config;
  }

  /** Makes what needs no waiting. */
  private wire(loaded: LoadedConfig): void {
    const { load, log, version } = this.options;
    for (const warning of loaded.warnings) this.log.warn(warning);
    this.changer = new Changer({ loaded, stateDir: this.stateDir, load, apply: (config, diff) => this.apply(config, diff) });
    const { base, node, mqtt, requests } = this.config;
    this.topics = topicsOf(base, node);
    const stamp = new Stamp(node, this.session);
    const clientId = `${base}-${node}-${this.stateDir.clientSuffix}`;
    const subscriptions = mqtt.discovery.enabled ? [`${mqtt.discovery.prefix}/status`] : [];
    this.link = new Link({ ...linkOptions(mqtt), clientId, topics: this.topics, session: this.session, subscriptions });
    const outlet = new Outlet(this.link);
    this.node = new NodePublisher(this.topics, stamp, outlet);
    this.results = new ResultPublisher(this.topics, stamp, outlet, () => ({ id: this.model?.name ?? '', rev: this.model?.revision ?? '' }));
    this.discovery = mqtt.discovery.enabled ? new Discovery(this.link, mqtt.discovery.prefix) : null;
    this.reporter = cameraReporter(this.node, log.child('camera'), (id) => this.config.cameras[id]?.enabled !== false);
    this.status = new Status({
      version,
      node,
      session: this.session,
      begunMs: this.begunMs,
      system: new System(),
      latency: this.latency,
      config: () => this.config,
      restartRequired: () => this.changer.restartRequired.length > 0,
      lifecycle: () => (this.lifecycle === 'running' && this.unwell().length > 0 ? 'degraded' : this.lifecycle),
      model: () => ({ state: this.modelState, loaded: this.model }),
      cameras: () => this.parts?.cameras.all() ?? [],
      loop: () => this.parts?.loop.status() ?? null,
      queries: () => this.parts?.queries.status ?? null,
      link: () => this.link.stats(),
      alerts: () => this.node.standingAlerts,
    });
    this.metrics = new Metrics({ version, snapshot: () => this.status.metrics() });
    this.notifier = new Notifier({ healthy: () => this.unwell('engine').length === 0 });
    this.requests = new Requests({
      topics: this.topics,
      base,
      node,
      respond: (topic, payload, properties) => this.link.respond(topic, payload, properties),
      requestBytes: requests.request_bytes,
      deadlineMs: requests.deadline_ms,
      dedupeMs: requests.dedupe_ms,
      replyTopics: mqtt.reply_topics,
      onFault: (verb, error) => log.child('mqtt').error({ err: error, verb }, 'a request failed'),
      handlers: handlersOf({
        topics: this.topics,
        session: this.session,
        outlet,
        results: this.results,
        changer: this.changer,
        parts: () => this.parts,
        watches: () => this.config.watches,
        limits: () => ({ queries: this.config.requests.queries, imageBytes: this.status.imageBytes }),
        info: () => this.status.info(),
        health: () => this.status.health(),
        restart: () => setImmediate(() => this.emit('restart')), // after the response is on its way
        answered: (outcome, status) =>
          this.metrics.answered({ watch: null, status, timing: outcome?.timing ?? null, tokens: outcome?.tokens ?? null }),
      }),
    });
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
    const log = this.options.log.child('mqtt');
    this.link.on('online', () => log.info('online'));
    this.link.on('offline', (reason) => log.warn({ reason }, 'offline'));
    this.link.on('fault', (error) => log.error({ err: error }, 'a message handler failed'));
    this.link.on('alert', (id, text) => {
      if (text !== null) log.warn(text);
      this.node.alert(id, text);
    });
    this.link.on('message', (message) => this.receive(message));
    if (this.config.log.mqtt)
      this.forwarding = this.options.log.onWarning((warning) => this.link.transient(this.topics.log, JSON.stringify(warning)));
    this.publishInfo();
    this.link.start().catch((error: MiphaError) => {
      this.ending.abort(error);
      if (this.parts !== null) this.emit('failed', error);
    });
  }

  private async loadModel(): Promise<void> {
    this.log.info('loading the model');
    const model = await this.options.loadModel(this.config.model, this.ending.signal);
    this.model = model;
    this.modelState = 'ready';
    this.ending.signal.throwIfAborted();
  }

  private async watch(): Promise<void> {
    const model = this.model as LoadedModel;
    const loop = new WatchLoop(model, {
      onOutcome: (outcome) => this.answered(outcome),
      onFault: (error) => this.log.error({ err: error }, 'an outcome could not be published'),
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
      this.node.watchSettings(id, spec);
    }
    await cameras.apply(this.config.cameras);
    this.ending.signal.throwIfAborted();
    loop.start();
  }

  private answered(outcome: WatchOutcome): void {
    this.results.watch(outcome);
    this.metrics.answered(outcome);
    if (outcome.frame !== null && outcome.status === 'ok') this.latency.add(performance.now() - outcome.frame.monotonicMs);
    if (outcome.error !== null) this.options.log.child('watch').warn({ watch: outcome.watch, code: outcome.error.code }, outcome.error.message);
  }

  private receive(message: Incoming): void {
    if (this.discovery?.handle(message)) return;
    const target = this.topics.parse(message.topic);
    if (target?.kind === 'request') this.requests.handle(message);
    else if (target?.kind === 'camera-set' || target?.kind === 'watch-set') void this.set(target, message);
  }

  private async set(setting: Setting, { retained, payload }: Incoming): Promise<void> {
    const log = this.options.log.child('mqtt');
    try {
      if (retained) log.warn({ setting }, 'a retained command is ignored');
      else await applySetting(setting, payload.toString(), this.changer);
    } catch (error) {
      log.warn({ setting }, (error as Error).message);
      this.publishSettings(); // whoever showed the new value shows the old one again
    }
  }

  /** Puts a changed configuration into force. */
  private async apply(config: Config, diff: ConfigDiff): Promise<void> {
    const { cameras, loop } = this.partsOrThrow();
    await cameras.apply(config.cameras);
    for (const id of diff.watches.removed) {
      loop.delete(id);
      this.results.forget(id);
      this.node.forgetWatchSettings(id);
    }
    for (const id of [...diff.watches.added, ...diff.watches.changed]) loop.put(id, config.watches[id] as Config['watches'][string]);
    if (diff.sections.includes('log')) this.options.log.setLevel(config.log.level);
    setImmediate(() => {
      this.publishInfo();
      this.publishSettings();
    });
  }

  private publishInfo(): void {
    const info = this.status.info();
    this.node.info(info);
    const { base, node, mqtt, cameras, watches } = this.config;
    this.discovery?.announce({
      base,
      node,
      topics: this.topics,
      prefix: mqtt.discovery.prefix,
      version: info.version,
      model: this.model?.name,
      cameras: Object.entries(cameras).map(([id, { images }]) => ({ id, images })),
      watches: Object.entries(watches).map(([id, { camera, answer, ttl_ms }]) => ({ id, camera, answer, ttlMs: ttl_ms })),
    });
  }

  private publishSettings(): void {
    for (const [id, spec] of Object.entries(this.config.watches)) this.node.watchSettings(id, spec);
    for (const camera of this.parts?.cameras.all() ?? []) this.reporter.publish(camera);
  }

  private async tick(): Promise<void> {
    await this.status.refresh();
    if (this.stopping === undefined) this.node.health(this.status.health());
  }

  private checks(): Check[] {
    const cameras = this.parts?.cameras.all() ?? [];
    const enabled = cameras.filter(({ id }) => this.config.cameras[id]?.enabled !== false);
    const fresh = enabled.filter(({ state }) => state === 'online');
    return [
      { name: 'engine', ok: this.modelState === 'ready' && this.stopping === undefined, detail: this.modelState },
      { name: 'cameras', ok: enabled.length === 0 || fresh.length > 0, detail: `${fresh.length} of ${enabled.length} online` },
      { name: 'broker', ok: this.link.connected, detail: this.link.connected ? 'online' : 'away' },
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
    clearInterval(this.healthTimer);
    this.forwarding();
    if (!this.ending.signal.aborted) this.ending.abort();
    if (this.changer !== undefined) {
      const notified = this.notifier.stopping();
      this.node.event('stopping', 'the node is being stopped');
      this.requests.stop();
      this.discovery?.stop();
      await Promise.all([this.parts?.loop.stop(left() / 2), this.parts?.queries.stop(left() / 2)]);
      await this.parts?.cameras.stop();
      this.node.health(this.status.health());
      await this.link.stop(left());
      await this.http?.stop();
      await notified;
    }
    const { model } = this;
    this.model = null;
    await model?.dispose();
    await this.stateDir.flush();
    this.log.info('stopped');
    this.options.log.close();
  }
}
