/**
 * Under which names requests may come. A page of somebody else's can make a browser send requests here: under a name of theirs that leads to this
 * machine (which Host tells), or across origins (which Origin tells).
 */
import { isIP } from 'node:net';
import { isLoopback } from '../address.js';

export class Hosts {
  private readonly names: ReadonlySet<string>;

  /** `host` is what is listened on, `more` further names. */
  constructor(host: string, more: readonly string[] = []) {
    this.names = new Set([host, ...more].map(plain));
  }

  /** `header`: of Host. `local`: the address of this machine that the connection came to; by number nobody is misled. */
  allows(header: string | undefined, local: string | undefined): boolean {
    const name = header === undefined ? null : nameIn(header);
    if (name === null) return false;
    return isLoopback(name) || this.names.has(name) || (isIP(name) !== 0 && local !== undefined && name === plain(local));
  }

  /** `header`: of Origin; it must be the very host that was asked, and one that is allowed. */
  sameOrigin(header: string, host: string | undefined, local: string | undefined): boolean {
    if (!URL.canParse(header)) return false;
    const { protocol, host: from } = new URL(header);
    return ['http:', 'https:'].includes(protocol) && from === host?.toLowerCase() && this.allows(from, local);
  }
}

/** `example.org:80`, `[::1]:80` → the name alone; null for what is none. */
function nameIn(header: string): string | null {
  const [, name] = /^(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::\d{1,5})?$/i.exec(header) ?? [];
  return name === undefined ? null : plain(name);
}

function plain(name: string): string {
  return name
    .toLowerCase()
    .replace(/^\[|\]$/g, '')
    .replace(/^::ffff:(?=\d+\.)/, '')
    .replace(/\.$/, '');
}
