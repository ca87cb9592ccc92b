/** Follows cameras and publishes what becomes of them: status, motion, and the events of losing one and having it back. */
import type { Camera, CameraState } from '../camera/camera.js';
import type { Frame } from '../camera/frame.js';
import { Motion } from '../watch/motion.js';
import type { Logger } from './log.js';
import type { NodePublisher } from './publish-node.js';

export interface CameraReporter {
  added(camera: Camera): void;
  removed(camera: Camera): void;
  publish(camera: Camera): void;
  /** Leaves no timer behind; the last states stay published. */
  stop(): void;
}

export interface ReporterOptions {
  node: NodePublisher;
  log: Logger;
  isEnabled: (id: string) => boolean;
  /** The state of a camera has changed. */
  onChange: () => void;
}

export function cameraReporter({ node, log, isEnabled, onChange }: ReporterOptions): CameraReporter {
  const following = new Map<Camera, () => void>();
  const publish = (camera: Camera) => node.camera(camera.id, camera.state, isEnabled(camera.id));
  return {
    publish,
    stop() {
      for (const end of following.values()) end();
      following.clear();
    },
    added(camera) {
      let lost = false;
      const onState = (state: CameraState) => {
        publish(camera);
        onChange();
        const refs = { camera: camera.id };
        const { error } = camera.status();
        if (state === 'online') {
          log.info(refs, 'online');
          if (lost) node.event('camera_back', `${camera.id} delivers frames again`, refs);
          lost = false;
        } else if (isEnabled(camera.id) && error !== null) {
          log.warn({ ...refs, state }, error);
          if (!lost) node.event('camera_lost', error, refs);
          lost = true;
        }
      };
      const motion = new Motion((moving) => node.motion(camera.id, moving));
      const onFrame = (frame: Frame) => motion.see(frame);
      const onWarning = (warning: string) =>
        log.warn({ camera: camera.id }, `${warning}; this picture is skipped, as are others that cannot be read`);
      camera.on('warning', onWarning);
      camera.on('state', onState);
      camera.on('frame', onFrame);
      publish(camera);
      following.set(camera, () => {
        camera.off('warning', onWarning);
        camera.off('state', onState);
        camera.off('frame', onFrame);
        motion.stop();
      });
    },
    removed(camera) {
      following.get(camera)?.();
      following.delete(camera);
      node.forgetCamera(camera.id);
    },
  };
}
