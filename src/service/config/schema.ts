/** The configuration of a node: one strict schema with defaults, units in the names. docs/configuration.md is generated from it. */
import { z } from 'zod';
import { BEGINNINGS } from '../../camera/schemes.js';
import { isMqttText, isTopicFilter } from '../../mqtt/filters.js';
import { isPublicKey, KEY_WORDS } from '../../update/keys.js';
import { isOrigin, ORIGIN_WORDS } from '../../update/origin.js';
import { isTimeZone } from '../../watch/local-time.js';
import { idSchema, polygonsSchema, watchSpecSchema } from '../../watch/spec.js';
import { checkCameraUri, checkTogether, DEFAULT_BROKER, isBrokerUrl, isTopicPrefix } from './checks.js';

/** Marks a setting that only a restart applies; all others are applied while running. */
const RESTART = { restart: true };
/** Marks what only the owner of the machine may say, in the file, the environment or a flag: never over MQTT. */
const LOCAL = { local: true };
/** Marks a path of a file or folder: made absolute when the configuration is loaded. `uri`: an address that may hold one. */
const PATH = { path: 'file' };
const URI = { path: 'uri' };
/** Says in words what the type alone does not. */
const words = (text: string) => ({ words: text });

const path = z.string().min(1).meta(PATH);

/** Everything over MQTT that changes a node: verbs, and the settable topics. */
export const CLOSABLE = [
  'options',
  'overrides/drop',
  'watch/put',
  'watch/delete',
  'label',
  'model/install',
  'model/rollback',
  'camera/restart',
  'restart',
  'set',
] as const;
export type Closable = (typeof CLOSABLE)[number];

const CAMERA_WORDS = `an address that begins with ${BEGINNINGS.join(', ')}`;
const BROKER_WORDS = 'mqtt://HOST:PORT or mqtts://HOST:PORT, without user and password';

const ZONE_WORDS = 'a time zone of the IANA, e.g. Europe/Berlin, or system';
/** The time zone of the process. */
export const SYSTEM_ZONE = 'system';

const NAME_WORDS = 'text without control characters';
const PREFIX_WORDS = 'a topic without wildcards, control characters, $ in front or slashes at its ends';
const HOST_WORDS = 'a name or number without port, e.g. kitchen.local';
const HOST_NAME = /^([a-z0-9]([a-z0-9._-]*[a-z0-9])?|[0-9a-f:]+)$/;
const POOL_FILTER_WORDS = 'a subscription to a queue of the broker, which begins with $, e.g. $queue/hall-2';
const FILTER_WORDS = 'a topic filter (+ for a level, # for the rest, no control characters, no $ in front)';

export const cameraConfigSchema = z
  .strictObject({
    uri: z
      .string()
      .superRefine(checkCameraUri)
      .meta({ ...LOCAL, ...URI, ...words(CAMERA_WORDS) })
      .describe('synthetic://kitchen, images://FOLDER, v4l2:///dev/video0, csi://0, rtsp://…, file://CLIP, gst:PIPELINE'),
    enabled: z.boolean().default(true).describe('false: it is not opened'),
    frame_side_px: z.int().min(16).max(4096).optional().describe('frames are scaled down to this longest side; default: what the model sees'),
    stall_ms: z.int().min(100).max(3_600_000).default(10_000).describe('without a frame for this long the camera is restarted'),
    frozen_ms: z
      .int()
      .min(0)
      .max(86_400_000)
      .optional()
      .describe('with the very same picture for this long it is restarted; 0 never; default: 15000 for v4l2, csi and rtsp, never for others'),
    privacy: polygonsSchema
      .default([])
      .meta(LOCAL)
      .describe('polygons of points [x, y], fractions of the picture: black in every frame, before anything sees it, with two pixels around them'),
    images: z
      .boolean()
      .default(false)
      .meta(LOCAL)
      .describe('pictures of this camera may be published, on request (snapshot) and with the events of watches, and recorded'),
  })
  .describe('a camera, by its id');
export type CameraConfig = z.infer<typeof cameraConfigSchema>;

