/** Prometheus metrics. Labels are ids of the configuration and fixed words: never questions, answers or frames. */
import { Counter, Gauge, Histogram, Registry } from 'prom-client';

/** What a scrape shows besides what `answered` counted: totals since the start and present values. */
export interface MetricsSnapshot {
  cameras: readonly CameraSnapshot[];
  watches: readonly { id: string; events: number; suppressed: Readonly<Record<string, number>> }[]; // by reason
  queue: { waiting: number; rejected: Readonly<Record<string, number>> };
  engine: { busyRatio: number };
  models: readonly { id: string; sha256: string; release: string }[];
  mqtt: {
    connected: boolean;
    reconnects: number;
    published: Readonly<Record<string, number>>; // by QoS
    dropped: Readonly<Record<string, number>>;
    pictures: { published: number; waiting_bytes: number; dropped: Readonly<Record<string, number>> }; // of events
  };
  temperatures: Readonly<Record<string, number>>; // degrees Celsius by thermal zone
  rails: Readonly<Record<string, number>>; // watts by power rail; empty where none can be read
  joules: number | null; // of the whole board since the start; null: no meter
  throttled: readonly string[] | null; // cooling devices; null: not known
  overCurrents: Readonly<Record<string, number>> | null; // by kind
  memoryBytes: number;
  /** Null: nothing has been recorded. */
  recorder: {
    bytes: number; // on the disk
    segments: number;
    queued: { lines: number; bytes: number };
    lost: Readonly<Record<string, { frames: number; lines: number }>>; // by reason
    picturesDropped: number;
  } | null;
  log: { dropped: number };
}

export interface CameraSnapshot {
  id: string;
  up: boolean;
  frames: number;
  dropped: Readonly<Record<string, number>>; // by reason
  frameAgeMs: number | null; // null: no frame yet
  restarts: number;
}

/** One answer of a watch or to a query. */
export interface Answered {
  /** Null: a query. */
  watch: string | null;
  status: string;
  /** Milliseconds by stage. */
  timing: { queueMs: number; prepMs: number; visionMs: number; prefillMs: number; decodeMs: number; totalMs: number } | null;
  tokens: { in: number; out: number } | null;
}

export interface MetricsOptions {
  version: string;
  snapshot: () => MetricsSnapshot | Promise<MetricsSnapshot>;
}

const PREFIX = 'mipha_';
const MOST_WATCHES = 512;
const DURATION_BUCKETS = [0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30];
const STAGES = { queueMs: 'queue', prepMs: 'prep', visionMs: 'vision', prefillMs: 'prefill', decodeMs: 'decode', totalMs: 'total' } as const;

export class Metrics {
  private readonly registry = new Registry();
  private readonly snapshot: MetricsOptions['snapshot'];
  private readonly watches = new Set<string>();
  private good = 0;
  private readonly queries: Counter<'watch' | 'status'>;
  private readonly durations: Histogram<'stage'>;
  private readonly tokens: Counter<'direction'>;
  private readonly modelChanges: Counter<'outcome' | 'by_itself'>;
  private readonly refresh: (now: MetricsSnapshot) => void;

  constructor({ version, snapshot }: MetricsOptions) {
    const { registry } = this;
    const registers = [registry];
    this.snapshot = snapshot;
    const name = (text: string) => `${PREFIX}${text}`;
    this.queries = new Counter({
      name: name('queries_total'),
      help: 'Answers by watch (query: none) and status',
      labelNames: ['watch', 'status'],
      registers,
    });
    this.durations = new Histogram({
      name: name('query_duration_seconds'),
      help: 'Time spent per answer in each stage; total: from the decision to look to the answer',
      labelNames: ['stage'],
      buckets: DURATION_BUCKETS,
      registers,
    });
    this.tokens = new Counter({ name: name('tokens_total'), help: 'Tokens read (in) and written (out)', labelNames: ['direction'], registers });
    this.modelChanges = new Counter({
      name: name('model_changes_total'),
      help: 'Releases that were installed, refused or rolled back; by_itself: nobody asked for it',
      labelNames: ['outcome', 'by_itself'],
      registers,
    });
    new Gauge({ name: name('build_info'), help: 'The version that runs', labelNames: ['version', 'node'], registers }).set(
      { version, node: process.versions.node },
      1,
    );
    this.refresh = snapshotMetrics(registry);
  }

