/** A camera's URI becomes its source. */
import { checkKeys, nearestKey, optionError } from '../errors.js';
import type { Source } from './frame.js';
import { gstreamerSource } from './gstreamer.js';
import { imagesSource } from './images.js';
import { mask } from './mask.js';
import { GSTREAMER_SCHEMES } from './pipelines.js';
import { syntheticSource } from './synthetic.js';
import { splitUri } from './uri.js';

export const SCHEMES: readonly string[] = ['synthetic', 'images', ...GSTREAMER_SCHEMES];

export interface SourceOptions {
  /** Pictures are scaled down, never up, until their longer side has at most this many pixels; synthetic://kitchen keeps its size. */
  sidePx: number;
}

/** Checks `uri` and opens nothing yet. Throws ERR_OPTION, passwords masked, for an unknown scheme, a malformed URI or an unknown option. */
export function openSource(uri: string, options: SourceOptions): Source {
  checkKeys('openSource', options, ['sidePx']);
  const { sidePx } = options;
  if (!Number.isInteger(sidePx) || sidePx < 16 || sidePx > 4096) throw optionError('openSource.sidePx', 'a whole number from 16 to 4096', sidePx);
  if (typeof uri !== 'string') throw optionError('camera', 'a URI', uri);
  const scheme = /^([a-z0-9+.-]+):/i.exec(uri)?.[1];
  if (scheme === undefined || !SCHEMES.includes(scheme)) {
    const nearest = scheme === undefined ? undefined : nearestKey(scheme, SCHEMES);
    throw optionError('camera', `a URI that begins with ${SCHEMES.map((known) => `${known}:`).join(', ')}`, mask(uri), nearest && `${nearest}:`);
  }
  const refused = scheme === 'gst' ? /[^\P{Cc}\s]/u : /\p{Cc}/u; // a pipeline may have several lines
  if (refused.test(uri)) throw optionError('camera', 'a URI without control characters', mask(uri));
  if (scheme === 'synthetic') return syntheticSource(splitUri(uri));
  if (scheme === 'images') return imagesSource(splitUri(uri), sidePx);
  return gstreamerSource(uri, sidePx);
}
