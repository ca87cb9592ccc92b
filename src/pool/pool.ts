/** Several nodes asked as one: who may answer is read from the broker, who is asked is the one that would answer sooner. */
import { randomUUID } from 'node:crypto';
import { MiphaError } from '../errors.js';
import { parseJson } from '../mqtt/json.js';
import { type Result, responseSchema } from '../mqtt/messages.js';
import type { Incoming } from '../mqtt/wire.js';
import { onAbort } from '../signals.js';
import { Ask, type Field } from './ask.js';
import type { NodeState, PoolNode, Wanted } from './node.js';
import { Nodes } from './nodes.js';
import { both, checkAskOptions, checkPoolOptions, checkQuestion, type PoolAskOptions, type PoolOptions, type PoolQuestion } from './options.js';
import { Wiring } from './wiring.js';

export interface PoolNodeStatus {
  node: string;
  /** `silent`: it did not answer in time and has said nothing since. `unknown`: it has not told what it is. */
  state: NodeState;
  /** Null: it has the model, the labels and the name that the pool asks for. */
  misfit: string | null;
  model: { id: string; rev: string } | null;
  version: string | null;
  labels: Readonly<Record<string, string>>;
  /** Queries waiting and under way on it, of everybody, and how many there may be. */
  queue: number;
  queueLimit: number | null;
  /** What a query takes once its turn has come, in milliseconds. */
  usualMs: number | null;
  /** Share of the last minute. */
  busyRatio: number | null;
  /** Questions of this pool. */
  underWay: number;
}

export interface PoolStatus {
  connected: boolean;
  /** Why not. */
  trouble: string | null;
  nodes: PoolNodeStatus[];
  underWay: number;
  /** Outcomes so far. */
  answered: number;
  failed: number;
  /** Responses that came after the outcome, or to nobody. */
  late: number;
  /** Messages that could not be read. */
  unreadable: number;
}

/** Questions under way. */
const MOST_ASKS = 10_000;
/** Words of `sticky` that are remembered, the latest. */
const MOST_STICKY = 4096;

/** Several nodes asked as one; see openPool(). */
export class Pool implements AsyncDisposable {
  private readonly asks = new Map<string, Ask>(); // by transaction
  private readonly nodes: Nodes;
  private readonly wiring: Wiring;
  private readonly replyTopic: string;
  private readonly wanted: Wanted;
  private readonly base: string;
  private readonly kept = new Map<string, string>(); // node by `sticky`, the latest last
  private readonly field: Field;
  private readonly counts = { answered: 0, failed: 0, late: 0, unreadable: 0 };
  private closing: Promise<void> | undefined;

  private constructor(options: PoolOptions) {
    const { broker, base, name, wanted } = checkPoolOptions(options);
    this.base = base;
    this.wanted = wanted;
    this.replyTopic = `${base}/v1/${name}/reply/${randomUUID()}`; // nobody guesses it
    this.nodes = new Nodes(base, (id) => wanted.nodes === undefined || wanted.nodes.some((pattern) => pattern.test(id)));
    this.wiring = new Wiring(broker, [...this.nodes.filters, this.replyTopic]);
    this.wiring.on('message', (message) => this.take(message));
    this.wiring.on('down', () => {
      this.nodes.doubt();
      for (const ask of this.asks.values()) ask.interrupted();
    });
    this.wiring.on('settled', () => {
      for (const node of this.nodes.settle()) this.lose(node);
      for (const ask of [...this.asks.values()]) ask.resumed();
    });
    const { wiring, nodes } = this;
    this.field = {
      get connected() {
        return wiring.connected;
      },
      pick: (ask, not) => this.pick(ask, not),
      misfits: (question, barred) => misfitsOf(nodes.all(), question, barred),
      send: (ask, node) => this.send(node, 'query', ask, { ...ask.options.question, transaction: ask.transaction }),
      cancel: (ask, node) => this.send(node, 'cancel', ask, { target: ask.transaction }),
      over: (ask) => this.asks.delete(ask.transaction),
    };
  }

  /** @internal See openPool(). */
  static async open(options: PoolOptions): Promise<Pool> {
    const pool = new Pool(options);
    await pool.wiring.open();
    return pool;
  }

  /**
   * Asks the node that would answer sooner among those that have the camera (or the watch), the labels and the model, and the next one when it refuses, is lost
   * or stays silent, until the deadline. What a node said once is not asked again: the first answer counts, and the others are told to stop.
   *
   * Rejects with `signal.reason`; ERR_DEADLINE (`details.tries`: who was asked, and what came of it); ERR_NODE when a node says that the question
   * itself is wrong, or none fits it; ERR_MQTT when the broker is away until the deadline; ERR_BUSY beyond 10000 questions under way; ERR_DISPOSED
   * after close(); ERR_OPTION.
   */
  async ask(question: PoolQuestion, options: PoolAskOptions = {}): Promise<Result> {
    const checked = checkQuestion(question);
    const { deadlineMs, sticky, wanted } = checkAskOptions(options);
    if (this.closing !== undefined) throw closed();
    options.signal?.throwIfAborted();
    if (this.asks.size >= MOST_ASKS) throw new MiphaError('ERR_BUSY', `${MOST_ASKS} questions are under way`, { details: { limit: MOST_ASKS } });
    const { camera, watch } = checked;
    const ask = new Ask(this.field, { question: checked, wanted: { ...both(this.wanted, wanted), camera, watch }, deadlineMs, sticky });
    this.asks.set(ask.transaction, ask);
    const unlink = onAbort(options.signal, () => ask.fail(options.signal?.reason));
    ask.go();
    try {
      const result = await ask.outcome;
      this.counts.answered++;
      if (sticky !== undefined) this.keep(sticky, result.node);
      return result;
    } catch (error) {
      this.counts.failed++;
      throw error;
    } finally {
      unlink();
    }
  }

