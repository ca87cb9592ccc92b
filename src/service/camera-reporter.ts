/** Follows cameras and publishes what becomes of them: status, motion, and the events of losing one and having it back. */
import type { Camera, CameraState } from '../camera/camera.js';
import type { Frame } from '../camera/frame.js';
import { Motion } from '../watch/motion.js';
import { rethrowing } from './last-words.js';
import type { Logger } from './log/log.js';
import type { NodePublisher } from './publish/node.js';
import type { Troubles } from './troubles.js';

export interface CameraReporter {
  added(camera: Camera): void;
  removed(camera: Camera): void;
  publish(camera: Camera): void;
  /** Tells motion once more: it is not retained, so whoever has come since knows nothing of it. */
  repeatMotion(): void;
  /** Leaves no timer behind; the last states stay published. */
  stop(): void;
}

export interface ReporterOptions {
  node: NodePublisher;
  troubles: Troubles;
  log: Logger;
  isEnabled: (id: string) => boolean;
  /** The state of a camera has changed. */
  onChange: () => void;
}

export function cameraReporter({ node, troubles, log, isEnabled, onChange }: ReporterOptions): CameraReporter {
  const following = new Map<Camera, { motion: Motion; end: () => void }>();
  const publish = (camera: Camera) => node.camera(camera.id, camera.state, isEnabled(camera.id));
  return {
    publish,
    repeatMotion() {
      for (const [{ id, state }, { motion }] of following) if (state === 'online') node.motion(id, motion.moving);
    },
    stop() {
      for (const { end } of following.values()) end();
      following.clear();
    },
    added(camera) {
      let lost = false;
      const onState = rethrowing((state: CameraState) => {
        publish(camera);
        onChange();
        const refs = { camera: camera.id };
        const { error } = camera.status();
        if (state === 'online' || !isEnabled(camera.id)) troubles.cameraFine(camera.id);
        else if (error !== null) troubles.cameraLost(camera.id, error);
        if (state === 'online') {
          log.info(refs, 'online');
          if (lost) node.event('camera_back', `${camera.id} delivers frames again`, refs);
          lost = false;
        } else if (isEnabled(camera.id) && error !== null) {
          log.warn({ ...refs, state }, error);
          if (!lost) node.event('camera_lost', error, refs);
          lost = true;
        }
      });
      const motion = new Motion((moving) => node.motion(camera.id, moving));
      const onFrame = rethrowing((frame: Frame) => motion.see(frame));
      const onWarning = rethrowing((warning: string) =>
        log.warn({ camera: camera.id }, `${warning}; this picture is skipped, as are others that cannot be read`),
      );
      camera.on('warning', onWarning);
      camera.on('state', onState);
      camera.on('frame', onFrame);
      publish(camera);
      const end = () => {
        camera.off('warning', onWarning);
        camera.off('state', onState);
        camera.off('frame', onFrame);
        motion.stop();
      };
      following.set(camera, { motion, end });
    },
    removed(camera) {
      following.get(camera)?.end();
      following.delete(camera);
      troubles.cameraFine(camera.id);
      node.forgetCamera(camera.id);
    },
  };
}
