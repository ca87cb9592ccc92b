/** A camera for a program that has a loop of its own. */
import { once } from 'node:events';
import { setImmediate as immediate } from 'node:timers/promises';
import { checkKeys, optionError } from '../errors.js';
import { Camera, type CameraState, type CameraStatus } from './camera.js';
import type { Frame } from './frame.js';
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
}

/** Opened again whenever it fails, until it is disposed. */
export class OpenCamera implements AsyncDisposable {
  constructor(private readonly camera: Camera) {}

  get state(): CameraState {
    return this.camera.state;
  }

  status(): CameraStatus {
    return this.camera.status();
  }

  /**
   * Always the newest frame, each at most once: what came while the loop was busy is dropped and counted in `status().dropped`. Goes on through
   * failures of the camera; ends when it is disposed or has nothing more to give, such as a file. Throws `signal.reason`.
   */
  async *frames(signal?: AbortSignal): AsyncGenerator<Frame, void, undefined> {
    for (let last: Frame | undefined; ; ) {
      const frame = await this.next(last, signal);
      if (frame === undefined) return;
      last = frame;
      frame.hold?.(); // for ever: what the loop does with it is not ours to know
      yield frame;
    }
  }

  /** Ends its process and closes its device. */
  dispose(): Promise<void> {
    return this.camera.stop();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose();
  }

  /** Undefined when none will come any more. */
  private async next(last: Frame | undefined, signal: AbortSignal | undefined): Promise<Frame | undefined> {
    const { camera } = this;
    const over = new AbortController();
    const waiting = signal === undefined ? over.signal : AbortSignal.any([signal, over.signal]);
    const ended = async () => {
      while (camera.running) {
        await once(camera, 'state', { signal: waiting });
        await immediate(); // a camera that has ended says so before it is no longer running
      }
      over.abort();
    };
    ended().catch(() => {}); // only because the waiting is over
    try {
      return await camera.slot.next(last, waiting);
    } catch (error) {
      if (signal?.aborted || !over.signal.aborted) throw error;
      const frame = camera.slot.newest();
      return frame === last ? undefined : frame;
    } finally {
      over.abort();
    }
  }
}

/** Opens a camera by its URI and keeps it open. Throws ERR_OPTION; a device that is not there is tried again and again, see `status().error`. */
export function openCamera(uri: string, options: OpenCameraOptions): OpenCamera {
  checkKeys('openCamera', options, ['sidePx', 'id', 'stallMs', 'frozenMs']);
  const { sidePx, id = 'camera', stallMs = 10_000, frozenMs = 0 } = options;
  if (!(Number.isFinite(stallMs) && stallMs > 0)) throw optionError('openCamera.stallMs', 'milliseconds above 0', stallMs);
  if (!(Number.isFinite(frozenMs) && frozenMs >= 0)) throw optionError('openCamera.frozenMs', 'milliseconds, 0 for never', frozenMs);
  const camera = new Camera({ id, source: openSource(uri, { sidePx }), stallMs, frozenMs });
  camera.start();
  return new OpenCamera(camera);
}
