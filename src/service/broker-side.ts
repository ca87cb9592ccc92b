/** Everything of the node that talks to the broker: the link, what is published through it, and the commands that come back. */
import { EventEmitter } from 'node:events';
import type { MiphaError } from '../errors.js';
import { Discovery } from '../mqtt/discovery.js';
import type { DiscoveryNode } from '../mqtt/discovery-payload.js';
import { Link } from '../mqtt/link.js';
import { type Info, infoSchema, Stamp } from '../mqtt/messages.js';
import { type Handlers, Requests, type RequestsOptions } from '../mqtt/requests.js';
import { SharedQueue } from '../mqtt/shared-queue.js';
import { poolTopics, type Topics, topicsOf } from '../mqtt/topics.js';
import { type Incoming, PICTURE_OVERHEAD_BYTES } from '../mqtt/wire.js';
import { Feed } from '../page/feed.js';
import { utf8Text } from '../utf8.js';
import type { PictureSpec } from '../watch/spec.js';
import type { Changer } from './changer.js';
import type { Config } from './config/config.js';
import { modelsFolderOf } from './config/models-folder.js';
import { linkOptions } from './link-options.js';
import type { Log } from './log/log.js';
import type { NodeState } from './node-state.js';
import { own } from './own.js';
import { EventPictures } from './publish/event-pictures.js';
import { NodePublisher } from './publish/node.js';
import { Outlet } from './publish/outlet.js';
import { type Model, ResultPublisher } from './publish/results.js';
import { retainedCommand, SettingRefusals } from './setting-refusals.js';
import { applySetting, type Setting } from './settings.js';

export interface BrokerSideOptions {
  changer: Changer;
  state: NodeState;
  clientSuffix: string;
  log: Log;
}

/**
 * `online`: the broker is there again. `offline`: it is not any more. `failed`: the node must not go on, see the error. `outdated`: an earlier process left something behind that
 * info and settings must be told over.
 */
export class BrokerSide extends EventEmitter<{ online: []; offline: []; failed: [MiphaError]; outdated: [] }> {
  readonly topics: Topics;
  readonly link: Link;
  readonly outlet: Outlet;
  /** What is published, for the page: whether or not the broker has it. */
  readonly feed: Feed;
  readonly node: NodePublisher;
  readonly results: ResultPublisher;
  readonly pictures: EventPictures;
  private readonly discovery: Discovery | null;
  private readonly queue: SharedQueue | null;
  private readonly model = (): Model => ({ id: this.options.state.model?.name ?? '', rev: this.options.state.model?.revision ?? '' });
  private requests: Requests | null = null;
  private readonly log;
  private readonly refusals: SettingRefusals;
  private forwarding: () => void = () => {};

  constructor(private readonly options: BrokerSideOptions) {
    super();
    const { changer, clientSuffix, log } = options;
    const { session } = options.state;
    const { base, node, mqtt } = changer.config;
    this.log = log.child('mqtt');
    this.topics = topicsOf(base, node);
    this.feed = new Feed(this.topics.root);
    const stamp = new Stamp(node, session);
    const clientId = `${base}-${node}-${clientSuffix}`;
    const { pool, pool_filter } = mqtt;
    this.queue =
      pool === undefined
        ? null
        : new SharedQueue({
            ...linkOptions(mqtt),
            clientId: `${clientId}-pool`,
            holds: pool_filter !== undefined,
            filter: pool_filter ?? `$share/${pool}/${poolTopics(base, pool).request}`,
          });
    this.link = new Link({
      ...linkOptions(mqtt),
      clientId,
      topics: this.topics,
      session,
      subscriptions: mqtt.discovery.enabled ? [`${mqtt.discovery.prefix}/status`] : [],
    });
    this.outlet = new Outlet(this.link.outbox, this.feed);
    this.node = new NodePublisher(this.topics, stamp, this.outlet);
    this.refusals = new SettingRefusals(this.topics, this.node, this.log);
    this.pictures = new EventPictures({
      outlet: this.outlet,
      topicOf: (watch) => this.topics.watch(watch, 'picture'),
      wanted: (watch, camera) => pictureOf(changer.config, watch, camera),
      mostBytes: () => this.link.outbox.packetLimit - PICTURE_OVERHEAD_BYTES,
      onFault: (watch, error) => this.log.warn({ err: error, watch }, 'no picture could be made of an event'),
    });
    this.results = new ResultPublisher(this.topics, stamp, this.outlet, this.pictures, this.model);
    this.discovery = mqtt.discovery.enabled ? new Discovery(this.link, mqtt.discovery.prefix) : null;
  }

  /** Connects for ever, in the background; requests go to `handlers`. */
  connect(handlers: Handlers): void {
    const { link, log } = this;
    const { changer } = this.options;
    this.requests = new Requests({
      ...this.requestsOptions(handlers),
      respond: (topic, payload, properties) => link.outbox.respond(topic, payload, properties),
    });
    link.on('online', () => {
      log.info('online');
      this.servePool();
      this.emit('online');
    });
    link.on('offline', (reason) => {
      log.warn({ reason }, 'offline');
      this.emit('offline');
      this.servePool();
    });
    link.on('alert', (id, text) => {
      if (text !== null) log.warn(text);
      this.node.alert(id, text);
    });
    link.on('message', (message) => this.receive(message));
    link.on('remembered', (payload) => this.tidy(payload));
    this.forwarding = this.options.log.onWarning((warning) => this.outlet.log(this.topics.log, warning, changer.config.log.mqtt));
    this.connectQueue(changer.config.mqtt.pool);
    link.start().catch((error: MiphaError) => this.emit('failed', error));
  }

