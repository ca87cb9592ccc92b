/** Wrong tokens, by the address that they came from: five in a minute, then no more are compared for it. Bounded. */
import { isIPv6 } from 'node:net';

const MOST_TRIES = 5;
const WINDOW_MS = 60_000;
const MOST_ADDRESSES = 1024;

export class Tries {
  private readonly wrong = new Map<string, number[]>(); // moments of performance.now(), the address that came first first

  /** Milliseconds until this address may try again; 0: now. */
  waitMs(address: string): number {
    const recent = this.recent(networkOf(address));
    return recent.length < MOST_TRIES ? 0 : Math.max(1, (recent[0] as number) + WINDOW_MS - performance.now());
  }

  failed(address: string): void {
    const network = networkOf(address);
    const recent = [...this.recent(network), performance.now()];
    this.wrong.delete(network);
    this.wrong.set(network, recent);
    const [oldest] = this.wrong.keys();
    if (this.wrong.size > MOST_ADDRESSES && oldest !== undefined) this.wrong.delete(oldest);
  }

  private recent(network: string): number[] {
    return (this.wrong.get(network) ?? []).filter((atMs) => performance.now() - atMs < WINDOW_MS);
  }
}

/** One machine has all of an IPv6 network of 64 bits. */
export function networkOf(address: string): string {
  const plain = address.replace(/^::ffff:(?=\d+\.)/i, '').replace(/%.*$/, '');
  if (!isIPv6(plain)) return plain;
  const [head = '', tail] = plain.split('::');
  const before = head === '' ? [] : head.split(':');
  const after = tail === undefined || tail === '' ? [] : tail.split(':');
  const zeros = tail === undefined ? [] : Array.from({ length: Math.max(0, 8 - before.length - after.length) }, () => '0');
  return [...before, ...zeros, ...after].slice(0, 4).join(':');
}