export const configSchema = z
  .strictObject({
    version: z.literal(1).default(1).describe('of this file format'),
    base: idSchema
      .default('mipha')
      .meta({ ...RESTART, ...LOCAL })
      .describe('first part of all topics'),
    node: idSchema.meta({ ...RESTART, ...LOCAL }).describe('name of this device in all topics'),
    labels: z
      .record(idSchema, z.string().min(1).max(64).refine(isMqttText, NAME_WORDS).meta(words(NAME_WORDS)))
      .default({})
      .describe('what a pool may choose the node by, at most 16, e.g. `site: hall-2`; told in `info`'),
    draining: z
      .boolean()
      .default(false)
      .describe('true: new queries are refused with DRAINING, so that a pool asks other nodes; those admitted are finished, watches go on'),
    state_dir: path
      .optional()
      .meta({ ...RESTART, ...LOCAL })
      .describe('where the client id and overrides (what was changed over MQTT) are kept; without it they end with the process'),
    timezone: z
      .string()
      .refine((name) => name === SYSTEM_ZONE || isTimeZone(name), ZONE_WORDS)
      .default(SYSTEM_ZONE)
      .meta({ ...RESTART, ...words(ZONE_WORDS) })
      .describe('of the quiet hours of watches: an IANA name such as Europe/Berlin; system: that of the process'),
    model: z
      .strictObject({
        folder: path.optional().meta(LOCAL).describe('a package; default: the shipped mipha-nano'),
        backend: z.enum(['auto', 'cpu', 'cuda', 'tensorrt']).default('auto').describe('what runs it'),
        threads: z.int().min(1).max(1024).optional().describe('default: one per physical core'),
        updates: z
          .strictObject({
            keys: z
              .array(z.string().refine(isPublicKey, KEY_WORDS).meta(words(KEY_WORDS)))
              .max(16)
              .default([])
              .describe('public keys that vouch for releases; without any nothing can be installed: docs/upgrade.md'),
            folder: path.optional().describe('where releases lie that may be installed over MQTT, e.g. of a stick'),
            origins: z
              .array(z.string().refine(isOrigin, ORIGIN_WORDS).meta(words(ORIGIN_WORDS)))
              .max(16)
              .default([])
              .describe('servers that they may be fetched from; none is asked until somebody names an address there'),
            ca_file: path.optional().describe('certificates that these servers may be signed by; default: those of Node'),
            trial_s: z
              .int()
              .min(10)
              .max(86_400)
              .default(600)
              .describe('so long a new model goes back by itself when its answers fail or take twice the time'),
          })
          .prefault({})
          .meta(LOCAL)
          .describe('models that are installed over the one above, in `models` of `state_dir`'),
      })
      .prefault({})
      .meta(RESTART),
    mqtt: z
      .strictObject({
        url: z
          .string()
          .refine(isBrokerUrl, BROKER_WORDS)
          .default(DEFAULT_BROKER)
          .meta({ ...LOCAL, ...words(BROKER_WORDS) })
          .describe('the broker'),
        protocol: z.enum(['5', '3.1.1']).default('5').meta(LOCAL).describe('version of MQTT'),
        username: z
          .string()
          .min(1)
          .refine(isMqttText, NAME_WORDS)
          .meta(words(NAME_WORDS))
          .optional()
          .meta(LOCAL)
          .describe('of the node at the broker'),
        password_file: path.optional().meta(LOCAL).describe('read again at every connection, like the three below'),
        ca_file: path.optional().meta(LOCAL).describe('certificates that the broker may be signed by; default: those of Node'),
        cert_file: path.optional().meta(LOCAL).describe('certificate of this node'),
        key_file: path.optional().meta(LOCAL).describe('private key to cert_file'),
        allow_plaintext: z.boolean().default(false).meta(LOCAL).describe('permit mqtt:// to another machine than this one'),
        keepalive_s: z.int().min(5).max(3600).default(15).describe('a broker that does not answer within this time is given up'),
        max_packet_bytes: z.int().min(1024).max(268_435_455).default(1_000_000).meta(LOCAL).describe('larger messages are neither sent nor taken'),
        reply_topics: z
          .array(z.string().refine(isTopicFilter, FILTER_WORDS))
          .max(64)
          .default([])
          .meta(LOCAL)
          .describe('filters that reply topics may match, besides BASE/v1/+/reply/# and response/# of this node'),
        pool: idSchema
          .optional()
          .meta(LOCAL)
          .describe('name of a queue on the broker that several nodes share, for clients that only publish: docs/fleet.md; needs MQTT 5'),
        pool_filter: z
          .string()
          .max(256)
          .refine((text) => /^\$[a-z]+\/./.test(text) && isMqttText(text), POOL_FILTER_WORDS)
          .meta(words(POOL_FILTER_WORDS))
          .optional()
          .meta(LOCAL)
          .describe(
            'subscribed to instead of $share/NAME/BASE/v1/pool/NAME/request/query: for a queue of the broker such as $queue/NAME of EMQX 6; then one query at a time, acknowledged when it was answered',
          ),
        discovery: z
          .strictObject({
            enabled: z.boolean().default(true).describe('announce cameras and watches to Home Assistant'),
            prefix: z.string().refine(isTopicPrefix, PREFIX_WORDS).meta(words(PREFIX_WORDS)).default('homeassistant').describe('where it listens'),
          })
          .prefault({})
          .meta(LOCAL),
      })
      .prefault({})
      .meta(RESTART),
    cameras: z.record(idSchema, cameraConfigSchema).default({}),
    watches: z.record(idSchema, watchSpecSchema).default({}),
    recorder: z
      .strictObject({
        folder: path.optional().describe('default: `record` in `state_dir`'),
        bytes: z
          .int()
          .min(2 ** 20)
          .max(2 ** 50)
          .default(2 ** 30)
          .describe('of all watches together; the oldest goes first'),
        days: z.int().min(1).max(3650).default(14).describe('what is older is deleted'),
        quality: z.int().min(1).max(100).default(90).describe('of the JPEGs'),
      })
      .prefault({})
      .meta({ ...RESTART, ...LOCAL })
      .describe('where watches with `record: true` are kept'),
    requests: z
      .strictObject({
        queries: z
          .boolean()
          .default(true)
          .meta(LOCAL)
          .describe('false: only the questions of the configuration may be asked, also by watches put over MQTT'),
        closed: z
          .array(z.enum(CLOSABLE))
          .max(CLOSABLE.length)
          .default([])
          .meta(LOCAL)
          .describe(`what nobody may ask for over MQTT, refused with FORBIDDEN: any of ${CLOSABLE.join(', ')} (the …/set topics)`),
        queue: z.int().min(1).max(1000).default(16).describe('queries waiting or under way; one more is refused with QUEUE_FULL'),
        deadline_ms: z.int().min(100).max(600_000).default(30_000).meta(RESTART).describe('for requests that name none'),
        request_bytes: z.int().min(256).max(1_048_576).default(65_536).meta(RESTART).describe('larger ones are refused with TOO_LARGE'),
        dedupe_ms: z.int().min(0).max(3_600_000).default(60_000).meta(RESTART).describe('how long a repeated request gets the same response again'),
      })
      .prefault({}),
    http: z
      .strictObject({
        enabled: z.boolean().default(true).describe('/livez, /readyz and /metrics, and what chat says'),
        chat: z.boolean().default(true).describe('chat completions about pictures and cameras, for clients that know that interface: /v1'),
        host: z.string().min(1).default('127.0.0.1').describe('address to listen on; 0.0.0.0 lets other machines in, which need a token then'),
        port: z.int().min(1).max(65_535).default(9464),
        viewer_token_file: path.optional().describe('tokens, one a line, of those who may see and ask; with any token nobody comes in without one'),
        operator_token_file: path.optional().describe('tokens of those who may change the node too'),
        allowed_hosts: z
          .array(
            z
              .string()
              .refine((name) => HOST_NAME.test(name), HOST_WORDS)
              .meta(words(HOST_WORDS)),
          )
          .max(64)
          .default([])
          .describe('names under which browsers and clients may come, besides localhost, host and the number of the address'),
        behind_tls: z.boolean().default(false).describe('a proxy in front of it speaks TLS: cookies are sent over that alone'),
        body_bytes: z
          .int()
          .min(65_536)
          .max(67_108_864)
          .default(8_388_608)
          .describe('longer requests are refused; eight of the longest are held at once'),
      })
      .prefault({})
      .meta({ ...RESTART, ...LOCAL }),
    log: z
      .strictObject({
        level: z.enum(['trace', 'debug', 'info', 'warn', 'error', 'fatal']).default('info').describe('the least that is logged'),
        format: z.enum(['json', 'pretty']).default('json').meta(RESTART).describe('pretty: for people'),
        mqtt: z.boolean().default(false).meta(RESTART).describe('warnings and errors on the log topic too'),
      })
      .prefault({}),
    health_interval_ms: z.int().min(1000).max(30_000).default(15_000).describe('how often health is published'),
    shutdown_ms: z.int().min(100).max(60_000).default(5000).describe('time for work under way to end before it is cancelled'),
  })
  .superRefine(checkTogether);
export type Config = z.infer<typeof configSchema>;