  status(): PoolStatus {
    const nowMs = performance.now();
    const { connected, trouble } = this.wiring;
    const { unreadable, ...counts } = this.counts;
    return {
      connected,
      trouble,
      nodes: this.nodes.all().map((node) => statusOf(node, this.wanted, nowMs)),
      underWay: this.asks.size,
      ...counts,
      unreadable: unreadable + this.nodes.unreadable,
    };
  }

  /** Questions under way reject with ERR_DISPOSED, and the nodes are told to stop. Nothing is open afterwards. */
  close(): Promise<void> {
    this.closing ??= this.end();
    return this.closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  private async end(): Promise<void> {
    for (const ask of [...this.asks.values()]) ask.fail(closed());
    await this.wiring.close();
  }

  private take({ topic, payload }: Incoming): void {
    if (topic === this.replyTopic) {
      this.hear(payload);
      return;
    }
    const change = this.nodes.take(topic, payload);
    if (change?.kind === 'lost') this.lose(change.node);
    if (change !== null) for (const ask of [...this.asks.values()]) ask.go();
  }

  private hear(payload: Buffer): void {
    const response = responseSchema.safeParse(parsed(payload));
    if (!response.success) {
      this.counts.unreadable++;
      return;
    }
    const { data } = response;
    if (data.verb === 'cancel') return;
    const ask = this.asks.get(data.transaction ?? '');
    const node = this.nodes.get(data.node);
    if (ask === undefined || node === undefined) this.counts.late++;
    else ask.hear(data, node);
  }

  private lose(node: PoolNode): void {
    for (const ask of [...this.asks.values()]) ask.lost(node);
  }

  private pick({ options: { sticky, wanted } }: Ask, not: ReadonlySet<string>): PoolNode | undefined {
    const nowMs = performance.now();
    const before = this.nodes.get(this.kept.get(sticky ?? '') ?? '');
    const isFree = before !== undefined && !not.has(before.id) && before.state(nowMs) === 'ready' && before.fits(wanted);
    return isFree ? before : this.nodes.pick(wanted, not, nowMs, Math.random);
  }

  private keep(sticky: string, node: string): void {
    this.kept.delete(sticky);
    this.kept.set(sticky, node);
    for (const oldest of this.kept.keys()) {
      if (this.kept.size <= MOST_STICKY) break;
      this.kept.delete(oldest);
    }
  }

  private send(node: PoolNode, verb: 'query' | 'cancel', { endsMs }: Ask, body: object): void {
    const leftMs = Math.max(1, Math.round(endsMs - performance.now()));
    this.wiring.send({
      topic: `${this.base}/v1/${node.id}/request/${verb}`,
      payload: Buffer.from(JSON.stringify({ ...body, reply_to: this.replyTopic, deadline_ms: leftMs })),
      qos: 1,
      retain: false,
      expiryS: leftMs / 1000,
      contentType: 'application/json',
    });
  }
}

/**
 * Connects to the broker and reads which nodes there are. Rejects with ERR_MQTT when that fails; later the pool comes back by itself for as long as it
 * takes. ERR_OPTION for wrong options.
 */
export async function openPool(options: PoolOptions): Promise<Pool> {
  return await Pool.open(options);
}

function statusOf(node: PoolNode, { nodes, model, labels }: Wanted, nowMs: number): PoolNodeStatus {
  const { id, version, queue, queueLimit, usualMs, busyRatio, underWay } = node;
  return {
    node: id,
    state: node.state(nowMs),
    misfit: node.unfit({ nodes, model, labels }),
    model: node.model,
    version,
    labels: node.labels,
    queue,
    queueLimit,
    usualMs,
    busyRatio,
    underWay,
  };
}

/** In words, of at most eight nodes. */
function misfitsOf(all: readonly PoolNode[], wanted: Wanted, barred: ReadonlySet<string>): string | null {
  const misfits: string[] = [];
  for (const node of all) {
    const why = barred.has(node.id) ? 'it refuses' : node.misfit(wanted);
    if (why === null) return null;
    misfits.push(`${node.id}: ${why}`);
  }
  if (misfits.length === 0) return 'none is known on this broker';
  return `${misfits.slice(0, 8).join('; ')}${misfits.length > 8 ? ` and ${misfits.length - 8} more` : ''}`;
}

function closed(): MiphaError {
  return new MiphaError('ERR_DISPOSED', 'The pool is closed');
}

function parsed(payload: Buffer): unknown {
  try {
    return parseJson(payload);
  } catch {
    return null;
  }
}
