/**
 * What the node publishes, as schemas. JSON in UTF-8, snake_case; readers ignore fields they do not know, so these objects are open.
 * Times are ISO 8601 in UTC with milliseconds, durations end in `_ms`.
 */
import { randomUUID } from 'node:crypto';
import { z } from 'zod';
import { answerSpecSchema, cropSchema, EVENT_TYPES, idSchema, valueSchema } from '../watch/spec.js';
import { cutText } from './text.js';

/** Major version of the payload schemas. */
export const SCHEMA_VERSION = 1;
/** Longest `state` payload, in UTF-16 units: what common home automation accepts. */
export const STATE_CHARS = 255;

const time = z.iso.datetime({ precision: 3 });
const count = z.int().min(0);
const ms = z.number().min(0);
const version = z.literal(SCHEMA_VERSION);

export const errorCodes = [
  'BAD_JSON', // the payload is not JSON, or nested too deeply
  'SCHEMA', // a field is missing, unknown or out of range
  'TOO_LARGE', // the request, or what would have to be sent for it
  'FORBIDDEN', // a reply topic outside the allow-list, or something the configuration does not permit
  'RETAINED_COMMAND', // commands must not be retained
  'UNKNOWN_VERB',
  'UNKNOWN_CAMERA',
  'UNKNOWN_WATCH',
  'UNKNOWN_ANSWER', // the record has no such answer, or not any more
  'NO_FRAME', // the camera has not delivered any
  'STALE_FRAME', // the newest frame is older than max_age_ms
  'QUEUE_FULL', // see retry_after_ms
  'DRAINING', // the node takes no new queries: ask another one
  'EXPIRED', // the deadline had passed when it came, or before it was admitted; or the answer had lost its validity before it was there
  'TIMEOUT', // the deadline passed after it was admitted
  'CANCELLED',
  'MODEL_LOADING',
  'MODEL_REFUSED', // the release that is to be installed: the message says why
  'ENGINE_FAULT',
  'SHUTTING_DOWN',
] as const;
export type RequestErrorCode = (typeof errorCodes)[number];

export const errorSchema = z.object({
  code: z.enum(errorCodes),
  message: z.string(),
  retryable: z.boolean(),
  retry_after_ms: ms.optional(),
  level: z.enum(['WARNING', 'URGENT', 'CRITICAL', 'FATAL']),
  refs: z.array(z.object({ key: z.string(), value: z.string() })).describe('what it concerns, e.g. the path of a field'),
});
export type RequestErrorBody = z.infer<typeof errorSchema>;

const frameSchema = z.object({
  id: z.string(),
  ts: time.describe('of capture'),
  age_ms: ms.describe('at the time of publishing'),
  width: count,
  height: count,
  crop: cropSchema.nullable(),
});

const modelSchema = z.object({ id: z.string(), rev: z.string() });
const releaseSchema = z.string().nullable().describe('that was installed; null: it is the package of the configuration');

const compareSchema = z.object({
  changed: z.boolean().describe('`value` of the message is another'),
  value: valueSchema,
  confidence: z.number().min(0).max(1).nullable(),
  frame: z.object({ id: z.string(), ts: time.describe('of capture') }).describe('of the answer that decided it'),
});

export const resultSchema = z.object({
  id: z.string().describe('of this message, for dropping duplicates'),
  v: version,
  seq: count.describe('counts the messages of this topic within a session; a gap is a loss'),
  session: z.string().describe('new at every start of the node'),
  ts: time.describe('of publishing'),
  node: idSchema,
  camera: idSchema,
  watch: idSchema.nullable().describe('null: the answer to a query'),
  transaction: z.string().nullable(),
  trigger: z.enum(['interval', 'request']),
  status: z.enum(['ok', 'stale', 'error']),
  type: z.enum(['boolean', 'choice', 'number', 'text']),
  value: valueSchema.nullable().describe('what is believed now, after agreement and hysteresis; null: nothing is'),
  observed: valueSchema.nullable().describe('what this one frame gave'),
  answer: z.string().describe('what the model wrote'),
  confidence: z.number().min(0).max(1).nullable().describe('of `observed`; null: the engine has no figure for this kind of answer'),
  changed: z.boolean().describe('`value` differs from the result before'),
  stable_count: count.describe('answers in a row that gave `observed`'),
  valid_until: time.nullable().describe('after this, `value` must not be relied upon'),
  compare: compareSchema.nullable().describe('what was believed then, see `compare` of the watch; null: not known, or nothing is compared'),
  frame: frameSchema.nullable(),
  model: modelSchema,
  timing: z.object({ queue_ms: ms, prep_ms: ms, vision_ms: ms, prefill_ms: ms, decode_ms: ms, total_ms: ms }).nullable(),
  tokens: z.object({ in: count, out: count }).nullable(),
  truncated: z.boolean().describe('the scalar of a state topic or the answer was cut to its limit'),
  error: errorSchema.nullable(),
});
export type Result = z.infer<typeof resultSchema>;

