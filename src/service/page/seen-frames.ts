/**
 * The pictures behind what was answered last, by the ids that answers name: of each camera the newest frame that was looked at, and those of recent
 * events. Encoded when somebody asks for one, once. Nothing is kept of a camera whose pictures may not be shown.
 */
import type { Frame } from '../../camera/frame.js';
import { JpegMaker } from '../publish/jpeg-maker.js';

export interface SeenFramesOptions {
  /** Pictures of this camera may be shown. */
  isShown: (camera: string) => boolean;
  /** Somebody looks: a frame is wanted some time after the next one has come. */
  isRead: () => boolean;
  onFault: (camera: string, error: unknown) => void;
  maker?: Pick<JpegMaker, 'make'>;
}

interface Seen {
  camera: string;
  frame: Frame | null; // held; null: encoded, or being so
  letGo: () => void;
  bytes: number;
  jpeg: Promise<Buffer | null> | null;
  /** An event was about it. */
  isKept: boolean;
}

/** Looked at, of each camera, while somebody looks: the time in which a browser asks for one that was named a moment ago. */
const RECENT = 6;
const MOST = 64;
const MOST_BYTES = 48 * 2 ** 20;
const SIDE_PX = 1280;
const QUALITY = 80;
const MOST_JPEG_BYTES = 2 ** 20;

export class SeenFrames {
  private readonly all = new Map<string, Seen>(); // by frame, the oldest first
  private bytes = 0;
  private readonly maker;

  constructor(private readonly options: SeenFramesOptions) {
    this.maker = options.maker ?? new JpegMaker();
  }

  /** A frame is looked at; it may be held from this tick on. */
  seen(camera: string, frame: Frame): void {
    if (!this.options.isShown(camera) || this.all.has(frame.id)) return;
    this.bytes += frame.data.length;
    this.all.set(frame.id, { camera, frame, letGo: frame.hold?.() ?? (() => {}), bytes: frame.data.length, jpeg: null, isKept: false });
    const own = [...this.all].filter(([, entry]) => entry.camera === camera && !entry.isKept);
    for (const [id] of own.slice(0, -(this.options.isRead() ? RECENT : 1))) this.drop(id);
    this.fit(frame.id);
  }

  /** An event was about it. */
  keep(frame: string): void {
    const entry = this.all.get(frame);
    if (entry !== undefined) entry.isKept = true;
  }

  /** Nothing of these cameras is shown any more: part of it may be private now. */
  withdraw(cameras: readonly string[]): void {
    for (const [id, { camera }] of this.all) if (cameras.includes(camera)) this.drop(id);
  }

  clear(): void {
    for (const id of [...this.all.keys()]) this.drop(id);
  }

  /** Null: it is gone, was never looked at, or may not be shown. */
  async jpeg(camera: string, id: string): Promise<Buffer | null> {
    const entry = this.all.get(id);
    if (entry === undefined || entry.camera !== camera) return null;
    entry.jpeg ??= this.encode(id, entry);
    const jpeg = await entry.jpeg;
    return this.all.get(id) === entry && this.options.isShown(camera) ? jpeg : null;
  }

  private async encode(id: string, entry: Seen): Promise<Buffer | null> {
    const { camera, frame } = entry;
    if (frame === null) return null;
    const isWanted = () => this.all.get(id) === entry;
    try {
      const made = await this.maker.make(frame, { maxSidePx: SIDE_PX, quality: QUALITY, mostBytes: MOST_JPEG_BYTES, isWanted });
      if (made === 'busy') {
        entry.jpeg = null; // asked again it may be
        return null;
      }
      const data = typeof made === 'string' ? null : made.data;
      if (isWanted()) this.replace(entry, data?.length ?? 0);
      return data;
    } catch (error) {
      this.options.onFault(camera, error);
      return null;
    }
  }

  /** The pixels are not needed any more. */
  private replace(entry: Seen, bytes: number): void {
    entry.letGo();
    entry.frame = null;
    this.bytes += bytes - entry.bytes;
    entry.bytes = bytes;
  }

  /** Never the newest one. */
  private fit(newest: string): void {
    for (const [id] of this.all) {
      if (id === newest || (this.all.size <= MOST && this.bytes <= MOST_BYTES)) return;
      this.drop(id);
    }
  }

  private drop(id: string): void {
    const entry = this.all.get(id);
    if (entry === undefined) return;
    this.all.delete(id);
    this.bytes -= entry.bytes;
    entry.letGo();
  }
}
