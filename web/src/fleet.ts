/** Nodes of a fleet: what of each needs a person, and in which order they are shown. It knows neither browser nor network. */
import type { FleetState } from '../../src/pool/fleet.js';
import type { BadgeKind } from './parts/badge.js';
import { durationWords } from './words.js';

export type FleetTopics = ReadonlyMap<string, unknown>;

/** What is to be done about a node, the worst first. */
export interface Need {
  kind: BadgeKind;
  words: string;
  /** Lower is worse. */
  rank: number;
}

/** Nodes tell of their health every 30 s, unless they are told otherwise. */
const SILENT_MS = 180_000;
/** Of alerts, as ranks; what is worse than these is as bad as can be. */
const LEVELS: Record<string, number> = { URGENT: 2, WARNING: 3.5 };

export function needsOf(node: FleetState, now: number): Need[] {
  const { online, alerts, cameras, lifecycle, restartRequired, draining, healthAt } = node;
  const needs: Need[] = [];
  const add = (rank: number, kind: BadgeKind, words: string) => needs.push({ kind, words, rank });
  if (!online) add(0, 'bad', healthAt === null ? 'Offline' : `Offline, last heard ${durationWords(now - Date.parse(healthAt))} ago`);
  for (const { level, message } of alerts) add(LEVELS[level] ?? 1, level === 'WARNING' ? 'warn' : 'bad', message);
  if (online) {
    for (const { id, state } of cameras) if (state === 'offline' || state === 'stalled') add(3, 'bad', `Camera ${id} is ${state}`);
    if (healthAt === null) add(4, 'warn', 'It has not told how it is');
    else if (now - Date.parse(healthAt) > SILENT_MS) add(4, 'warn', `Silent for ${durationWords(now - Date.parse(healthAt))}`);
    if (lifecycle === 'degraded' && needs.length === 0) add(5, 'warn', 'Degraded');
    if (lifecycle === 'starting' || lifecycle === 'stopping') add(5, 'warn', lifecycle === 'starting' ? 'Starting' : 'Stopping');
    if (restartRequired) add(6, 'warn', 'Waits for a restart');
    if (draining) add(7, 'idle', 'Drained: it takes no questions');
  }
  return needs.sort((a, b) => a.rank - b.rank);
}

export interface Row {
  node: FleetState;
  needs: Need[];
}

/** Those that have the words in their name, labels, version or model, and the label; who needs a person first, then by name. */
export function rowsOf(topics: FleetTopics, filter: { words: string; label: string }, now: number): Row[] {
  const words = filter.words.toLowerCase().split(/\s+/).filter(Boolean);
  return nodesOf(topics)
    .filter((node) => filter.label === '' || labelsOf(node).includes(filter.label))
    .filter((node) => {
      const text = [node.node, ...labelsOf(node), node.version, node.model?.id].join(' ').toLowerCase();
      return words.every((word) => text.includes(word));
    })
    .map((node) => ({ node, needs: needsOf(node, now) }))
    .sort((a, b) => worst(a) - worst(b) || (a.node.node < b.node.node ? -1 : 1));
}

export function nodesOf(topics: FleetTopics): FleetState[] {
  return [...topics].flatMap(([topic, state]) => (topic.startsWith('node/') ? [state as FleetState] : []));
}

/** `site: hall-2`. */
export function labelsOf({ labels }: FleetState): string[] {
  return Object.entries(labels).map(([name, value]) => `${name}: ${value}`);
}

/** Why the broker tells nothing now; null: it does. Undefined: not known yet. */
export function troubleOf(topics: FleetTopics): string | null | undefined {
  return (topics.get('broker') as { trouble: string | null } | undefined)?.trouble;
}

function worst({ needs }: Row): number {
  return needs[0]?.rank ?? Number.MAX_SAFE_INTEGER;
}
