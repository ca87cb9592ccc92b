/** Where the broker is, and what must not be said on the way to it. */
import { isLoopback, showAddress } from '../address.js';
import { MiphaError } from '../errors.js';

export interface BrokerAddress {
  tls: boolean;
  host: string;
  port: number;
}

/** Throws ERR_CONFIG for anything but mqtt://HOST[:PORT] and mqtts://HOST[:PORT]; the message never repeats user or password. */
export function parseAddress(url: string): BrokerAddress {
  const parsed = URL.canParse(url) ? new URL(url) : undefined;
  if (parsed === undefined || !['mqtt:', 'mqtts:'].includes(parsed.protocol) || parsed.hostname === '') {
    throw refused('mqtt://HOST:PORT or mqtts://HOST:PORT', showAddress(url));
  }
  if (parsed.username !== '' || parsed.password !== '') {
    throw refused('a URL without user and password (they go into mqtt.username and mqtt.password_file)', showAddress(url));
  }
  if (!['', '/'].includes(parsed.pathname) || parsed.search !== '' || parsed.hash !== '') {
    throw refused('a URL without path or query', showAddress(url));
  }
  const tls = parsed.protocol === 'mqtts:';
  return { tls, host: parsed.hostname.replace(/^\[|\]$/g, ''), port: parsed.port === '' ? (tls ? 8883 : 1883) : Number(parsed.port) };
}

/** Throws ERR_CONFIG when `url` would send passwords and pictures in the clear to another machine and `allow` is false. */
export function checkPlaintext(url: string, allow: boolean): void {
  const { tls, host } = parseAddress(url);
  if (tls || allow || isLoopback(host)) return;
  throw refused('mqtts:// for another machine than this one, or mqtt.allow_plaintext', url);
}

function refused(expected: string, received: string): MiphaError {
  return new MiphaError('ERR_CONFIG', `mqtt.url: expected ${expected}, received ${JSON.stringify(received.slice(0, 200))}`, {
    details: { path: 'mqtt.url', expected, received },
  });
}
