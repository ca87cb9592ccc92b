/** The newest frame of a camera, if it is new enough. */
import type { Camera } from '../../camera/camera.js';
import type { Frame } from '../../camera/frame.js';
import { RequestError } from '../../mqtt/request-error.js';

/** For requests that name none, as watches have it. */
export const MAX_AGE_MS = 2000;

/** Throws NO_FRAME or STALE_FRAME. */
export function freshFrame(camera: Camera, maxAgeMs: number): Frame {
  const refs = [{ key: 'camera', value: camera.id }];
  const frame = camera.slot.newest();
  if (frame === undefined) throw new RequestError('NO_FRAME', `The camera ${camera.id} has delivered no frame yet; it is ${camera.state}`, { refs });
  const ageMs = performance.now() - frame.monotonicMs;
  if (ageMs <= maxAgeMs) return frame;
  const text = `The newest frame of ${camera.id} is ${Math.round(ageMs)} ms old, asked for at most ${maxAgeMs}; it is ${camera.state}`;
  throw new RequestError('STALE_FRAME', text, { refs });
}
