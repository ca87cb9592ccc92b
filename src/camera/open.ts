/** A camera for a program that has a loop of its own. */
import { setImmediate as turn } from 'node:timers/promises';
import { checkKeys, optionError } from '../errors.js';
import { Camera, type CameraState, type CameraStatus } from './camera.js';
import type { Frame } from './frame.js';
import { checkPolygons, type Polygon } from './polygon.js';
import { openSource } from './source.js';

export interface OpenCameraOptions {
  /** Frames are scaled down, never up, until their longer side has at most this many pixels: `mipha.imageSize`, or more where crops are asked about. */
  sidePx: number;
  /** First part of the ids of frames. Default: camera. */
  id?: string | undefined;
  /** Without a frame for so long the camera is opened again. Default: 10 000. */
  stallMs?: number | undefined;
  /** With the very same picture for so long it is opened again. Default 0: never. */
  frozenMs?: number | undefined;
  /** Polygons of points [x, y], in shares of the picture: black in every frame, with two pixels around them. Default: none. */
  privacy?: readonly Polygon[] | undefined;
}

/**
 * A loop over it sees the newest frames: `for await (const frame of camera)`. The camera is opened again whenever it fails, until it is disposed;
 * leaving a loop does not close it, several loops may run at once.
 */
export class OpenCamera implements AsyncDisposable, AsyncIterable<Frame> {
  private readonly over = new AbortController(); // no frame will come any more
  private disposed = false;

  constructor(private readonly camera: Camera) {
    void camera.done.then(() => this.over.abort());
  }

  get state(): CameraState {
    return this.camera.state;
  }

  status(): CameraStatus {
    return this.camera.status();
  }

  /** As `frames()`. */
  [Symbol.asyncIterator](): AsyncGenerator<Frame, void, undefined> {
    return this.frames();
  }

  /**
   * Always the newest frame, each at most once: what came while the loop was busy is dropped and counted in `status().dropped`. Waits while the
   * camera is lost (`status().error` says why); ends when it is disposed or has nothing more to give, such as a file. Throws `signal.reason`.
   * Timers, sockets and signals have their turn before every frame, whatever the loop does.
   */
  async *frames(signal?: AbortSignal): AsyncGenerator<Frame, void, undefined> {
    const over = this.over.signal;
    const waiting = AbortSignal.any(signal === undefined ? [over] : [over, signal]);
    for (let last: Frame | undefined; ; ) {
      await turn(); // a frame that is there already would be taken without one
      const frame = await this.next(last, waiting, signal);
      if (frame === undefined) return;
      last = frame;
      frame.hold?.(); // for ever: what the loop does with it is not ours to know
      yield frame;
    }
  }

  /** Ends its process and closes its device. */
  async dispose(): Promise<void> {
    this.disposed = true;
    this.over.abort();
    await this.camera.stop();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose();
  }

  /** Undefined when none will come any more. */
  private async next(last: Frame | undefined, waiting: AbortSignal, signal: AbortSignal | undefined): Promise<Frame | undefined> {
    try {
      return await this.camera.slot.next(last, waiting);
    } catch (error) {
      signal?.throwIfAborted();
      if (!this.over.signal.aborted) throw error;
      const frame = this.camera.slot.newest();
      return this.disposed || frame === last ? undefined : frame;
    }
  }
}

/** Opens a camera by its URI and keeps it open. Throws ERR_OPTION; a device that is not there is tried again and again, see `status().error`. */
export function openCamera(uri: string, options: OpenCameraOptions): OpenCamera {
  checkKeys('openCamera', options, ['sidePx', 'id', 'stallMs', 'frozenMs', 'privacy']);
  const { sidePx, id = 'camera', stallMs = 10_000, frozenMs = 0, privacy = [] } = options;
  if (!(Number.isFinite(stallMs) && stallMs > 0)) throw optionError('openCamera.stallMs', 'milliseconds above 0', stallMs);
  if (!(Number.isFinite(frozenMs) && frozenMs >= 0)) throw optionError('openCamera.frozenMs', 'milliseconds, 0 for never', frozenMs);
  checkPolygons('openCamera.privacy', privacy);
  const camera = new Camera({ id, source: openSource(uri, { sidePx }), stallMs, frozenMs, privacy: structuredClone(privacy) });
  camera.start();
  return new OpenCamera(camera);
}
