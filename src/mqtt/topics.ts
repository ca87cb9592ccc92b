/** Names of MQTT topics. Everything of a node lies below `<base>/v1/<node>`; the major version of the contract stands in the name. */
import { optionError } from '../errors.js';

const ID = /^[a-z0-9-]{1,64}$/;

export const WATCH_SETTINGS = ['enabled', 'prompt', 'interval'] as const;
export type WatchSetting = (typeof WATCH_SETTINGS)[number];

/** What a request topic says: any verb, known or not; `broadcast`: to every node. */
export interface RequestTarget {
  verb: string;
  broadcast: boolean;
  /** To whichever member of a shared queue gets it; its name. */
  pool?: string;
}

/** Of a queue that nodes share; throws ERR_OPTION as topicsOf() does. */
export function poolTopics(base: string, pool: string): Record<'request' | 'response', string> {
  const root = `${checkId('base', base)}/v1/${POOL}/${checkId('pool', pool)}`;
  return { request: `${root}/request/query`, response: `${root}/response/query` };
}

/** No node can have this name. */
export const POOL = 'pool';

/** A topic this node listens to, taken apart. */
export type ParsedTopic =
  | ({ kind: 'request' } & RequestTarget)
  | { kind: 'camera-set'; camera: string } // enabled
  | { kind: 'watch-set'; watch: string; setting: WatchSetting }
  | { kind: 'availability' };

export interface Topics {
  root: string;
  /** All that this node publishes: a subscription filter for people. */
  all: string;
  availability: string;
  info: string;
  health: string;
  load: string;
  event: string;
  log: string;
  model: string;
  alert(id: string): string;
  camera(camera: string, leaf: 'status' | 'enabled/state' | 'motion' | 'image'): string;
  watch(watch: string, leaf: 'result' | 'state' | 'event' | 'picture' | `${WatchSetting}/state`): string;
  request(verb: string): string;
  response(verb: string): string;
  /** Filters this node subscribes to: commands and its own availability. */
  subscriptions: string[];
  /** Null for a topic that is none of this node's commands. */
  parse(topic: string): ParsedTopic | null;
}

/** Throws ERR_OPTION when `base` or `node` is no id: lower-case letters, digits and hyphens, at most 64. */
export function topicsOf(base: string, node: string): Topics {
  const everyone = `${checkId('base', base)}/v1/_all`;
  const root = `${base}/v1/${checkId('node', node)}`;
  const availability = `${root}/availability`;
  return {
    root,
    all: `${root}/#`,
    availability,
    info: `${root}/info`,
    health: `${root}/health`,
    load: `${root}/load`,
    event: `${root}/event`,
    log: `${root}/log`,
    model: `${root}/model`,
    alert: (id) => `${root}/alert/${checkId('alert', id)}`,
    camera: (camera, leaf) => `${root}/camera/${checkId('camera', camera)}/${leaf}`,
    watch: (watch, leaf) => `${root}/watch/${checkId('watch', watch)}/${leaf}`,
    request: (verb) => `${root}/request/${verb}`,
    response: (verb) => `${root}/response/${verb}`,
    subscriptions: [
      availability,
      `${root}/request/#`,
      `${everyone}/request/#`,
      `${root}/camera/+/enabled/set`,
      ...WATCH_SETTINGS.map((setting) => `${root}/watch/+/${setting}/set`),
    ],
    parse(topic) {
      if (topic === availability) return { kind: 'availability' };
      for (const [prefix, broadcast] of [
        [`${root}/request/`, false],
        [`${everyone}/request/`, true],
      ] as const) {
        if (topic.startsWith(prefix)) return { kind: 'request', verb: topic.slice(prefix.length), broadcast };
      }
      if (!topic.startsWith(`${root}/`)) return null;
      const [room, id = '', setting = '', set, ...rest] = topic.slice(root.length + 1).split('/');
      if (set !== 'set' || rest.length > 0 || !ID.test(id)) return null;
      if (room === 'camera' && setting === 'enabled') return { kind: 'camera-set', camera: id };
      const known = WATCH_SETTINGS.find((name) => name === setting);
      return room === 'watch' && known !== undefined ? { kind: 'watch-set', watch: id, setting: known } : null;
    },
  };
}

function checkId(name: string, value: string): string {
  if (!ID.test(value)) throw optionError(name, 'an id of lower-case letters, digits and hyphens, at most 64', value);
  return value;
}
