/** The node as others see it: its factsheet, its health, and what a scrape of the metrics shows. Reads the parts, changes none. */
import type { Camera } from '../../camera/camera.js';
import { mask } from '../../camera/mask.js';
import { type Health, type Info, type Load, SCHEMA_VERSION } from '../../mqtt/messages.js';
import { VERBS } from '../../mqtt/request-schemas.js';
import { schemaNames } from '../../mqtt/schemas.js';
import { PICTURE_OVERHEAD_BYTES } from '../../mqtt/wire.js';
import type { LoopStatus } from '../../watch/loop-status.js';
import { QUESTION_CHARS } from '../../watch/spec.js';
import type { Board } from '../board/board.js';
import type { BrokerSide } from '../broker-side.js';
import type { Changer } from '../changer.js';
import type { Log } from '../log/log.js';
import type { MetricsSnapshot } from '../metrics.js';
import type { NodeState } from '../node-state.js';
import { own } from '../own.js';
import { checksOf } from '../readiness.js';
import type { RecordKeeper } from '../recording/keeper.js';
import { timeZoneOf } from '../time-zone.js';
import type { Latency } from './latency.js';

export interface StatusSources {
  state: NodeState;
  changer: Changer;
  side: BrokerSide;
  latency: Latency;
  log: Log;
  record: Pick<RecordKeeper, 'status'>;
  board: Board;
}

export class Status {
  constructor(private readonly sources: StatusSources) {}

  get imageBytes(): number {
    return this.sources.changer.config.mqtt.max_packet_bytes - PICTURE_OVERHEAD_BYTES;
  }

  info(): Info {
    const { sources } = this;
    const { state, changer } = sources;
    const { node, labels, draining, mqtt, requests, cameras, watches } = changer.config;
    const { model } = state;
    return {
      v: SCHEMA_VERSION,
      ts: new Date().toISOString(),
      session: state.session,
      node,
      product: 'mipha-edge',
      version: state.version,
      api: 'v1',
      protocol: mqtt.protocol,
      labels,
      draining,
      pool: mqtt.pool ?? null,
      models: [{ id: model?.name ?? '', rev: model?.revision ?? '', release: state.release, state: state.modelState }],
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
      timezone: timeZoneOf(changer.config),
      restart_required: changer.restartRequired.length > 0,
      overrides: [...changer.overrides],
    };
  }

  health(): Health {
    const { sources } = this;
    const { state, changer, side, board } = sources;
    const { readings } = board;
    const { node } = changer.config;
    const loop = state.watching?.loop.status() ?? null;
    const { queue, busy_ratio, draining } = this.load();
    const { connected, published, dropped, queued, reconnects } = side.link.stats();
    const { rssBytes, heapBytes } = memory();
    const now = new Date().toISOString();
    const engine = state.model?.status();
    return {
      v: SCHEMA_VERSION,
      ts: now,
      session: state.session,
      node,
      lifecycle: this.lifecycle(),
      uptime_s: Math.floor((performance.now() - state.begunMs) / 1000),
      cameras: Object.fromEntries(this.cameras().map((camera) => [camera.id, this.camera(camera, loop)])),
      watches: Object.fromEntries(byId(loop?.watches ?? {}).map(([id, { events, suppressed, slowed }]) => [id, { events, suppressed, slowed }])),
      engine: {
        state: state.modelState,
        backend: engine?.backend ?? null,
        release: state.release,
        busy_ratio,
        memory_bytes: engine?.memory.reduce((sum, { bytes }) => sum + bytes, 0) ?? 0,
      },
      queue,
      draining,
      latency_ms: sources.latency.quantiles(),
      memory: { rss_bytes: rssBytes, heap_bytes: heapBytes },
      temperature_c: readings.temperatures,
      power: {
        mode: readings.powerMode,
        watts: readings.watts,
        joules_per_answer: board.joulesPerAnswer,
        throttled: readings.throttled,
        over_currents: readings.overCurrents,
      },
      mqtt: {
        connected,
        reconnects,
        published: published.qos0 + published.qos1,
        dropped,
        queued,
        pictures: this.pictures(),
      },
      recorder: this.recorder(),
      clock_synced: readings.clockSynced,
      errors: [...side.node.standingAlerts].map(([id, { level, message }]) => ({ id, level, message })),
    };
  }

