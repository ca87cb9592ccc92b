/**
 * One question of a pool: to one node, and with the same transaction to the next when that one refuses, is lost or stays silent. The first answer counts;
 * there is exactly one outcome, at the latest at the deadline.
 */
import { randomUUID } from 'node:crypto';
import type { TryDetails } from '../error-details.js';
import { MiphaError } from '../errors.js';
import type { RequestErrorBody, RequestErrorCode, Response, Result } from '../mqtt/messages.js';
import { resultSchema } from '../mqtt/messages.js';
import { expectedMs } from './choose.js';
import type { PoolNode, Wanted } from './node.js';

/** What an ask needs of its pool. */
export interface Field {
  readonly connected: boolean;
  /** Somebody for this question who is not among `not`. */
  pick(ask: Ask, not: ReadonlySet<string>): PoolNode | undefined;
  /** Names of nodes and why they are none for this question; null: at least one that is not among `barred` is, whatever it is doing now. */
  misfits(wanted: Wanted, barred: ReadonlySet<string>): string | null;
  send(ask: Ask, node: PoolNode): void;
  cancel(ask: Ask, node: PoolNode): void;
  /** Called once. */
  over(ask: Ask): void;
}

export interface AskOptions {
  /** As the contract has it, without the envelope. */
  question: object;
  wanted: Wanted;
  deadlineMs: number;
  /** Questions with the same word go to the same node while that takes them. */
  sticky?: string | undefined;
}

interface Attempt {
  node: PoolNode;
  accepted: boolean;
  silent: boolean;
  timer: NodeJS.Timeout | undefined;
}

/** Refused whoever is asked: the question itself is wrong. */
const HOPELESS: ReadonlySet<RequestErrorCode> = new Set(['BAD_JSON', 'SCHEMA', 'TOO_LARGE', 'RETAINED_COMMAND', 'CANCELLED']);
/** A node says at once that it has admitted a query: one that says nothing for so long has been lost, or its network has; ms. */
const ACCEPT_MS = 1000;
/** So many times longer than expected is silence, but never less than this. */
const PATIENCE = 3;
const LEAST_MS = 250;
/** Nodes that work on it at the same time: a second one when the first is silent. */
const AT_ONCE = 2;
/** Until all are tried once more, when none could take it; ms. */
const AGAIN_MS = 250;
/** Nodes that have just come may not have said yet what they are; ms. */
const GRACE_MS = 1000;
/** That are told of in the end. */
const MOST_TRIES = 64;

export class Ask {
  readonly transaction = randomUUID();
  readonly endsMs: number;
  readonly outcome: Promise<Result>;
  private readonly beganMs = performance.now();
  private readonly attempts = new Map<string, Attempt>(); // by node, the oldest first
  private readonly tried = new Set<string>();
  /** Nodes that will never take it. */
  private readonly barred = new Set<string>();
  private readonly tries: TryDetails[] = [];
  private refusal: { node: string; error: RequestErrorBody } | undefined;
  private readonly deadline: NodeJS.Timeout;
  private pause: NodeJS.Timeout | undefined;
  private over = false;
  private resolve: (result: Result) => void = () => {};
  private reject: (reason: unknown) => void = () => {};

  constructor(
    private readonly field: Field,
    readonly options: AskOptions,
  ) {
    this.endsMs = this.beganMs + options.deadlineMs;
    this.outcome = new Promise<Result>((resolve, reject) => {
      this.resolve = resolve;
      this.reject = reject;
    });
    this.deadline = setTimeout(() => this.fail(this.late()), options.deadlineMs);
  }

  /** Looks for a node where none, or only silent ones, are at work. Called at first, and whenever somebody may have become free. */
  go(): void {
    if (this.over) return;
    clearTimeout(this.pause);
    const atWork = [...this.attempts.values()];
    if (atWork.some(({ silent }) => !silent) || !this.field.connected) return;
    const node = this.field.pick(this, this.tried);
    if (node !== undefined) this.attempt(node);
    else this.wait();
  }

  /** A response with this transaction. */
  hear({ status, data, error }: Response, node: PoolNode): void {
    if (this.over) return;
    node.heard();
    const attempt = this.attempts.get(node.id);
    if (status === 'ok') {
      const result = resultSchema.safeParse(data);
      if (result.success) {
        if (attempt !== undefined) this.end(attempt);
        this.finish(() => this.resolve(result.data));
      } else if (attempt !== undefined) this.next(attempt, 'UNREADABLE');
      return;
    }
    if (attempt === undefined) return; // it was told that it is not wanted any more
    if (status === 'accepted' && !attempt.accepted) {
      attempt.accepted = true;
      if (!attempt.silent) this.limit(attempt);
    }
    if (status === 'error' && error !== null) this.refused(attempt, error);
  }

  /** Whatever this node was asked it will not answer. */
  lost(node: PoolNode): void {
    const attempt = this.attempts.get(node.id);
    if (!this.over && attempt !== undefined) this.next(attempt, 'OFFLINE');
  }

  /** The connection is gone: silence means nothing until it is back. */
  interrupted(): void {
    for (const { timer } of this.attempts.values()) clearTimeout(timer);
    clearTimeout(this.pause);
  }

