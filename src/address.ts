/** Addresses, `scheme://user:password@host/path?name=value`, as settings that are taken apart: what of one may be shown, and what of it is secret. */
import { isIPv4 } from 'node:net';
import { encodeAll, HIDDEN } from './redact.js';

/** Scheme with its colon, and slashes where there are any. */
const SCHEME = /^[a-z][a-z0-9+.-]*:(\/\/)?/i;
const HOST = /^(\[[0-9a-f:.]+\]|[\p{L}\p{N}_.-]+)(:\d{1,5})?(?=[/?#]|$)/iu;
const BAD_PERCENT = /%(?![0-9a-f]{2})/i;

/** Names of parameters and properties whose value is a secret, however ordinary it looks. */
const CREDENTIAL = /pass|pw|secret|token|key|auth|cred|cookie|header|pin$/i;
/** Flags, numbers, sizes, paths and words of a vocabulary: as secrets they would hide words of ordinary texts. */
const ORDINARY = /^([a-z]+([_-][a-z]+)*|[a-z]{0,8}[\d.,/:x+-]*|\.{0,2}(\/[\w.-]+)+)$/i;
const PLAIN_NAME = /^[\w-]*$/;

/** Of this machine, for itself alone: a name or a number. */
export function isLoopback(host: string): boolean {
  return host.toLowerCase() === 'localhost' || host === '::1' || (isIPv4(host) && host.startsWith('127.'));
}

export interface AddressParts {
  /** `rtsp://`; empty where there is none. */
  prefix: string;
  /** Everything before the last @, as written; null without an @. */
  userInfo: string | null;
  /** Everything after it. */
  tail: string;
}

export function partsOf(address: string): AddressParts {
  const found = SCHEME.exec(address);
  // "admin:secret@host" begins like a scheme: only a slash makes it certain
  const prefix = found !== null && (found[1] !== undefined || !address.includes('@')) ? found[0] : '';
  const rest = address.slice(prefix.length);
  const at = rest.lastIndexOf('@');
  return { prefix, userInfo: at < 0 ? null : rest.slice(0, at), tail: rest.slice(at + 1) };
}

export function looksLikeAddress(text: string): boolean {
  return text.includes('://');
}

/** True for what cannot be a user and password of an address as it stands, nor be sent as it was meant. */
export function needsEncoding(userInfo: string): boolean {
  return /[/?#]/.test(userInfo) || BAD_PERCENT.test(userInfo);
}

/**
 * With user, password and values of parameters hidden, except those of parameters called in `shown`. Of an address that is none only scheme and
 * host, or only the scheme.
 */
export function showAddress(address: string, shown: readonly string[] = []): string {
  const { prefix, userInfo, tail } = partsOf(address);
  if (userInfo === null && (tail === '' || (prefix === '' && !tail.includes('=')))) return address; // a path, a word
  const host = userInfo === null && tail.startsWith('/') ? '' : HOST.exec(tail)?.[0];
  if (host === undefined || prefix === '') return `${prefix}${HIDDEN}${host === undefined || userInfo === null ? '' : `@${host}`}`;
  const named = userInfo === null ? prefix : `${prefix}${HIDDEN}@`;
  if (needsEncoding(userInfo ?? '') || BAD_PERCENT.test(tail)) return `${named}${host}`;
  const { path, query, fragment } = tailOf(tail.slice(host.length));
  const segments = path.split('/').map((segment) => segment.replace(/=.*/s, `=${HIDDEN}`));
  return `${named}${host}${segments.join('/')}${showQuery(query, shown)}${fragment === null ? '' : `#${HIDDEN}`}`;
}

/** `?name=***`, from what stands behind the question mark; nothing for null. */
export function showQuery(query: string | null, shown: readonly string[]): string {
  if (query === null) return '';
  const parameters = query.split('&').map((parameter) => {
    const [name = '', value] = parameter.split(/=(.*)/s, 2);
    return value === undefined ? (parameter === '' ? '' : HIDDEN) : `${name}=${shown.includes(name) ? value : HIDDEN}`;
  });
  return `?${parameters.join('&')}`;
}

/** What of an address must not appear in any text. */
export function secretsOfAddress(address: string): string[] {
  const { userInfo, tail } = partsOf(address);
  const { path, query } = tailOf(tail);
  const parameters = [...path.split('/').flatMap(pairsIn), ...(query ?? '').split('&').flatMap(pairsIn)];
  return [...secretsOfUser(userInfo), ...parameters.flatMap(([name, value]) => [`${name}=${value}`, ...secretsOfProperty(name, value)])];
}

function secretsOfUser(userInfo: string | null): string[] {
  if (userInfo === null || userInfo === '') return [];
  const [user = '', password] = userInfo.split(/:(.*)/s, 2);
  const names = PLAIN_NAME.test(user) ? [] : [user]; // "admin" stands in many a text that tells no secret
  if (password === undefined) return [`${userInfo}@`, `${encodeOnce(user)}:@`, ...names];
  return [`${userInfo}@`, `${encodeOnce(user)}:${encodeOnce(password)}@`, ...names, password];
}

/** What is percent-encoded already stays as it is. */
export function encodeOnce(text: string): string {
  return text
    .split(/(%[0-9a-f]{2})/i)
    .map((part, i) => (i % 2 === 1 ? part : encodeAll(part)))
    .join('');
}

/** The value of a parameter or property, unless it is an ordinary word. */
export function secretsOfProperty(name: string, value: string): string[] {
  if (looksLikeAddress(value)) return secretsOfAddress(value);
  const ordinary = /user|login/i.test(name) ? PLAIN_NAME : ORDINARY;
  return isCredential(name) || !ordinary.test(value) ? [value] : [];
}

export function isCredential(name: string): boolean {
  return CREDENTIAL.test(name);
}

/** `a=1`, and cameras that put several into one: `user=a_password=b_channel=1`. */
function pairsIn(text: string): [name: string, value: string][] {
  const parts = text.split('=');
  const name = (part: string) => part.slice(Math.max(...['_', '&', ';', ','].map((separator) => part.lastIndexOf(separator))) + 1);
  const whole = parts.slice(1).join('=');
  const single = parts
    .slice(1)
    .map((value, i): [string, string] => [
      name(parts[i] as string),
      i === parts.length - 2 ? value : value.slice(0, value.length - name(value).length).replace(/[_&;,]$/, ''),
    ]);
  return parts.length > 2 ? [[name(parts[0] as string), whole], ...single] : single;
}

function tailOf(tail: string): { path: string; query: string | null; fragment: string | null } {
  const [before = '', fragment = null] = tail.split(/#(.*)/s, 2);
  const [path = '', query = null] = before.split(/\?(.*)/s, 2);
  return { path, query, fragment };
}
