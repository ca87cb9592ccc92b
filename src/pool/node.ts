/** One node as its retained topics tell it, and what this pool itself has noticed. */
import { z } from 'zod';
import { infoSchema, loadSchema } from '../mqtt/messages.js';

/** Of `info`, what a choice needs: the rest of it is not kept. */
const factsSchema = infoSchema.pick({ session: true, version: true, labels: true, draining: true }).extend({
  models: z.array(z.object({ id: z.string(), rev: z.string() })),
  cameras: z.array(z.object({ id: z.string(), enabled: z.boolean() })),
  watches: z.array(z.object({ id: z.string() })),
});

interface Facts {
  session: string;
  version: string;
  draining: boolean;
  labels: Readonly<Record<string, string>>;
  model: { id: string; rev: string } | null;
  /** Enabled ones, and how many there are with the others. */
  cameras: ReadonlySet<string>;
  cameraCount: number;
  watches: ReadonlySet<string>;
}
const queueSchema = loadSchema.pick({ session: true, queue: true, busy_ratio: true });

/** Who may be asked; whatever is left out does not matter. */
export interface Wanted {
  /** Ids, `*` for any characters. */
  nodes?: readonly RegExp[] | undefined;
  /** Id of the package, or id@revision. */
  model?: string | undefined;
  /** Names and values. */
  labels?: readonly (readonly [string, string])[] | undefined;
  camera?: string | undefined;
  watch?: string | undefined;
}

/** `silent`: it did not answer in time and has said nothing since. `unknown`: it has not told what it is. */
export type NodeState = 'ready' | 'full' | 'draining' | 'silent' | 'offline' | 'unknown';

/** A node that said nothing in time is asked only if there is no other, for so long. */
const SUSPECT_MS = 5000;
/** Longest that a node is believed to be full because it said so. */
const FULL_MS = 1000;
/** A load is told again within a quarter of a second when it changes: one that is older may have been lost. */
const FRESH_MS = 2000;

export class PoolNode {
  online = false;
  private facts: Facts | null = null;
  private waiting = 0;
  private limit = Number.POSITIVE_INFINITY;
  private usual: number | null = null;
  busyRatio: number | null = null;
  /** Questions of this pool that were sent to it and are not over. */
  underWay = 0;
  /** How the queue must have changed since the node told of it, by what this pool has sent and got; a node's own news may be a quarter of a second old. */
  private since = 0;
  private suspectUntil = 0;
  private fullUntil = 0;
  private measuredMs = Number.NEGATIVE_INFINITY;

  constructor(readonly id: string) {}

  get session(): string | null {
    return this.facts?.session ?? null;
  }
  get version(): string | null {
    return this.facts?.version ?? null;
  }
  get labels(): Readonly<Record<string, string>> {
    return this.facts?.labels ?? {};
  }
  get model(): { id: string; rev: string } | null {
    return this.facts?.model ?? null;
  }

  /** Queries waiting and under way, as far as can be known. */
  get queue(): number {
    return Math.max(0, this.underWay, this.waiting + this.since);
  }
  get queueLimit(): number | null {
    return Number.isFinite(this.limit) ? this.limit : null;
  }
  /** What a query takes once its turn has come, in milliseconds; null: not known yet. */
  get usualMs(): number | null {
    return this.usual;
  }

  state(nowMs: number): NodeState {
    if (!this.online) return 'offline';
    if (this.facts === null) return 'unknown';
    if (this.facts.draining) return 'draining';
    if (nowMs < this.suspectUntil) return 'silent';
    return nowMs < this.fullUntil || this.queue >= this.limit ? 'full' : 'ready';
  }

  /** It would refuse: whoever waits for it need not ask. What it said of its queue is believed for a while only. */
  refuses(nowMs: number): boolean {
    return nowMs < this.fullUntil || (this.queue >= this.limit && nowMs < this.measuredMs + FRESH_MS);
  }