const pictureSchema = z
  .object({
    topic: z.string().describe('where it went out, before this event'),
    seq: count.describe('that of this event; with MQTT 5 the picture has it as a user property'),
    content_type: z.literal('image/jpeg'),
    bytes: count,
    sha256: z.string().length(64).describe('of the JPEG, in hexadecimal: what came on `topic` and has another one is of another event'),
    width: count,
    height: count,
    part: z.enum(['crop', 'whole']).describe('the crop of the watch, or all that the camera sees'),
  })
  .describe('the JPEG of a frame');
export type EventPicture = z.infer<typeof pictureSchema>;

export const watchEventSchema = z.object({
  id: z.string(),
  v: version,
  seq: count,
  session: z.string(),
  ts: time,
  node: idSchema,
  watch: idSchema,
  camera: idSchema,
  event_type: z.enum(EVENT_TYPES).describe('boolean watches trigger and clear, others change; a reminder comes once while a value stays'),
  value: valueSchema.nullable(),
  previous: valueSchema.nullable().describe('what was told before; of a watch with `compare` what was believed then'),
  confidence: z.number().min(0).max(1).nullable(),
  result: z.string().describe('`id` of the result that brought it about'),
  frame: frameSchema.nullable(),
  confirmed: z
    .object({ confidence: z.number().min(0).max(1).nullable(), frame: z.string().describe('`id` of the frame that was asked about') })
    .nullable()
    .describe('by the second question of the watch; null: none was asked'),
  compare: compareSchema.nullable().describe('what was believed then, see `compare` of the watch; null: nothing is compared, or it is an error'),
  picture: pictureSchema.nullable().describe('of `frame`; null: pictures of this camera are off, or this one did not go out'),
  error: errorSchema.nullable(),
  replayed: z.boolean().describe('may have been delivered before; `id` and `ts` are those of the first attempt'),
});
export type WatchEvent = z.infer<typeof watchEventSchema>;

export const nodeEventSchema = z.object({
  id: z.string(),
  v: version,
  seq: count,
  session: z.string(),
  ts: time,
  node: idSchema,
  event_type: z.enum([
    'started',
    'stopping',
    'camera_lost',
    'camera_back',
    'config_applied',
    'config_refused',
    'overrides_dropped',
    'setting_refused',
    'model_installed',
    'model_refused',
    'model_rolled_back',
  ]),
  message: z.string(),
  refs: z.array(z.object({ key: z.string(), value: z.string() })),
  replayed: z.boolean(),
});
export type NodeEvent = z.infer<typeof nodeEventSchema>;

export const alertSchema = z.object({
  v: version,
  ts: time,
  level: z.enum(['WARNING', 'URGENT', 'CRITICAL', 'FATAL']),
  message: z.string(),
});
export type Alert = z.infer<typeof alertSchema>;

export const logSchema = z.object({
  ts: time,
  level: z.enum(['warn', 'error', 'fatal']),
  ns: z.string().describe('the part of the node it comes from'),
  msg: z.string(),
  count: count.describe('how often it was logged since it was last told'),
});
export type LogMessage = z.infer<typeof logSchema>;

