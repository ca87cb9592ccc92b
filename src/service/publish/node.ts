/** What the node says about itself and its cameras. */
import type { CameraState } from '../../camera/camera.js';
import type { LinkAlert } from '../../mqtt/link.js';
import { type Alert, type Health, type Info, type Load, type ModelState, type NodeEvent, SCHEMA_VERSION, type Stamp } from '../../mqtt/messages.js';
import { type Topics, WATCH_SETTINGS, type WatchSetting } from '../../mqtt/topics.js';
import type { WatchSpec } from '../../watch/spec.js';
import type { Setting } from '../settings.js';
import type { Outlet } from './outlet.js';

const ALERTS: readonly AlertId[] = [
  'cameras',
  'config',
  'mqtt-connection',
  'mqtt-pool',
  'mqtt-refused',
  'model',
  'overrides',
  'recorder',
  'thermal',
  'watches',
];
export type AlertId = LinkAlert | 'cameras' | 'config' | 'mqtt-pool' | 'model' | 'overrides' | 'recorder' | 'thermal' | 'watches';

export class NodePublisher {
  private readonly alerts = new Map<AlertId, Pick<Alert, 'level' | 'message'>>(); // standing, by id
  private said = ''; // info, without its time

  constructor(
    private readonly topics: Topics,
    private readonly stamp: Stamp,
    private readonly outlet: Outlet,
  ) {}

  /** Saying the same again but for its time publishes nothing. */
  info(info: Info): void {
    const { ts: _, ...said } = info;
    const text = JSON.stringify(said);
    if (text === this.said) return;
    this.said = text;
    this.outlet.state(this.topics.info, info);
  }

  health(health: Health): void {
    this.outlet.health(this.topics.health, health);
  }

  model(model: ModelState): void {
    this.outlet.state(this.topics.model, model);
  }

  /** What an earlier process said of installed models, where nothing can be installed any more. */
  forgetModel(): void {
    this.outlet.forget(this.topics.model);
  }

  load(load: Load): void {
    this.outlet.health(this.topics.load, load);
  }

  event(event_type: NodeEvent['event_type'], message: string, refs: Record<string, string> = {}): void {
    const { event: topic } = this.topics;
    const list = Object.entries(refs).map(([key, value]) => ({ key, value }));
    this.outlet.event(topic, { ...this.stamp.next(topic), event_type, message, refs: list, replayed: false } satisfies NodeEvent);
  }

  /** A standing condition; null takes it away. Saying the same twice publishes once. */
  alert(id: AlertId, message: string | null, level: Alert['level'] = 'URGENT'): void {
    if (this.alerts.get(id)?.message === (message ?? undefined)) return;
    if (message === null) {
      this.alerts.delete(id);
      this.outlet.forget(this.topics.alert(id));
      return;
    }
    this.alerts.set(id, { level, message });
    this.outlet.state(this.topics.alert(id), { v: SCHEMA_VERSION, ts: new Date().toISOString(), level, message } satisfies Alert);
  }

  /** A node that is gone has nothing that somebody could still look at. */
  clearAlerts(): void {
    for (const id of [...this.alerts.keys()]) this.alert(id, null);
  }

  /** Takes back what an earlier process left standing. */
  forgetAlerts(): void {
    for (const id of ALERTS) this.outlet.forget(this.topics.alert(id));
  }

  get standingAlerts(): ReadonlyMap<string, Pick<Alert, 'level' | 'message'>> {
    return this.alerts;
  }

  camera(id: string, state: CameraState, enabled: boolean): void {
    this.outlet.state(this.topics.camera(id, 'enabled/state'), onOff(enabled));
    this.outlet.state(this.topics.camera(id, 'status'), enabled ? (state === 'online' ? 'online' : 'offline') : 'disabled');
  }

  forgetCamera(id: string): void {
    this.outlet.forget(this.topics.camera(id, 'enabled/state'));
    this.outlet.forget(this.topics.camera(id, 'status'));
  }

  motion(camera: string, moving: boolean): void {
    this.outlet.passing(this.topics.camera(camera, 'motion'), onOff(moving));
  }

  watchSettings(id: string, spec: WatchSpec): void {
    const words = wordsOf(spec);
    for (const setting of WATCH_SETTINGS) this.outlet.state(this.topics.watch(id, `${setting}/state`), words[setting]);
  }

  forgetWatchSettings(id: string): void {
    for (const setting of WATCH_SETTINGS) this.outlet.forget(this.topics.watch(id, `${setting}/state`));
  }

  /** Says once more what a setting is, and nothing else: for whoever shows already what did not come about. */
  repeat(setting: Setting): void {
    this.outlet.restate(
      setting.kind === 'camera-set'
        ? this.topics.camera(setting.camera, 'enabled/state')
        : this.topics.watch(setting.watch, `${setting.setting}/state`),
    );
  }
}

/** Settings as their topics have them. */
function wordsOf({ enabled, question, interval_ms }: WatchSpec): Record<WatchSetting, string> {
  return { enabled: onOff(enabled), prompt: question, interval: String(interval_ms / 1000) };
}

function onOff(value: boolean): string {
  return value ? 'ON' : 'OFF';
}
