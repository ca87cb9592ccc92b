/** What the node says about its installed models, as the contract has it. */
import { type ModelState, SCHEMA_VERSION } from '../../mqtt/messages.js';
import type { UpdateStatus } from '../../update/updater.js';

export interface ModelFacts {
  session: string;
  node: string;
  /** Of the package that serves. */
  id: string;
  rev: string;
  /** What the package of the configuration is called. */
  ownName: string;
}

export function modelStateOf(
  { phase, percent, incoming, installed, previous, canRollBack, offered, last }: UpdateStatus,
  facts: ModelFacts,
): ModelState {
  const { session, node, id, rev, ownName } = facts;
  return {
    v: SCHEMA_VERSION,
    ts: new Date().toISOString(),
    session,
    node,
    phase,
    percent,
    incoming,
    installed: { id, rev, release: installed?.release ?? ownName, from: installed === null ? 'configuration' : 'installed' },
    previous: canRollBack ? (previous ?? ownName) : null,
    latest:
      offered === null
        ? null
        : { release: offered.release.release, model: offered.release.model, source: offered.source, bytes: offered.release.bytes },
    last: last && { outcome: last.outcome, release: last.release, ts: last.at, message: last.message, way: last.way, by_itself: last.by_itself },
  };
}
