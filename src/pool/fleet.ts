/** All nodes of a broker, as their retained topics tell them: at one moment for `mipha fleet`, or as it goes for the page of a node. */
import { z } from 'zod';
import { parseJson } from '../mqtt/json.js';
import { alertSchema, healthSchema, infoSchema } from '../mqtt/messages.js';
import type { Incoming } from '../mqtt/wire.js';
import type { BrokerAccess, NodeChoice } from './options.js';
import { checkAccess, wantedOf } from './options.js';
import { Wiring } from './wiring.js';

export interface FleetCamera {
  id: string;
  state: z.infer<typeof healthSchema>['cameras'][string]['state'];
  /** Of its newest frame when the node last told of it; null: it has none. */
  frameAgeMs: number | null;
  fps: number;
}

export interface FleetNode {
  node: string;
  online: boolean;
  /** Null where the broker has no `info` of it, and below where it has no `health`. */
  version: string | null;
  model: { id: string; rev: string } | null;
  labels: Readonly<Record<string, string>>;
  draining: boolean;
  watches: number;
  /** Settings that were changed over MQTT. */
  overrides: number;
  restartRequired: boolean;
  lifecycle: z.infer<typeof healthSchema>['lifecycle'] | null;
  uptimeS: number | null;
  backend: string | null;
  queue: { waiting: number; limit: number } | null;
  /** How long ago it told all this, by the clocks of both machines. */
  healthAgeMs: number | null;
  cameras: FleetCamera[];
  alerts: { id: string; level: string; message: string }[];
}

const factsSchema = infoSchema.pick({ version: true, labels: true, draining: true, restart_required: true, overrides: true }).extend({
  models: z.array(z.object({ id: z.string(), rev: z.string() })),
  watches: z.array(z.unknown()),
});
const conditionSchema = healthSchema.pick({ ts: true, lifecycle: true, uptime_s: true, cameras: true, engine: true, queue: true });
const noticeSchema = alertSchema.pick({ level: true, message: true });

interface Heard {
  /** Null: the broker has no word of it. */
  online: boolean | null;
  info: z.infer<typeof factsSchema> | null;
  health: z.infer<typeof conditionSchema> | null;
  alerts: Map<string, z.infer<typeof noticeSchema>>;
}

/** A node, with the time at which it told of itself instead of how long ago that is. */
export type FleetState = Omit<FleetNode, 'healthAgeMs'> & { healthAt: string | null };

/** What the retained topics of all nodes of a broker say. */
export class Fleet {
  private readonly heard = new Map<string, Heard>();

  constructor(private readonly base: string) {}

  get filters(): string[] {
    return ['availability', 'info', 'health', 'alert/+'].map((leaf) => `${this.base}/v1/+/${leaf}`);
  }

  /** Returns the node that it is about. An empty payload takes back what was said. */
  take({ topic, payload }: Pick<Incoming, 'topic' | 'payload'>): string {
    const [id = '', leaf = '', alert = ''] = topic.slice(`${this.base}/v1/`.length).split('/');
    const one = this.heard.get(id) ?? { online: null, info: null, health: null, alerts: new Map() };
    this.heard.set(id, one);
    const isEmpty = payload.length === 0;
    if (leaf === 'availability') one.online = isEmpty ? null : payload.toString() === 'online';
    else if (leaf === 'info') one.info = isEmpty ? null : read(factsSchema, payload);
    else if (leaf === 'health') one.health = isEmpty ? null : read(conditionSchema, payload);
    else {
      const notice = isEmpty ? null : read(noticeSchema, payload);
      if (notice === null) one.alerts.delete(alert);
      else one.alerts.set(alert, notice);
    }
    if (one.online === null && one.info === null && one.health === null && one.alerts.size === 0) this.heard.delete(id);
    return id;
  }

  get nodes(): string[] {
    return [...this.heard.keys()].sort();
  }

  /** Null: nothing is known of it. */
  state(node: string): FleetState | null {
    const one = this.heard.get(node);
    return one === undefined ? null : stateOf(node, one);
  }
}

/** By name. Throws ERR_OPTION, and ERR_MQTT when the broker cannot be reached. */
export async function readFleet(access: BrokerAccess, choice: NodeChoice = {}): Promise<FleetNode[]> {
  const { broker, base } = checkAccess(access, 'mipha-fleet');
  const { nodes, model, labels = [] } = wantedOf(choice);
  const fleet = new Fleet(base);
  const wiring = new Wiring(broker, fleet.filters);
  wiring.on('message', (message) => fleet.take(message));
  try {
    await wiring.open();
  } finally {
    await wiring.close();
  }
  return fleet.nodes
    .filter((id) => nodes === undefined || nodes.some((pattern) => pattern.test(id)))
    .map((id) => agedOf(fleet.state(id) as FleetState))
    .filter((node) => model === undefined || node.model?.id === model || `${node.model?.id}@${node.model?.rev}` === model)
    .filter((node) => labels.every(([name, value]) => node.labels[name] === value));
}

function agedOf({ healthAt, ...state }: FleetState): FleetNode {
  return { ...state, healthAgeMs: healthAt === null ? null : Math.max(0, Date.now() - Date.parse(healthAt)) };
}

function stateOf(node: string, { online, info, health, alerts }: Heard): FleetState {
  const model = info?.models[0];
  return {
    node,
    online: online === true,
    version: info?.version ?? null,
    model: model === undefined ? null : { id: model.id, rev: model.rev },
    labels: info?.labels ?? {},
    draining: info?.draining ?? false,
    watches: info?.watches.length ?? 0,
    overrides: info?.overrides.length ?? 0,
    restartRequired: info?.restart_required ?? false,
    lifecycle: health?.lifecycle ?? null,
    uptimeS: health?.uptime_s ?? null,
    backend: health?.engine.backend ?? null,
    queue: health === null ? null : { waiting: health.queue.waiting, limit: health.queue.limit },
    healthAt: health?.ts ?? null,
    cameras: Object.entries(health?.cameras ?? {}).map(([id, { state, frame_age_ms, fps }]) => ({ id, state, frameAgeMs: frame_age_ms, fps })),
    alerts: [...alerts].map(([id, { level, message }]) => ({ id, level, message })).sort((a, b) => (a.id < b.id ? -1 : 1)),
  };
}

function read<T>(schema: z.ZodType<T>, payload: Buffer): T | null {
  try {
    return schema.safeParse(parseJson(payload)).data ?? null;
  } catch {
    return null;
  }
}