  /** Good ones since the start, of watches and to queries. */
  get answers(): number {
    return this.good;
  }

  /** Counts an answer. */
  answered({ watch, status, timing, tokens }: Answered): void {
    if (status === 'ok') this.good++;
    this.queries.inc({ watch: this.label(watch), status });
    if (tokens !== null) {
      this.tokens.inc({ direction: 'in' }, tokens.in);
      this.tokens.inc({ direction: 'out' }, tokens.out);
    }
    if (timing === null) return;
    for (const [key, stage] of Object.entries(STAGES)) this.durations.observe({ stage }, timing[key as keyof typeof STAGES] / 1000);
  }

  /** Counts what became of a release. */
  modelChanged(outcome: string, byItself: boolean): void {
    this.modelChanges.inc({ outcome, by_itself: String(byItself) });
  }

  /** The text of a scrape. */
  async scrape(): Promise<{ contentType: string; text: string }> {
    this.refresh(await this.snapshot());
    return { contentType: this.registry.contentType, text: await this.registry.metrics() };
  }

  /** Watches come and go over MQTT for years: their number is bounded. */
  private label(watch: string | null): string {
    if (watch === null) return 'query';
    if (!this.watches.has(watch) && this.watches.size >= MOST_WATCHES) return 'other';
    this.watches.add(watch);
    return watch;
  }
}

