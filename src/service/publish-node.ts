/** What the node says about itself and its cameras. */
import type { CameraState } from '../camera/camera.js';
import { type Alert, type Health, type Info, type NodeEvent, SCHEMA_VERSION, type Stamp } from '../mqtt/messages.js';
import type { Topics } from '../mqtt/topics.js';
import type { WatchSpec } from '../watch/spec.js';
import type { Outlet } from './outlet.js';

export class NodePublisher {
  private readonly alerts = new Map<string, Pick<Alert, 'level' | 'message'>>(); // standing, by id

  constructor(
    private readonly topics: Topics,
    private readonly stamp: Stamp,
    private readonly outlet: Outlet,
  ) {}

  info(info: Info): void {
    this.outlet.state(this.topics.info, info);
  }

  health(health: Health): void {
    this.outlet.health(this.topics.health, health);
  }

  event(event_type: NodeEvent['event_type'], message: string, refs: Record<string, string> = {}): void {
    const { event: topic } = this.topics;
    const list = Object.entries(refs).map(([key, value]) => ({ key, value }));
    this.outlet.event(topic, { ...this.stamp.next(topic), event_type, message, refs: list, replayed: false } satisfies NodeEvent);
  }

  /** A standing condition; null takes it away. Saying the same twice publishes once. */
  alert(id: string, message: string | null, level: Alert['level'] = 'URGENT'): void {
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

  get standingAlerts(): ReadonlyMap<string, Pick<Alert, 'level' | 'message'>> {
    return this.alerts;
  }

  camera(id: string, state: CameraState, enabled: boolean): void {
    this.outlet.state(this.topics.camera(id, 'enabled/state'), enabled ? 'ON' : 'OFF');
    this.outlet.state(this.topics.camera(id, 'status'), enabled ? (state === 'online' ? 'online' : 'offline') : 'disabled');
  }

  forgetCamera(id: string): void {
    this.outlet.forget(this.topics.camera(id, 'enabled/state'));
    this.outlet.forget(this.topics.camera(id, 'status'));
  }

  motion(camera: string, moving: boolean): void {
    this.outlet.transient(this.topics.camera(camera, 'motion'), moving ? 'ON' : 'OFF');
  }

  watchSettings(id: string, { enabled, question, interval_ms }: WatchSpec): void {
    this.outlet.state(this.topics.watch(id, 'enabled/state'), enabled ? 'ON' : 'OFF');
    this.outlet.state(this.topics.watch(id, 'prompt/state'), question);
    this.outlet.state(this.topics.watch(id, 'interval/state'), String(interval_ms / 1000));
  }

  forgetWatchSettings(id: string): void {
    for (const setting of ['enabled/state', 'prompt/state', 'interval/state'] as const) this.outlet.forget(this.topics.watch(id, setting));
  }
}
