/** What nodes retain, as their brokers hand it out. */
import type { Nodes } from '../../src/pool/nodes.js';

export interface Said {
  session?: string;
  labels?: Record<string, string>;
  watches?: number;
  queue?: object;
}

/** Uniform in [0, 1), the same every time. */
export function randomFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

/** Topics below the node's root and their payloads; of the size that a node of so many watches has. */
export function retainedOf(id: string, { session = 'first', labels = {}, watches = 0, queue }: Said): [leaf: string, payload: string][] {
  const common = { v: 1, ts: '2026-11-28T07:00:00.000Z', session, node: id };
  const info = {
    ...common,
    version: '0.1.0',
    labels,
    draining: false,
    models: [{ id: 'mipha-3b', rev: '34b8152dc7c5', release: null, state: 'ready' }],
    cameras: [{ id: 'front', uri: 'rtsp://10.0.0.7/front', enabled: true, images: false }],
    watches: Array.from({ length: watches }, (_, i) => ({
      id: `watch-${i}`,
      camera: 'front',
      question: 'Is there a person without a helmet near the press?',
      answer: { type: 'boolean' },
      enabled: true,
      interval_ms: 1000,
      ttl_ms: 30_000,
    })),
    verbs: ['query', 'cancel', 'snapshot', 'health', 'announce'],
  };
  return [
    ['info', JSON.stringify(info)],
    ['load', JSON.stringify({ ...common, queue: queue ?? { waiting: 0, limit: 16, rejected: 0, usual_ms: 40 }, busy_ratio: 0.1, draining: false })],
    ['availability', 'online'],
  ];
}

export function retain(nodes: Nodes, id: string, said: Said): void {
  for (const [leaf, payload] of retainedOf(id, said)) nodes.take(`mipha/v1/${id}/${leaf}`, Buffer.from(payload));
}