  /** It is back: who is at work is asked the same again, which runs nothing twice and brings the answer that may have been lost. */
  resumed(): void {
    if (this.over) return;
    for (const attempt of this.attempts.values()) {
      this.field.send(this, attempt.node);
      this.limit(attempt);
    }
    this.go();
  }

  fail(reason: unknown): void {
    this.finish(() => this.reject(reason));
  }

  private attempt(node: PoolNode): void {
    const [oldest] = this.attempts.values();
    if (oldest !== undefined && this.attempts.size >= AT_ONCE) {
      this.field.cancel(this, oldest.node);
      this.end(oldest);
    }
    const attempt: Attempt = { node, accepted: false, silent: false, timer: undefined };
    this.tried.add(node.id);
    this.attempts.set(node.id, attempt);
    node.sent();
    this.field.send(this, node);
    this.limit(attempt);
  }

  /** How long it may be silent: until it has admitted the question, and from then on; never so long that no time is left for another one. */
  private limit(attempt: Attempt): void {
    clearTimeout(attempt.timer);
    const { node, accepted } = attempt;
    const leftMs = this.endsMs - performance.now();
    const ms = accepted ? Math.min(leftMs / 2, Math.max(LEAST_MS, PATIENCE * expectedMs(node))) : Math.min(leftMs / 3, ACCEPT_MS);
    attempt.timer = setTimeout(() => this.silent(attempt), ms);
  }

  private silent(attempt: Attempt): void {
    attempt.silent = true;
    const { node, accepted } = attempt;
    if (!accepted) node.suspect(performance.now());
    this.note(node, 'SILENT');
    this.go();
    if (!accepted) this.repeat(attempt);
  }

  /** It may never have got the question: while nobody else is at work it gets the same again, which runs nothing twice. */
  private repeat(attempt: Attempt): void {
    if (this.over || this.attempts.get(attempt.node.id) !== attempt) return;
    attempt.timer = setTimeout(() => {
      if (attempt.accepted) return;
      if ([...this.attempts.values()].every(({ silent }) => silent)) this.field.send(this, attempt.node);
      this.repeat(attempt);
    }, ACCEPT_MS);
  }

  private refused(attempt: Attempt, error: RequestErrorBody): void {
    const { node } = attempt;
    if (error.code === 'QUEUE_FULL') node.full(performance.now(), error.retry_after_ms ?? AGAIN_MS);
    if (!error.retryable) {
      this.refusal = { node: node.id, error };
      this.barred.add(node.id);
    }
    if (HOPELESS.has(error.code)) this.fail(this.refusedForGood(node.id, error));
    else this.next(attempt, error.code);
  }

  private next(attempt: Attempt, reason: string): void {
    this.end(attempt);
    this.note(attempt.node, reason);
    this.go();
  }

  private note(node: PoolNode, reason: string): void {
    this.tries.push({ node: node.id, reason });
    if (this.tries.length > MOST_TRIES) this.tries.shift();
  }

  /** Nobody else can take it now: once more after a pause, or when somebody comes. */
  private wait(): void {
    const { refusal, barred, attempts, tries } = this;
    this.tried.clear();
    for (const id of [...barred, ...attempts.keys()]) this.tried.add(id);
    const misfits = attempts.size > 0 ? null : this.field.misfits(this.options.wanted, barred);
    if (misfits !== null && refusal !== undefined) this.fail(this.refusedForGood(refusal.node, refusal.error));
    else if (misfits !== null && performance.now() >= this.beganMs + GRACE_MS) {
      this.fail(new MiphaError('ERR_NODE', `No node could take this question: ${misfits}`, { retryable: true, details: { tries } }));
    } else this.pause = setTimeout(() => this.go(), AGAIN_MS);
  }

  private end(attempt: Attempt): void {
    clearTimeout(attempt.timer);
    attempt.node.ended();
    this.attempts.delete(attempt.node.id);
  }

  private finish(settle: () => void): void {
    if (this.over) return;
    this.over = true;
    clearTimeout(this.deadline);
    clearTimeout(this.pause);
    for (const attempt of [...this.attempts.values()]) {
      this.field.cancel(this, attempt.node);
      this.end(attempt);
    }
    this.field.over(this);
    settle();
  }

  private late(): MiphaError {
    const { deadlineMs, wanted } = this.options;
    const tries = this.tries.map(({ node, reason }) => `${node} ${reason}`);
    const asked = [...tries.slice(-8), ...[...this.attempts.values()].filter(({ silent }) => !silent).map(({ node }) => `${node.id} at work`)];
    if (!this.field.connected) {
      return new MiphaError('ERR_MQTT', `No answer within ${deadlineMs} ms: the broker is away`, { details: { deadlineMs, tries: this.tries } });
    }
    const why =
      asked.length > 0 ? asked.join(', ') : (this.field.misfits(wanted, this.barred) ?? 'every node that could take it is offline or being drained');
    return new MiphaError('ERR_DEADLINE', `No answer within ${deadlineMs} ms: ${why}`, { details: { deadlineMs, tries: this.tries } });
  }

  private refusedForGood(node: string, { code, message, refs }: RequestErrorBody): MiphaError {
    return new MiphaError('ERR_NODE', `${node} refuses: ${message}`, { details: { reason: code, node, refs, tries: this.tries } });
  }
}
