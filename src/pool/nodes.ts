/** All nodes that a pool knows of, from what they retain on the broker. */
import { parseJson } from '../mqtt/json.js';
import { choose } from './choose.js';
import { PoolNode, type Wanted } from './node.js';

/** More names than any fleet has: a stranger who invents some must not fill the memory. */
const MOST = 4096;

/** `lost`: what it was asked it will not answer. `news`: it may take questions that it did not take before. */
export type Change = { node: PoolNode; kind: 'lost' | 'news' } | null;

export class Nodes {
  private readonly known = new Map<string, PoolNode>();
  private readonly unconfirmed = new Set<PoolNode>();
  /** Messages that were no such document, and those of nodes beyond the limit. */
  unreadable = 0;

  /** `base`: first part of the topics. `isWanted`: nodes of other names are not kept. */
  constructor(
    private readonly base: string,
    private readonly isWanted: (id: string) => boolean,
  ) {}

  get filters(): string[] {
    return ['availability', 'info', 'load'].map((leaf) => `${this.base}/v1/+/${leaf}`);
  }

  all(): PoolNode[] {
    return [...this.known.values()].sort((a, b) => (a.id < b.id ? -1 : 1));
  }
  get(id: string): PoolNode | undefined {
    return this.known.get(id);
  }

  /** The connection is gone: until the broker says otherwise none of them is there. */
  doubt(): void {
    for (const node of this.known.values()) this.unconfirmed.add(node);
  }

  /** All that is retained has come: those that it had nothing of are lost. */
  settle(): PoolNode[] {
    const lost = [...this.unconfirmed].filter(({ online }) => online);
    for (const node of lost) node.online = false;
    this.unconfirmed.clear();
    return lost;
  }

  /** A message on one of `filters`; null: it changes nothing for anybody who waits. */
  take(topic: string, payload: Buffer): Change {
    const [, , id = '', leaf] = topic.split('/');
    if (!this.isWanted(id)) return null;
    const node = this.known.get(id) ?? this.add(id);
    if (node === undefined) return null;
    if (leaf === 'availability') return this.available(node, payload.toString());
    if (payload.length === 0) {
      if (leaf === 'info' && !node.online) this.known.delete(id); // somebody has taken it off the broker for good
      return null;
    }
    const body = parsed(payload);
    if (leaf === 'load') {
      if (!node.measure(body)) this.unreadable++;
      return null;
    }
    const { session } = node;
    if (!node.tell(body)) {
      this.unreadable++;
      return null;
    }
    return { node, kind: session !== null && session !== node.session ? 'lost' : 'news' };
  }

  /** Somebody for such a question who is not among `not` and does not refuse; those that do not answer, or may be full, only if there is nobody else. */
  pick(wanted: Wanted, not: ReadonlySet<string>, nowMs: number, random: () => number): PoolNode | undefined {
    const tiers: Record<'ready' | 'full' | 'silent', PoolNode[]> = { ready: [], full: [], silent: [] };
    for (const node of this.known.values()) {
      if (not.has(node.id)) continue;
      const state = node.state(nowMs);
      if ((state === 'ready' || state === 'full' || state === 'silent') && !node.refuses(nowMs) && node.fits(wanted)) tiers[state].push(node);
    }
    return choose(tiers.ready, random) ?? choose(tiers.full, random) ?? choose(tiers.silent, random);
  }

  private available(node: PoolNode, word: string): Change {
    this.unconfirmed.delete(node);
    const was = node.online;
    node.online = word === 'online';
    if (node.online) node.heard();
    if (node.online === was) return null;
    return { node, kind: was ? 'lost' : 'news' };
  }

  private add(id: string): PoolNode | undefined {
    if (this.known.size >= MOST) {
      this.unreadable++;
      return undefined;
    }
    const node = new PoolNode(id);
    this.known.set(id, node);
    return node;
  }
}

function parsed(payload: Buffer): unknown {
  try {
    return parseJson(payload);
  } catch {
    return null;
  }
}