  /** False for what is no `info`. */
  tell(info: unknown): boolean {
    const parsed = factsSchema.safeParse(info);
    if (!parsed.success) return false;
    const { session, version, draining, labels, models, cameras, watches } = parsed.data;
    if (this.facts !== null && this.facts.session !== session) this.forgetLoad();
    this.facts = {
      session,
      version,
      draining,
      labels,
      model: models[0] ?? null,
      cameras: new Set(cameras.filter(({ enabled }) => enabled).map(({ id }) => id)),
      cameraCount: cameras.length,
      watches: new Set(watches.map(({ id }) => id)),
    };
    this.heard();
    return true;
  }

  /** False for what is no `load`. */
  measure(load: unknown): boolean {
    const parsed = queueSchema.safeParse(load);
    if (!parsed.success) return false;
    const { queue, busy_ratio, session } = parsed.data;
    if (this.session !== null && session !== this.session) return true; // of an earlier life, which the broker still holds
    this.waiting = queue.waiting;
    this.limit = queue.limit;
    this.usual = queue.usual_ms;
    this.busyRatio = busy_ratio;
    this.since = 0;
    this.measuredMs = performance.now();
    if (queue.waiting < queue.limit) this.fullUntil = 0;
    return true;
  }

  sent(): void {
    this.underWay++;
    this.since++;
  }
  ended(): void {
    this.underWay--;
    this.since--;
  }
  heard(): void {
    this.suspectUntil = 0;
  }
  suspect(nowMs: number): void {
    this.suspectUntil = nowMs + SUSPECT_MS;
  }
  full(nowMs: number, retryAfterMs: number): void {
    this.fullUntil = nowMs + Math.min(FULL_MS, retryAfterMs);
  }

  private forgetLoad(): void {
    this.waiting = 0;
    this.limit = Number.POSITIVE_INFINITY;
    this.usual = null;
    this.busyRatio = null;
    this.since = 0;
    this.fullUntil = 0;
  }

  /** Whether this is a node for such a question, whatever it is doing now. Called for every node at every choice: makes nothing new. */
  fits({ nodes, model, labels, camera, watch }: Wanted): boolean {
    const { facts } = this;
    if (facts === null) return false;
    if (nodes !== undefined && !nodes.some((pattern) => pattern.test(this.id))) return false;
    if (model !== undefined && !isModel(facts.model, model)) return false;
    if (labels !== undefined) for (const label of labels) if (facts.labels[label[0]] !== label[1]) return false;
    if (camera !== undefined && !facts.cameras.has(camera)) return false;
    if (watch !== undefined && !facts.watches.has(watch)) return false;
    return camera !== undefined || watch !== undefined || facts.cameraCount === 1;
  }

  /** Why it is none, in words; null: it is one. */
  misfit(wanted: Wanted): string | null {
    const { camera, watch } = wanted;
    const unfit = this.unfit(wanted);
    if (unfit !== null || this.fits(wanted)) return unfit;
    if (camera !== undefined && this.facts?.cameras.has(camera) !== true) return `no camera ${camera}`;
    return watch === undefined ? `${this.facts?.cameraCount} cameras, and none is named` : `no watch ${watch}`;
  }

  /** The same, whatever is asked. */
  unfit({ nodes, model, labels = [] }: Wanted): string | null {
    const { facts } = this;
    if (nodes !== undefined && !nodes.some((pattern) => pattern.test(this.id))) return 'another name';
    if (facts === null) return 'it has not said what it is';
    for (const [name, value] of labels) {
      const own = Object.hasOwn(facts.labels, name) ? facts.labels[name] : undefined;
      if (own !== value) return own === undefined ? `no label ${name}` : `label ${name} is ${own}`;
    }
    return model === undefined || isModel(facts.model, model) ? null : `model ${facts.model?.id || 'none'}`;
  }
}

/** `id` or `id@revision`. */
function isModel(present: Facts['model'], wanted: string): boolean {
  return present !== null && (present.id === wanted || (wanted.startsWith(`${present.id}@`) && wanted.slice(present.id.length + 1) === present.rev));
}
