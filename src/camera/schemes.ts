/** The kinds of camera, by the scheme of their URI. */
import { GSTREAMER_SCHEMES } from './pipelines.js';

export const SCHEMES: readonly string[] = ['synthetic', 'images', ...GSTREAMER_SCHEMES];
/** How a URI of each scheme begins. */
export const BEGINNINGS = SCHEMES.map((scheme) => (scheme === 'gst' ? 'gst:' : `${scheme}://`));
