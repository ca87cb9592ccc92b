/** What of a camera's URI may be shown, and what of it must not appear in any text. A URI is taken apart; nothing is recognised by its looks. */
import { secretsOfAddress, secretsOfProperty, showAddress, showQuery } from '../address.js';
import { HIDDEN } from '../redact.js';
import { CAMERA_OPTIONS } from './options.js';
import { tokens } from './tokens.js';

/** Options of ours, by scheme. `rtsp` has none: what stands behind its question mark belongs to the camera. */
const URI_OPTIONS: Record<string, readonly string[]> = {
  ...Object.fromEntries(Object.entries(CAMERA_OPTIONS).map(([scheme, options]) => [scheme, Object.keys(options)])),
  rtsp: [],
};

/** With user, password, foreign parameters and the properties of pipelines hidden. */
export function mask(uri: string): string {
  const [, scheme = '', slashes] = /^([a-z0-9+.-]+):(\/\/)?/i.exec(uri) ?? [];
  if (scheme === 'gst') return `gst:${maskPipeline(uri.slice(4))}`;
  const options = Object.hasOwn(URI_OPTIONS, scheme) ? URI_OPTIONS[scheme] : undefined;
  if (options === undefined) return showAddress(uri);
  if (slashes === undefined) return `${scheme}:${showAddress(uri.slice(scheme.length + 1))}`;
  return isPath(uri, scheme) ? maskQuery(uri, options) : showAddress(uri, options);
}

/** To be hidden in every text about this camera, the words of its own programs included. */
export function secretsIn(uri: string): string[] {
  const [, scheme = '', slashes] = /^([a-z0-9+.-]+):(\/\/)?/i.exec(uri) ?? [];
  if (scheme === 'gst') return secretsInPipeline(uri.slice(4));
  if (!Object.hasOwn(URI_OPTIONS, scheme)) return secretsOfAddress(uri);
  if (slashes === undefined) return secretsOfAddress(uri.slice(scheme.length + 1));
  return isPath(uri, scheme) ? [] : secretsOfAddress(uri);
}

/** A path on this machine may have an @ in it, but does not look like a user with a password. */
function isPath(uri: string, scheme: string): boolean {
  if (scheme === 'file' || scheme === 'images') return !hasUser(uri);
  return scheme !== 'rtsp' && !uri.includes('@');
}

/** `file://user:password@host/clip.mp4`: as a relative path it could be meant only by mistake. */
export function hasUser(uri: string): boolean {
  return /^[a-z]+:\/\/[^/?@]*:.*@/s.test(uri);
}

function maskQuery(uri: string, options: readonly string[]): string {
  const mark = uri.indexOf('?');
  return mark < 0 ? uri : `${uri.slice(0, mark)}${showQuery(uri.slice(mark + 1), options)}`;
}

type Piece = { shown: string; secrets: string[] };

function maskPipeline(description: string): string {
  return pieces(description)
    .map(({ shown }) => shown)
    .join(' ');
}

function secretsInPipeline(description: string): string[] {
  return pieces(description).flatMap(({ secrets }) => secrets);
}

const ASSIGNED = /^([\w:.-]+)=(.*)$/s;
const CAPS = /^[a-z]+\/[\w.+-]+([,(]|$)/;
const ELEMENT_OR_PAD = /^(@?[\w-]+(\.[\w%]*)?|\(|\))$/;

/** Elements, pads and caps are shown, properties by their names. `name = value` may have spaces around its sign. */
function pieces(description: string): Piece[] {
  const words = tokens(description);
  if (words === undefined) return [{ shown: HIDDEN, secrets: secretsOfBroken(description) }];
  const found: Piece[] = [];
  let begins = true; // an element, a pad or caps
  let caps = false;
  let last = ''; // property
  for (let i = 0; i < words.length; i++) {
    const word = words[i] as string;
    const next = words[i + 1];
    const [, name, value] = ASSIGNED.exec(word) ?? [];
    if (word === '!') {
      found.push({ shown: word, secrets: [] });
      begins = true;
    } else if (begins && ELEMENT_OR_PAD.test(word)) {
      found.push({ shown: word, secrets: [] });
      [begins, caps, last] = [word === '(', false, ''];
    } else if ((begins && CAPS.test(word)) || caps) {
      found.push({ shown: word, secrets: [] });
      [begins, caps] = [false, true];
    } else if (name !== undefined && value !== undefined) {
      const split = value === '' && next !== undefined && next !== '!';
      if (split) i++;
      found.push(property(name, split ? next : value));
      [begins, last] = [false, name];
    } else if (next?.startsWith('=')) {
      const split = next === '=';
      i += split ? 2 : 1;
      found.push(property(word, (split ? words[i] : next.slice(1)) ?? ''));
      [begins, last] = [false, word];
    } else if (ELEMENT_OR_PAD.test(word) && (word.endsWith('.') || /^[()]$/.test(word))) {
      found.push({ shown: word, secrets: [] });
      begins = word === '(';
    } else {
      // what stands alone behind a property is the rest of its value, which lacks quotes
      found.push({ shown: HIDDEN, secrets: secretsOfProperty(last, word) });
      begins = false;
    }
  }
  return found;
}

/** `value` may still have the quotes that are meant for gst-launch's own parser. */
function property(name: string, value: string): Piece {
  const inner = /^"(.*)"$/s.exec(value)?.[1]?.replace(/\\(.)/gs, '$1') ?? value.replace(/\\(.)/gs, '$1');
  const values = new Set([value, inner, ...inner.split('!')]); // without quotes a ! ends the value
  return { shown: `${name}=${HIDDEN}`, secrets: [...values].flatMap((each) => secretsOfProperty(name, each)) };
}

/** Of a description whose quotes do not end: what stands behind a sign of equality, and every word after it. */
function secretsOfBroken(description: string): string[] {
  let last = '';
  return description.split(/\s+/).flatMap((word) => {
    const [, name, value] = ASSIGNED.exec(word) ?? [];
    last = name ?? last;
    return secretsOfProperty(last, (value ?? word).replace(/["']/g, ''));
  });
}