  /** Of requests, whichever way they come. */
  requestsOptions(handlers: Handlers): Omit<RequestsOptions, 'respond'> {
    const { changer } = this.options;
    const { base, node, mqtt, requests } = changer.config;
    return {
      topics: this.topics,
      base,
      node,
      handlers,
      requestBytes: requests.request_bytes,
      deadlineMs: requests.deadline_ms,
      dedupeMs: requests.dedupe_ms,
      replyTopics: mqtt.reply_topics,
      plainReplies: mqtt.protocol === '3.1.1',
      world: () => changer.config,
      onFault: (verb, error) => this.log.error({ err: error, verb }, 'a request failed'),
    };
  }

  /** Requests of the pool are answered like others. */
  private connectQueue(pool: string | undefined): void {
    const { queue, log } = this;
    queue?.on('message', ({ acknowledge = () => {}, ...message }) =>
      this.requests?.handle(message, { verb: 'query', broadcast: false, ...(pool === undefined ? {} : { pool }) }, acknowledge),
    );
    queue?.on('alert', (text) => {
      if (text !== null) log.warn(`the pool ${pool}: ${text}`);
      this.node.alert('mqtt-pool', text === null ? null : `The pool ${pool} cannot reach this node, which can still be asked by its name: ${text}`);
    });
    queue?.start();
  }

  /** Takes part in the pool while there is a model, answers can leave and the node is not drained; the other members get what comes meanwhile. */
  servePool(): void {
    const { changer, state } = this.options;
    const { modelState, lifecycle } = state;
    this.queue?.open(this.link.connected && modelState === 'ready' && lifecycle !== 'stopping' && !changer.config.draining);
  }

  /** The factsheet, and the devices for Home Assistant. */
  announce(info: Info): void {
    this.node.info(info);
    this.discovery?.announce(this.devices(info));
  }

  /** Pictures made before `config` do not go out where it does not permit them, nor those of cameras that it changes: part of them may be private now. */
  withdrawPictures(config: Config, changedCameras: readonly string[]): void {
    const isShown = (watch: string, camera: string) => !changedCameras.includes(camera) && pictureOf(config, watch, camera) !== null;
    this.pictures.withdraw(isShown);
    this.link.outbox.withdrawPictures(({ user: { watch = '', camera = '' } = {} }) => isShown(watch, camera));
  }

  /** Everything under way is answered with SHUTTING_DOWN, and so is all that still comes. */
  refuseRequests(): void {
    this.forwarding();
    this.refusals.stop();
    this.queue?.open(false);
    this.requests?.stop();
    this.discovery?.stop();
  }

  /** Nothing comes from the pool any more. */
  async leavePool(): Promise<void> {
    await this.queue?.stop();
  }

  private devices({ version, cameras, watches }: Info): DiscoveryNode {
    const { base, node, mqtt, requests } = this.options.changer.config;
    return {
      base,
      node,
      topics: this.topics,
      prefix: mqtt.discovery.prefix,
      closed: requests.closed,
      updates: modelsFolderOf(this.options.changer.config) !== undefined && this.options.changer.config.model.updates.keys.length > 0,
      version,
      model: this.model().id || undefined,
      cameras,
      watches: watches.map(({ id, camera, answer, ttl_ms }) => ({ id, camera, answer, ttlMs: ttl_ms })),
    };
  }

  /** Takes back what an earlier process retained about cameras and watches that are no longer configured. */
  private tidy(payload: Buffer): void {
    const left = infoSchema.safeParse(parsed(payload));
    if (!left.success) return; // of a version that is not ours: its info is replaced, and that is all
    const { config } = this.options.changer;
    for (const { id } of left.data.watches.filter(({ id }) => !Object.hasOwn(config.watches, id))) {
      this.results.forget(id);
      this.node.forgetWatchSettings(id);
    }
    for (const { id } of left.data.cameras) if (!Object.hasOwn(config.cameras, id)) this.node.forgetCamera(id);
    this.discovery?.remember(this.devices(left.data));
    this.emit('outdated');
  }

  private receive(message: Incoming): void {
    if (this.discovery?.handle(message)) return;
    const target = this.topics.parse(message.topic);
    if (target?.kind === 'request') this.requests?.handle(message, target);
    else if (target?.kind === 'camera-set' || target?.kind === 'watch-set') void this.set(target, message);
  }

  private async set(setting: Setting, { retained, payload }: Incoming): Promise<void> {
    const { changer } = this.options;
    const before = changer.config;
    try {
      if (retained) this.refusals.tell(setting, retainedCommand());
      else await applySetting(setting, utf8Text(payload), changer);
    } catch (error) {
      this.refusals.tell(setting, error as Error);
    }
    // Whoever shows the new value already must show the old one again, and whoever said what is so already hears that it is.
    if (sameSetting(setting, before, changer.config)) this.node.repeat(setting);
  }
}

/** How events of a watch are to be pictured; null: not at all. */
function pictureOf({ cameras, watches }: Config, watch: string, camera: string): PictureSpec | null {
  const spec = own(watches, watch);
  return spec?.camera === camera && own(cameras, camera)?.images === true ? spec.picture : null;
}

function sameSetting(setting: Setting, before: Config, after: Config): boolean {
  const valueIn = ({ cameras, watches }: Config) => {
    if (setting.kind === 'camera-set') return own(cameras, setting.camera)?.enabled;
    const { enabled, question, interval_ms } = own(watches, setting.watch) ?? {};
    return { enabled, prompt: question, interval: interval_ms }[setting.setting];
  };
  return valueIn(before) === valueIn(after);
}

function parsed(payload: Buffer): unknown {
  try {
    return JSON.parse(payload.toString());
  } catch {
    return null;
  }
}
