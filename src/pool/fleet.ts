/** All nodes of a broker at one moment, as their retained topics tell them. */
import { z } from 'zod';
import { parseJson } from '../mqtt/json.js';
import { alertSchema, healthSchema, infoSchema } from '../mqtt/messages.js';
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
  online: boolean;
  info: z.infer<typeof factsSchema> | null;
  health: z.infer<typeof conditionSchema> | null;
  alerts: Map<string, z.infer<typeof noticeSchema>>;
}

/** By name. Throws ERR_OPTION, and ERR_MQTT when the broker cannot be reached. */
export async function readFleet(access: BrokerAccess, choice: NodeChoice = {}): Promise<FleetNode[]> {
  const { broker, base } = checkAccess(access, 'mipha-fleet');
  const { nodes, model, labels = [] } = wantedOf(choice);
  const heard = new Map<string, Heard>();
  const wiring = new Wiring(
    broker,
    ['availability', 'info', 'health', 'alert/+'].map((leaf) => `${base}/v1/+/${leaf}`),
  );
  wiring.on('message', ({ topic, payload }) => {
    const [, , id = '', leaf = '', alert = ''] = topic.split('/');
    if (payload.length === 0 || (nodes !== undefined && !nodes.some((pattern) => pattern.test(id)))) return;
    const one = heard.get(id) ?? { online: false, info: null, health: null, alerts: new Map() };
    heard.set(id, one);
    if (leaf === 'availability') one.online = payload.toString() === 'online';
    else if (leaf === 'info') one.info = read(factsSchema, payload);
    else if (leaf === 'health') one.health = read(conditionSchema, payload);
    else {
      const notice = read(noticeSchema, payload);
      if (notice !== null) one.alerts.set(alert, notice);
    }
  });
  try {
    await wiring.open();
  } finally {
    await wiring.close();
  }
  return [...heard]
    .map(([id, one]) => nodeOf(id, one))
    .filter((node) => model === undefined || node.model?.id === model || `${node.model?.id}@${node.model?.rev}` === model)
    .filter((node) => labels.every(([name, value]) => node.labels[name] === value))
    .sort((a, b) => (a.node < b.node ? -1 : 1));
}

function nodeOf(node: string, { online, info, health, alerts }: Heard): FleetNode {
  const model = info?.models[0];
  return {
    node,
    online,
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
    healthAgeMs: health === null ? null : Math.max(0, Date.now() - Date.parse(health.ts)),
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