export const infoSchema = z.object({
  v: version,
  ts: time,
  session: z.string(),
  node: idSchema,
  product: z.literal('mipha-edge'),
  version: z.string(),
  api: z.literal('v1').describe('the version in the topic names'),
  protocol: z.enum(['5', '3.1.1']),
  labels: z.record(z.string(), z.string()).describe('what the owner says about the node, by name: where it is, what its camera sees'),
  draining: z.boolean().describe('it takes no new queries'),
  pool: idSchema.nullable().describe('the queue that it shares with other nodes'),
  models: z.array(modelSchema.extend({ release: releaseSchema, state: z.enum(['loading', 'ready', 'failed']) })),
  cameras: z.array(z.object({ id: idSchema, uri: z.string().describe('secrets masked'), enabled: z.boolean(), images: z.boolean() })),
  watches: z.array(
    z.object({
      id: idSchema,
      camera: idSchema,
      question: z.string(),
      answer: answerSpecSchema,
      enabled: z.boolean(),
      interval_ms: count,
      ttl_ms: count,
    }),
  ),
  verbs: z.array(z.string()),
  limits: z.object({
    request_bytes: count,
    publish_bytes: count,
    question_chars: count,
    queue: count.describe('queries waiting or under way'),
    image_bytes: count,
  }),
  schemas: z.array(z.string()).describe('names for `mipha schema NAME`'),
  timezone: z.string().describe('of quiet hours, an IANA name'),
  restart_required: z.boolean().describe('a setting was changed that needs a restart'),
  overrides: z.array(z.string()).describe('paths of the settings that were changed over MQTT and go over the file'),
});
export type Info = z.infer<typeof infoSchema>;

const queueSchema = z.object({
  waiting: count.describe('queries waiting and under way'),
  limit: count,
  rejected: count,
  usual_ms: ms.nullable().describe('how long the last queries took once their turn had come, the median; null: none was answered yet'),
});
const busyRatioSchema = z.number().min(0).max(1).describe('share of the last minute');
const drainingSchema = z.boolean().describe('new queries are refused with DRAINING; what was admitted is finished, and watches go on');

export const loadSchema = z.object({
  v: version,
  ts: time,
  session: z.string(),
  node: idSchema,
  queue: queueSchema,
  busy_ratio: busyRatioSchema,
  draining: drainingSchema,
});
export type Load = z.infer<typeof loadSchema>;

export const CAMERA_STATES = ['starting', 'online', 'stalled', 'offline', 'disabled'] as const;

export const healthSchema = z.object({
  v: version,
  ts: time,
  session: z.string(),
  node: idSchema,
  lifecycle: z.enum(['starting', 'running', 'degraded', 'stopping']),
  uptime_s: count,
  cameras: z.record(
    idSchema,
    z.object({
      state: z.enum(CAMERA_STATES),
      frames: count,
      fps: z.number().min(0),
      frame_age_ms: ms.nullable(),
      dropped: z.record(z.string(), count),
      skipped: z.record(z.string(), count).describe('frames that watches did not ask about, by reason'),
      restarts: count,
      error: z.string().nullable(),
    }),
  ),
  watches: z
    .record(
      idSchema,
      z.object({
        events: count.describe('that were told'),
        suppressed: z.record(z.string(), count).describe('what was not told when it came, by the reason that held it back'),
        slowed: z.boolean().describe('asked less often because the board is hot, see `duty` of watches'),
      }),
    )
    .describe('since the watch began to ask what it asks'),
  engine: z.object({
    state: z.enum(['loading', 'ready', 'failed']),
    backend: z.string().nullable(),
    release: releaseSchema,
    busy_ratio: busyRatioSchema,
    memory_bytes: count,
  }),
  queue: queueSchema,
  draining: drainingSchema,
  latency_ms: z.object({ p50: ms, p95: ms, p99: ms }).nullable().describe('from capture to publishing, over the last results'),
  memory: z.object({ rss_bytes: count, heap_bytes: count }),
  temperature_c: z.record(z.string(), z.number()),
  power: z
    .object({
      mode: z.string().nullable().describe('of nvpmodel, e.g. MAXN_SUPER'),
      watts: z.number().min(0).nullable().describe('that the whole board draws'),
      joules_per_answer: z.number().min(0).nullable().describe('energy of the whole board in the last ten minutes by good answers of that time'),
      throttled: z
        .array(z.string())
        .nullable()
        .describe('what slows itself down because of heat, by the names of its cooling devices; empty: nothing'),
      over_currents: z.record(z.string(), count).nullable().describe('how often the supply was too weak since the board was switched on, by kind'),
    })
    .describe('null where the machine does not tell'),
  mqtt: z.object({
    connected: z.boolean().describe('false where it is heard of by another way than the broker'),
    reconnects: count,
    published: count,
    dropped: z.record(z.string(), count),
    queued: count,
    pictures: z.object({ published: count, waiting_bytes: count, dropped: z.record(z.string(), count) }).describe('of events'),
  }),
  recorder: z
    .object({
      bytes: count.describe('on the disk'),
      segments: count,
      queued: z.object({ lines: count, bytes: count }).describe('not on the disk yet'),
      lost: z.record(z.string(), z.object({ frames: count, lines: count })).describe('not recorded: pictures and lines, by reason'),
      pictures_dropped: count.describe('that were not encoded: too many at a time, or damaged'),
    })
    .nullable()
    .describe('null: nothing has been recorded'),
  clock_synced: z.boolean().nullable().describe('null: this system does not tell'),
  errors: z
    .array(z.object({ id: z.string(), level: z.enum(['WARNING', 'URGENT', 'CRITICAL', 'FATAL']), message: z.string() }))
    .describe('standing alerts'),
});
export type Health = z.infer<typeof healthSchema>;

