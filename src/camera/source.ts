/** A camera's URI becomes its source. */
import { checkKeys, nearestKey, optionError } from '../errors.js';
import type { Source } from './frame.js';
import { gstreamerSource } from './gstreamer.js';
import { imagesSource } from './images.js';
import { hasUser, mask } from './mask.js';
import { BEGINNINGS, SCHEMES } from './schemes.js';
import { syntheticSource } from './synthetic.js';
import { splitUri } from './uri.js';

export interface SourceOptions {
  /** Pictures are scaled down, never up, until their longer side has at most this many pixels; synthetic://kitchen keeps its size. */
  sidePx: number;
}

/** Checks `uri` and opens nothing yet. Throws ERR_OPTION, secrets masked, for an unknown scheme, a malformed URI or an unknown option. */
export function openSource(uri: string, options: SourceOptions): Source {
  checkKeys('openSource', options, ['sidePx']);
  const { sidePx } = options;
  if (!Number.isInteger(sidePx) || sidePx < 16 || sidePx > 4096) throw optionError('openSource.sidePx', 'a whole number from 16 to 4096', sidePx);
  if (typeof uri !== 'string') throw optionError('camera', 'a URI', uri);
  const scheme = /^([a-z0-9+.-]+):/i.exec(uri)?.[1] ?? '';
  if (!BEGINNINGS.some((beginning) => uri.startsWith(beginning))) {
    const nearest = BEGINNINGS[SCHEMES.indexOf(nearestKey(scheme, SCHEMES) ?? '')];
    throw optionError('camera', `a URI that begins with ${BEGINNINGS.join(', ')}`, mask(uri), nearest);
  }
  const refused = scheme === 'gst' ? /[^\P{Cc}\s]/u : /\p{Cc}/u; // a pipeline may have several lines
  if (refused.test(uri)) throw optionError('camera', 'a URI without control characters', mask(uri));
  if (/\p{Cs}/u.test(uri)) throw optionError('camera', 'a URI of whole characters, no half of a surrogate pair', mask(uri));
  if (['images', 'file'].includes(scheme) && hasUser(uri))
    throw optionError('camera', `${scheme}:// and a path, without user and password`, mask(uri));
  if (scheme === 'synthetic') return syntheticSource(splitUri(uri));
  if (scheme === 'images') return imagesSource(splitUri(uri), sidePx);
  return gstreamerSource(uri, sidePx);
}