  /** The part of health that changes with every query: what a pool chooses by. */
  load(): Load {
    const { state, changer } = this.sources;
    const { node, requests, draining } = changer.config;
    const { waiting = 0, running = 0, rejected = 0, usualMs = null } = state.watching?.queries.status ?? {};
    return {
      v: SCHEMA_VERSION,
      ts: new Date().toISOString(),
      session: state.session,
      node,
      queue: { waiting: waiting + running, limit: requests.queue, rejected, usual_ms: usualMs },
      busy_ratio: state.watching?.loop.status().busyRatio ?? 0,
      draining,
    };
  }

  metrics(): MetricsSnapshot {
    const { sources } = this;
    const { readings, joules } = sources.board;
    const { model, watching } = sources.state;
    const loop = watching?.loop.status();
    const queries = watching?.queries.status;
    const { connected, reconnects, published, dropped } = sources.side.link.stats();
    return {
      cameras: this.cameras().map((camera) => {
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
      watches: Object.entries(loop?.watches ?? {}).map(([id, { events, suppressed }]) => ({ id, events, suppressed })),
      queue: { waiting: (queries?.waiting ?? 0) + (queries?.running ?? 0), rejected: { full: queries?.rejected ?? 0 } },
      engine: { busyRatio: loop?.busyRatio ?? 0 },
      models: model === null ? [] : [{ id: model.name, sha256: model.revision, release: sources.state.release ?? '' }],
      mqtt: { connected, reconnects, published: { 0: published.qos0, 1: published.qos1 }, dropped, pictures: this.pictures() },
      temperatures: readings.temperatures,
      rails: readings.rails,
      joules,
      throttled: readings.throttled,
      overCurrents: readings.overCurrents,
      memoryBytes: memory().rssBytes,
      recorder: sources.record.status(),
      log: { dropped: sources.log.dropped },
    };
  }

  /** Of events: what did not come to be, and what did not go out. */
  private pictures(): Health['mqtt']['pictures'] {
    const { side } = this.sources;
    const { published, bytes, dropped } = side.link.stats().pictures;
    const all: Record<string, number> = { ...dropped };
    for (const [reason, count] of Object.entries(side.pictures.dropped)) all[reason] = (all[reason] ?? 0) + count;
    return { published, waiting_bytes: bytes, dropped: all };
  }

  private recorder(): Health['recorder'] {
    const status = this.sources.record.status();
    if (status === null) return null;
    const { picturesDropped, ...rest } = status;
    return { ...rest, pictures_dropped: picturesDropped };
  }

  private cameras(): Camera[] {
    return this.sources.state.watching?.cameras.all() ?? [];
  }

  private lifecycle(): Health['lifecycle'] {
    const { state, changer, side } = this.sources;
    const well = checksOf(state, changer.config, side.link.connected).every(({ ok }) => ok);
    return state.lifecycle === 'running' && !well ? 'degraded' : state.lifecycle;
  }

  private camera(camera: Camera, loop: LoopStatus | null): Health['cameras'][string] {
    const { state, frames, fps, frameAgeMs, dropped, restarts, error } = camera.status();
    const enabled = own(this.sources.changer.config.cameras, camera.id)?.enabled !== false;
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

function memory(): { rssBytes: number; heapBytes: number } {
  const { rss, heapUsed } = process.memoryUsage();
  return { rssBytes: rss, heapBytes: heapUsed };
}

/** In an order that a change of one does not change. */
function byId<T>(record: Record<string, T>): [string, T][] {
  return Object.entries(record).sort(([a], [b]) => (a < b ? -1 : 1));
}
