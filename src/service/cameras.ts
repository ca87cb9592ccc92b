/** The cameras of a configuration, running. */
import { isDeepStrictEqual } from 'node:util';
import { Camera } from '../camera/camera.js';
import { openSource } from '../camera/source.js';
import type { CameraConfig } from './config/schema.js';

export interface CameraListener {
  /** A camera is there from now on; it is not running yet. */
  added(camera: Camera): void;
  /** It is configured no longer, or differently, and has stopped. */
  removed(camera: Camera): void;
}

/** Sources on real hardware whose picture never stands still: the very same bytes for long are a dead pipeline that repeats its last frame. */
const FROZEN_MS = 15_000;
const LIVE = /^(v4l2|csi|rtsps?):/;

export class CameraSet {
  private turn: Promise<void> = Promise.resolve();
  private readonly running = new Map<string, { camera: Camera; config: CameraConfig; sidePx: number }>();

  constructor(
    /** Side of what the model sees, in pixels. */
    private modelSidePx: number,
    private readonly listener: CameraListener,
  ) {}

  get(id: string): Camera | undefined {
    return this.running.get(id)?.camera;
  }

  config(id: string): CameraConfig | undefined {
    return this.running.get(id)?.config;
  }

  all(): Camera[] {
    return [...this.running.values()].map(({ camera }) => camera);
  }

  /** Starts, stops and replaces cameras until they are as configured; those that stay the same are not touched. Throws ERR_OPTION for a bad URI, and then has changed nothing. */
  apply(configs: Record<string, CameraConfig>): Promise<void> {
    return this.inTurn(() => this.become(configs));
  }

  /** Another model sees another number of pixels: cameras that follow it are opened anew. */
  setModelSide(px: number): Promise<void> {
    return this.inTurn(async () => {
      this.modelSidePx = px;
      await this.become(Object.fromEntries([...this.running].map(([id, { config }]) => [id, config])));
    });
  }

  /** They stay configured: nobody is told that they were removed. */
  stop(): Promise<void> {
    return this.inTurn(async () => {
      await Promise.all(this.all().map((camera) => camera.stop()));
    });
  }

  private async become(configs: Record<string, CameraConfig>): Promise<void> {
    const fresh = Object.entries(configs).filter(([id, config]) => !this.isSame(id, config));
    const opened = fresh.map(([id, config]) => ({ id, config, camera: this.open(id, config) }));
    const gone = [...this.running.keys()].filter((id) => !Object.hasOwn(configs, id) || fresh.some(([name]) => name === id));
    for (const [id, { privacy }] of Object.entries(configs)) this.setPrivacy(id, privacy); // at once: the rest takes its time
    await Promise.all(gone.map((id) => this.remove(id)));
    for (const { id, config, camera } of opened) {
      this.running.set(id, { camera, config, sidePx: this.sideOf(config) });
      this.listener.added(camera);
    }
    for (const [id, config] of Object.entries(configs)) await this.setEnabled(id, config.enabled);
  }

  private inTurn(work: () => Promise<void>): Promise<void> {
    const turn = this.turn.then(work);
    this.turn = turn.catch(() => {});
    return turn;
  }

  private setPrivacy(id: string, privacy: CameraConfig['privacy']): void {
    const entry = this.running.get(id);
    if (entry === undefined || isDeepStrictEqual(entry.config.privacy, privacy)) return;
    entry.config = { ...entry.config, privacy };
    entry.camera.setPrivacy(privacy);
  }

  private async setEnabled(id: string, enabled: boolean): Promise<void> {
    const entry = this.running.get(id);
    if (entry === undefined) return;
    entry.config = { ...entry.config, enabled };
    if (enabled) entry.camera.start();
    else await entry.camera.stop();
  }

  private async remove(id: string): Promise<void> {
    const entry = this.running.get(id);
    if (entry === undefined) return;
    this.running.delete(id);
    await entry.camera.stop();
    this.listener.removed(entry.camera);
  }

  /** Apart from what needs no other camera. */
  private isSame(id: string, config: CameraConfig): boolean {
    const { config: before, sidePx } = this.running.get(id) ?? {};
    const rest = { enabled: true, privacy: [] };
    return before !== undefined && sidePx === this.sideOf(config) && isDeepStrictEqual({ ...before, ...rest }, { ...config, ...rest });
  }

  private sideOf({ frame_side_px }: CameraConfig): number {
    return frame_side_px ?? this.modelSidePx;
  }

  private open(id: string, config: CameraConfig): Camera {
    const { uri, stall_ms, frozen_ms, privacy } = config;
    const source = openSource(uri, { sidePx: this.sideOf(config) });
    return new Camera({ id, source, stallMs: stall_ms, frozenMs: frozen_ms ?? (LIVE.test(uri) ? FROZEN_MS : 0), privacy });
  }
}
