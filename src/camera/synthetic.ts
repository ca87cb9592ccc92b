/** synthetic://kitchen: a camera that always works and knows what it shows. */
import { optionError } from '../errors.js';
import { kitchenStory } from './animation.js';
import type { Picture, Source } from './frame.js';
import { renderScene } from './kitchen.js';
import { readOptions } from './options.js';
import { ticks } from './pace.js';
import type { CameraUri } from './uri.js';

const STEP_MS = 100; // time between two pictures in the kitchen where fps=0 leaves it open

/**
 * Which scene picture number n shows depends on the options alone. Pictures are 320 x 240 whatever size was asked for: at any other size they would
 * not be those that mipha-nano was trained on.
 */
export function syntheticSource(uri: CameraUri): Source {
  if (uri.rest.replace(/\/$/, '') !== 'kitchen') throw optionError('camera', 'synthetic://kitchen', uri.name, 'synthetic://kitchen');
  const { seed, change_ms: changeMs, fps, cup: cups } = readOptions(uri, 'synthetic');
  const pictureMs = fps > 0 ? 1000 / fps : STEP_MS;

  return {
    name: uri.name,
    async *open(signal, onDropped) {
      const story = kitchenStory(seed, cups);
      let scene = story.next().value;
      let changes = 0;
      let picture: Picture = { ...(await renderScene(scene)), truth: scene, kept: true };
      for await (const tick of ticks(fps, signal, () => onDropped('unread'))) {
        const due = Math.floor((tick * pictureMs) / changeMs + 1e-9);
        for (; changes < due; changes++) scene = story.next().value;
        if (picture.truth !== scene) picture = { ...(await renderScene(scene)), truth: scene, kept: true };
        yield picture;
      }
    },
  };
}