export const modelStateSchema = z.object({
  v: version,
  ts: time,
  session: z.string(),
  node: idSchema,
  phase: z
    .enum(['idle', 'fetching', 'testing', 'trial'])
    .describe('trial: it serves, and goes back by itself when it does worse than the one before'),
  percent: z.int().min(0).max(100).nullable().describe('of what is being fetched'),
  incoming: z.string().nullable().describe('the release that is being fetched, tested or taken back'),
  installed: modelSchema.extend({
    release: z.string().describe('that serves; of a package that is no release its `rev`'),
    from: z.enum(['configuration', 'installed']),
  }),
  previous: z.string().nullable().describe('what a rollback brings back; null: there is nothing to take back'),
  latest: z
    .object({ release: z.string(), model: z.string(), source: z.string(), bytes: count })
    .nullable()
    .describe('the newest one in model.updates.folder that is newer than the one that serves'),
  last: z
    .object({
      outcome: z.enum(['installed', 'refused', 'rolled_back']),
      release: z.string(),
      ts: time,
      message: z.string(),
      way: z.enum(['beside', 'in_turn']).nullable().describe('in_turn: there was memory for one model only, so nothing was answered meanwhile'),
      by_itself: z.boolean().describe('a rollback that nobody asked for'),
    })
    .nullable(),
});
export type ModelState = z.infer<typeof modelStateSchema>;

export const responseSchema = z.object({
  v: version,
  ts: time,
  node: idSchema,
  verb: z.string(),
  status: z.enum(['accepted', 'partial', 'ok', 'error']).describe('`ok` and `error` are final, and come once'),
  data: z.unknown().describe('by verb; null unless `ok` or `partial`'),
  error: errorSchema.nullable(),
  transaction: z.string().nullable().describe('as in the request'),
});
export type Response = z.infer<typeof responseSchema>;

/**
 * The bare value for simple consumers: ON or OFF, a choice, a number or a short text. Empty when nothing is known, which for MQTT is no retained
 * message at all; a text of blanks alone says nothing either.
 */
export function stateOf(value: Result['value']): string {
  if (value === null) return '';
  if (typeof value === 'boolean') return value ? 'ON' : 'OFF';
  const text = String(value);
  return text.trim() === '' ? '' : cutText(text, STATE_CHARS);
}

/** What every numbered message carries. `seq` counts per topic. */
export class Stamp {
  private readonly counters = new Map<string, number>();

  constructor(
    readonly node: string,
    readonly session: string,
  ) {}

  next(topic: string): { id: string; v: 1; seq: number; session: string; ts: string; node: string } {
    const seq = this.counters.get(topic) ?? 0;
    this.counters.set(topic, seq + 1);
    return { id: randomUUID(), v: SCHEMA_VERSION, seq, session: this.session, ts: new Date().toISOString(), node: this.node };
  }
}
