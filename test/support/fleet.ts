/** Nodes that are none: what a fleet of them has retained on its broker. */
import type { MqttClient } from 'mqtt';
import { infoSchema } from '../../src/mqtt/messages.js';
import { retainedOf } from '../pool/retained.js';

export interface FleetMember {
  labels?: Record<string, string>;
  online?: boolean;
  draining?: boolean;
  camera?: 'online' | 'offline' | 'stalled';
  /** Text of a standing alert. */
  alert?: string;
  /** When it told of its health last. */
  at?: Date;
}

/** As a node of the contract publishes them. */
export async function publishMember(
  client: MqttClient,
  id: string,
  { labels = {}, online = true, draining = false, camera = 'online', alert, at = new Date() }: FleetMember,
) {
  const ts = at.toISOString();
  const common = { v: 1, ts, session: 's', node: id };
  const health = {
    ...{ ...common, lifecycle: 'running', uptime_s: 86_400 },
    cameras: { front: { state: camera, frames: 1, fps: 4.9, frame_age_ms: 120, dropped: {}, skipped: {}, restarts: 0, error: null } },
    engine: { state: 'ready', backend: 'cpu', busy_ratio: 0.1, memory_bytes: 1e9, release: null },
    queue: { waiting: 1, limit: 16, rejected: 0, usual_ms: 40 },
  };
  const [, text = '{}'] = retainedOf(id, { labels, watches: 2 })[0] ?? [];
  const info = infoSchema.partial().parse({ ...JSON.parse(text), draining, overrides: [], restart_required: false });
  const publish = async (leaf: string, payload: string) => await client.publishAsync(`mipha/v1/${id}/${leaf}`, payload, { qos: 1, retain: true });
  await Promise.all([
    publish('info', JSON.stringify(info)),
    publish('health', JSON.stringify(health)),
    publish('availability', online ? 'online' : 'offline'),
    publish('alert/test', alert === undefined ? '' : JSON.stringify({ ...common, level: 'WARNING', message: alert })),
  ]);
}
