/** The node as others see it: its factsheet, its health, and what a scrape of the metrics shows. Reads the parts, changes none. */
import type { Camera } from '../camera/camera.js';
import { mask } from '../camera/mask.js';
import type { LinkStats } from '../mqtt/link.js';
import { type Alert, type Health, type Info, SCHEMA_VERSION } from '../mqtt/messages.js';
import { VERBS } from '../mqtt/request-schemas.js';
import { schemaNames } from '../mqtt/schemas.js';
import type { LoopStatus } from '../watch/loop.js';
import { QUESTION_CHARS } from '../watch/spec.js';
import type { Config } from './config/config.js';
import type { Latency } from './latency.js';
import type { MetricsSnapshot } from './metrics.js';
import type { LoadedModel, ModelState } from './model.js';
import { own } from './own.js';
import type { System } from './system.js';

/** What the status is drawn from; `loop` and `queries` are null until the model is loaded. */
export interface StatusSources {
  version: string;
  node: string;
  session: string;
  begunMs: number;
  system: System;
  latency: Latency;
  config(): Config;
  restartRequired(): boolean;
  overrides(): readonly string[];
  lifecycle(): Health['lifecycle'];
  model(): { state: ModelState; loaded: LoadedModel | null };
  cameras(): readonly Camera[];
  loop(): LoopStatus | null;
  queries(): { waiting: number; running: number; rejected: number } | null;
  link(): LinkStats;
  logDropped(): number;
  alerts(): ReadonlyMap<string, Pick<Alert, 'level' | 'message'>>;
}

/** Room in a packet for the topic and the properties around a picture. */
const PACKET_OVERHEAD_BYTES = 1024;

export class Status {
  /** Read from files now and then, so that a health document can be made at once. */
  private readings: { temperatures: Record<string, number>; watts: Record<string, number>; clockSynced: boolean | null } = {
    temperatures: {},
    watts: {},
    clockSynced: null,
  };

  constructor(private readonly sources: StatusSources) {}

  async refresh(): Promise<void> {
    const { system } = this.sources;
    const [temperatures, watts, clockSynced] = await Promise.all([system.temperatures(), system.watts(), system.clockSynced()]);
    this.readings = { temperatures, watts, clockSynced };
  }

  get imageBytes(): number {
    return this.sources.config().mqtt.max_packet_bytes - PACKET_OVERHEAD_BYTES;
  }

  info(): Info {
    const { sources } = this;
    const { mqtt, requests, cameras, watches } = sources.config();
    const { state, loaded } = sources.model();
    return {
      v: SCHEMA_VERSION,
      ts: new Date().toISOString(),
      session: sources.session,
      node: sources.node,
      product: 'mipha-edge',
      version: sources.version,
      api: 'v1',
      protocol: mqtt.protocol,
      models: [{ id: loaded?.name ?? '', rev: loaded?.revision ?? '', state }],
      cameras: byId(cameras).map(([id, { uri, enabled, images }]) => ({ id, uri: mask(uri), enabled, images })),
      watches: byId(watches).map(([id, { camera, question, answer, enabled, interval_ms, ttl_ms }]) => ({
        id,
        camera,
        question,
        answer,
        enabled,
        interval_ms,
        ttl_ms,
      })),
      verbs: VERBS.filter((verb) => !(requests.closed as readonly string[]).includes(verb)),
      limits: {
        request_bytes: requests.request_bytes,
        publish_bytes: mqtt.max_packet_bytes,
        question_chars: QUESTION_CHARS,
        queue: requests.queue,
        image_bytes: this.imageBytes,
      },
      schemas: [...schemaNames],
      restart_required: sources.restartRequired(),
      overrides: [...sources.overrides()],
    };
  }

  health(): Health {
    const { sources, readings } = this;
    const { state, loaded } = sources.model();
    const loop = sources.loop();
    const queries = sources.queries();
    const { published, dropped, queued, reconnects } = sources.link();
    const { rssBytes, heapBytes } = sources.system.memory();
    const now = new Date().toISOString();
    const engine = loaded?.status();
    return {
      v: SCHEMA_VERSION,
      ts: now,
      session: sources.session,
      node: sources.node,
      lifecycle: sources.lifecycle(),
      uptime_s: Math.floor((performance.now() - sources.begunMs) / 1000),
      cameras: Object.fromEntries(sources.cameras().map((camera) => [camera.id, this.camera(camera, loop)])),
      engine: {
        state,
        backend: engine?.backend ?? null,
        busy_ratio: loop?.busyRatio ?? 0,
        memory_bytes: engine?.memory.reduce((sum, { bytes }) => sum + bytes, 0) ?? 0,
      },
      queue: {
        waiting: (queries?.waiting ?? 0) + (queries?.running ?? 0),
        limit: sources.config().requests.queue,
        rejected: queries?.rejected ?? 0,
      },
      latency_ms: sources.latency.quantiles(),
      memory: { rss_bytes: rssBytes, heap_bytes: heapBytes },
      temperature_c: readings.temperatures,
      mqtt: { reconnects, published: published.qos0 + published.qos1, dropped, queued },
      clock_synced: readings.clockSynced,
      errors: [...sources.alerts()].map(([id, { level, message }]) => ({ id, level, message })),
    };
  }

  metrics(): MetricsSnapshot {
    const { sources, readings } = this;
    const loop = sources.loop();
    const queries = sources.queries();
    const { connected, reconnects, published, dropped } = sources.link();
    const { loaded } = sources.model();
    return {
      cameras: sources.cameras().map((camera) => {
        const { state, frames, frameAgeMs, restarts, dropped: lost } = camera.status();
        return {
          id: camera.id,
          up: state === 'online',
          frames,
          frameAgeMs,
          restarts,
          dropped: { ...lost, ...own(loop?.cameras, camera.id)?.skipped },
        };
      }),
      queue: { waiting: (queries?.waiting ?? 0) + (queries?.running ?? 0), rejected: { full: queries?.rejected ?? 0 } },
      engine: { busyRatio: loop?.busyRatio ?? 0 },
      models: loaded === null ? [] : [{ id: loaded.name, sha256: loaded.revision }],
      mqtt: { connected, reconnects, published: { 0: published.qos0, 1: published.qos1 }, dropped },
      temperatures: readings.temperatures,
      watts: readings.watts,
      memoryBytes: sources.system.memory().rssBytes,
      log: { dropped: sources.logDropped() },
    };
  }

  private camera(camera: Camera, loop: LoopStatus | null): Health['cameras'][string] {
    const { state, frames, fps, frameAgeMs, dropped, restarts, error } = camera.status();
    const enabled = own(this.sources.config().cameras, camera.id)?.enabled !== false;
    return {
      state: enabled ? state : 'disabled',
      frames,
      fps: Math.round(fps * 100) / 100,
      frame_age_ms: frameAgeMs,
      dropped,
      skipped: own(loop?.cameras, camera.id)?.skipped ?? {},
      restarts,
      error,
    };
  }
}

/** In an order that a change of one does not change. */
function byId<T>(record: Record<string, T>): [string, T][] {
  return Object.entries(record).sort(([a], [b]) => (a < b ? -1 : 1));
}
