/** Standing alerts about cameras that are lost and watches that keep failing: one alert for each kind, which names all of them. */
import type { WatchOutcome } from '../watch/outcome.js';
import type { NodePublisher } from './publish/node.js';

/** Failures in a row before a watch is said to keep failing, where trying again may help. */
const MOST_FAILURES = 3;
const MOST_NAMED = 5;
const REASON_CHARS = 300;

type Kind = 'cameras' | 'watches';

export class Troubles {
  private readonly reasons: Record<Kind, Map<string, string>> = { cameras: new Map(), watches: new Map() }; // by id
  private readonly failures = new Map<string, number>(); // in a row, by watch

  constructor(private readonly node: Pick<NodePublisher, 'alert'>) {}

  cameraLost(id: string, reason: string): void {
    this.set('cameras', id, reason);
  }

  /** It delivers frames, is disabled, or is gone. */
  cameraFine(id: string): void {
    this.clear('cameras', id);
  }

  /** An answer ends the trouble of a watch; what merely expires says nothing about it. */
  answered({ watch, status, error }: Pick<WatchOutcome, 'watch' | 'status' | 'error'>): void {
    if (status === 'ok') this.watchFine(watch);
    if (error === null) return;
    const failures = (this.failures.get(watch) ?? 0) + 1;
    this.failures.set(watch, failures);
    if (!error.retryable || failures >= MOST_FAILURES) this.set('watches', watch, `${error.code}: ${error.message}`);
  }

  /** It answers, is disabled or changed, or is gone. */
  watchFine(id: string): void {
    this.failures.delete(id);
    this.clear('watches', id);
  }

  private set(kind: Kind, id: string, reason: string): void {
    const short = reason.length > REASON_CHARS ? `${reason.slice(0, REASON_CHARS)}…` : reason;
    if (this.reasons[kind].get(id) === short) return;
    this.reasons[kind].set(id, short);
    this.tell(kind);
  }

  private clear(kind: Kind, id: string): void {
    if (this.reasons[kind].delete(id)) this.tell(kind);
  }

  private tell(kind: Kind): void {
    const all = [...this.reasons[kind]].sort(([a], [b]) => (a < b ? -1 : 1));
    if (all.length === 0) {
      this.node.alert(kind, null);
      return;
    }
    const [one, many] =
      kind === 'cameras' ? ['camera delivers no frames', 'cameras deliver no frames'] : ['watch keeps failing', 'watches keep failing'];
    const named = all.slice(0, MOST_NAMED).map(([id, reason]) => `${id} (${reason})`);
    const rest = all.length > MOST_NAMED ? `, and ${all.length - MOST_NAMED} more` : '';
    this.node.alert(kind, `${all.length} ${all.length === 1 ? one : many}: ${named.join(', ')}${rest}`);
  }
}