/** Makes the metrics whose values come from a snapshot. Series of what is gone vanish. */
function snapshotMetrics(registry: Registry): (now: MetricsSnapshot) => void {
  const registers = [registry];
  const gauge = <L extends string>(name: string, help: string, ...labelNames: L[]) =>
    new Gauge<L>({ name: `${PREFIX}${name}`, help, labelNames, registers });
  const counter = <L extends string>(name: string, help: string, ...labelNames: L[]) =>
    new Counter<L>({ name: `${PREFIX}${name}`, help, labelNames, registers });

  const captured = counter('frames_captured_total', 'Frames that arrived', 'camera');
  const dropped = counter('frames_dropped_total', 'Frames that were not asked about', 'camera', 'reason');
  const age = gauge('frame_age_seconds', 'Age of the newest frame', 'camera');
  const up = gauge('camera_up', '1: frames arrive', 'camera');
  const restarts = counter('camera_reconnects_total', 'Times a camera was opened again', 'camera');
  const told = counter('watch_events_total', 'Events of watches', 'watch');
  const suppressed = counter('watch_events_suppressed_total', 'What was not told when it came', 'watch', 'reason');
  const depth = gauge('queue_depth', 'Queries waiting or under way');
  const rejected = counter('queue_rejected_total', 'Queries refused', 'reason');
  const busy = gauge('engine_busy_ratio', 'Share of the last minute that the engine worked');
  const model = gauge('model_info', 'The packages that are loaded; release: where it was installed', 'id', 'sha256', 'release');
  const connected = gauge('mqtt_connected', '1: connected to the broker');
  const reconnects = counter('mqtt_reconnects_total', 'Times the connection to the broker was made again');
  const published = counter('mqtt_published_total', 'Messages sent', 'qos');
  const unsent = counter('mqtt_dropped_total', 'Messages that were not sent', 'reason');
  const pictures = counter('event_pictures_total', 'Pictures of events that were sent');
  const lostPictures = counter('event_pictures_dropped_total', 'Events that went out without their picture', 'reason');
  const pictureBytes = gauge('event_pictures_waiting_bytes', 'Pictures of events that wait for the broker');
  const temperature = gauge('soc_temperature_celsius', 'Temperatures of the thermal zones', 'zone');
  const power = gauge('power_watts', 'Power drawn', 'rail');
  const energy = counter('energy_joules_total', 'Energy that the whole board drew');
  const throttled = gauge('throttled', '1: this cooling device slows the board down', 'device');
  const overCurrents = counter('over_currents_total', 'Times the supply was too weak since the board was switched on', 'kind');
  const memory = gauge('memory_used_bytes', 'Resident memory of the process');
  const recordBytes = gauge('recorder_bytes', 'What the record takes of the disk');
  const recordSegments = gauge('recorder_segments', 'Segments of the record');
  const recordQueued = gauge('recorder_queued_bytes', 'What waits to be recorded');
  const recordLines = counter('recorder_lost_lines_total', 'Lines that were not recorded', 'reason');
  const recordPictures = counter('recorder_lost_pictures_total', 'Pictures that were not recorded', 'reason');
  const logDropped = counter('log_dropped_total', 'Lines of the log that nobody read in time');
  const all = [
    captured,
    dropped,
    age,
    up,
    restarts,
    told,
    suppressed,
    depth,
    rejected,
    busy,
    model,
    connected,
    reconnects,
    published,
    unsent,
    pictures,
    lostPictures,
    pictureBytes,
    temperature,
    power,
    energy,
    throttled,
    overCurrents,
    memory,
    recordBytes,
    recordSegments,
    recordQueued,
    recordLines,
    recordPictures,
    logDropped,
  ];

  return ({
    cameras,
    watches,
    queue,
    engine,
    models,
    mqtt,
    temperatures,
    rails,
    joules,
    throttled: slowing,
    overCurrents: weak,
    memoryBytes,
    recorder,
    log,
  }) => {
    for (const metric of all) metric.reset();
    for (const { id: camera, ...now } of cameras) {
      captured.inc({ camera }, now.frames);
      for (const [reason, count] of Object.entries(now.dropped)) dropped.inc({ camera, reason }, count);
      if (now.frameAgeMs !== null) age.set({ camera }, now.frameAgeMs / 1000);
      up.set({ camera }, now.up ? 1 : 0);
      restarts.inc({ camera }, now.restarts);
    }
    for (const { id: watch, ...now } of watches) {
      told.inc({ watch }, now.events);
      for (const [reason, count] of Object.entries(now.suppressed)) suppressed.inc({ watch, reason }, count);
    }
    depth.set(queue.waiting);
    for (const [reason, count] of Object.entries(queue.rejected)) rejected.inc({ reason }, count);
    busy.set(engine.busyRatio);
    for (const { id, sha256, release } of models) model.set({ id, sha256, release }, 1);
    connected.set(mqtt.connected ? 1 : 0);
    reconnects.inc(mqtt.reconnects);
    for (const [qos, count] of Object.entries(mqtt.published)) published.inc({ qos }, count);
    for (const [reason, count] of Object.entries(mqtt.dropped)) unsent.inc({ reason }, count);
    pictures.inc(mqtt.pictures.published);
    for (const [reason, count] of Object.entries(mqtt.pictures.dropped)) lostPictures.inc({ reason }, count);
    pictureBytes.set(mqtt.pictures.waiting_bytes);
    for (const [zone, degrees] of Object.entries(temperatures)) temperature.set({ zone }, degrees);
    for (const [rail, value] of Object.entries(rails)) power.set({ rail }, value);
    if (joules !== null) energy.inc(joules);
    for (const device of slowing ?? []) throttled.set({ device }, 1);
    for (const [kind, count] of Object.entries(weak ?? {})) overCurrents.inc({ kind }, count);
    memory.set(memoryBytes);
    logDropped.inc(log.dropped);
    if (recorder === null) return;
    recordBytes.set(recorder.bytes);
    recordSegments.set(recorder.segments);
    recordQueued.set(recorder.queued.bytes);
    for (const [reason, { frames, lines }] of Object.entries(recorder.lost)) {
      recordLines.inc({ reason }, lines);
      recordPictures.inc({ reason }, frames);
    }
    recordPictures.inc({ reason: 'not_encoded' }, recorder.picturesDropped);
  };
}
