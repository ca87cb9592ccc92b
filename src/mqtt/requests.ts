/** Requests over MQTT: admitted or refused, run once, ended by answer, error, deadline, cancel or shutdown, with exactly one final response. */

import { redactor } from '../redact.js';
import { replyFilters } from './filters.js';
import { expiresMs, type Freshness, staleMs } from './freshness.js';
import { type Address, type Admitted, type IntakeOptions, takeIn } from './intake.js';
import { type Response, SCHEMA_VERSION } from './messages.js';
import { Remembered } from './remembered.js';
import { RequestError, requestErrorOf } from './request-error.js';
import { CHANGING_VERBS, type RequestOf, type ResponseOf, type Verb } from './request-schemas.js';
import type { RequestTarget, Topics } from './topics.js';
import type { Incoming, ResponseProperties } from './wire.js';

export interface RequestContext {
  /** Aborted, with a RequestError as reason, when the answer is not wanted any more. */
  readonly signal: AbortSignal;
  /** Milliseconds left now. */
  readonly deadlineMs: number;
  readonly transaction: string | null;
  readonly broadcast: boolean;
  /** The request has its place in the queue: says so to the requester, once. */
  accepted(): void;
  /** A piece of an answer that is being written. */
  partial(text: string): void;
  /** The answer is about a picture: it is sent only while it may be relied upon, and repeated only while the picture is young enough. */
  about(freshness: Freshness): void;
}

/** One per verb; what it throws becomes the error of the response. `cancel` is answered here. */
export type Handlers = { [V in Exclude<Verb, 'cancel'>]: (request: RequestOf<V>, context: RequestContext) => Promise<ResponseOf<V>> };

export interface RequestsOptions {
  topics: Topics;
  base: string;
  node: string;
  handlers: Handlers;
  /** Sends one response, see Link.respond. */
  respond: (topic: string, payload: Buffer, properties: ResponseProperties) => 'sent' | 'offline' | 'too_large';
  /** As in the `requests` section of the configuration. */
  requestBytes: number;
  deadlineMs: number;
  dedupeMs: number;
  /** Filters of reply topics besides the usual ones. */
  replyTopics: readonly string[];
  /** MQTT 3.1.1: topics that some of its brokers end the connection for are refused. Default false. */
  plainReplies?: boolean;
  /** Another value whenever the node has been changed: what was said about a change before that is not said again. */
  world?: () => unknown;
  /** A handler failed in a way that is nobody's fault but ours. */
  onFault?: (verb: Verb, error: unknown) => void;
}

export interface RequestsStats {
  received: number;
  /** Handlers begun; repetitions are not among them. */
  run: number;
  /** Running now. */
  active: number;
  /** Final responses by status. */
  ok: number;
  error: number;
  /** Errors by code, refusals included. */
  errors: Record<string, number>;
  /** Repetitions of a request under way (ignored), and of one that has ended (answered again). */
  duplicates: number;
  repeated: number;
  /** Results that came after the final response had been sent. */
  late: number;
  remembered: number;
  /** Responses forgotten before their time for want of room. */
  evicted: number;
}

interface Running {
  admitted: Admitted;
  ended: () => void;
  abort: AbortController;
  timer: NodeJS.Timeout;
  accepted: boolean;
  over: boolean;
  freshness: Freshness | undefined;
  /** The same request, asked anew in the meantime. */
  again: Admitted | undefined;
}

/** Handlers running at once, those that ignore their signal included. */
const ACTIVE = 256;
/** A response nobody fetched in this time is worthless, in seconds. */
const RESPONSE_EXPIRY_S = 30;
const ANSWERS = { count: 16_384, bytes: 16 * 2 ** 20 };
const CHANGES = { count: 4096, bytes: 4 * 2 ** 20 };

export class Requests {
  private readonly intake: IntakeOptions;
  /** Only what succeeded is remembered: an error changed nothing, and asked again it may not come again. Of changes, apart so that questions do not push them out. */
  private readonly changes = new Remembered(CHANGES);
  private readonly answers = new Remembered(ANSWERS);
  private readonly running = new Set<Running>();
  private readonly runningByKey = new Map<string, Running>();
  private active = 0;
  private stopped = false;
  private readonly counts = { received: 0, run: 0, ok: 0, error: 0, duplicates: 0, repeated: 0, late: 0 };
  private readonly errors: Record<string, number> = {};

  constructor(private readonly options: RequestsOptions) {
    const { topics, base, requestBytes, deadlineMs, replyTopics, plainReplies = false } = options;
    this.intake = { base, topics, requestBytes, deadlineMs, replyFilters: replyFilters(base, topics.root, replyTopics), plainReplies };
  }

  /** A message on one of the request topics, `target` being what its name says; `ended`: there is nothing more to be done for it. Never throws. */
  handle(message: Incoming, target: RequestTarget, ended: () => void = () => {}): void {
    const intake = takeIn(message, target, this.intake);
    if (intake === undefined) {
      ended();
      return;
    }
    this.counts.received++;
    if (intake.kind === 'refused') {
      this.finish(intake.address, intake.error);
      ended();
    } else if (!this.take(intake.admitted, message.duplicate, ended)) ended();
  }

  /** Ends all that is under way with SHUTTING_DOWN, and everything that still comes. */
  stop(): void {
    this.stopped = true;
    for (const running of [...this.running]) this.end(running, shuttingDown());
  }

  stats(): RequestsStats {
    return {
      ...this.counts,
      active: this.active,
      errors: { ...this.errors },
      remembered: this.answers.size + this.changes.size,
      evicted: this.answers.evictions + this.changes.evictions,
    };
  }

  /** False when it is over already. */
  private take(admitted: Admitted, redelivered: boolean, ended: () => void): boolean {
    const { key, address } = admitted;
    const running = key === null ? undefined : this.runningByKey.get(key);
    if (running !== undefined) {
      this.counts.duplicates++; // it will be answered
      if (!redelivered) running.again = admitted;
      return false;
    }
    const before = key === null ? undefined : (this.answers.get(key, undefined) ?? this.changes.get(key, this.options.world?.()));
    if (before !== undefined) {
      this.counts.repeated++;
      this.send(address, before.payload, before.until);
    } else if (this.stopped) this.finish(address, shuttingDown());
    else if (admitted.verb === 'cancel') this.cancel(admitted.request.target, address);
    else if (this.active >= ACTIVE) {
      this.finish(address, new RequestError('QUEUE_FULL', `${ACTIVE} requests are under way`, { retryAfterMs: 1000 }));
    } else {
      void this.run(admitted, ended);
      return true;
    }
    return false;
  }

  private async run(admitted: Admitted, ended: () => void): Promise<void> {
    const { arrivedMs, endsMs, key, address, verb } = admitted;
    const deadlineMs = Math.round(endsMs - arrivedMs);
    const running: Running = {
      admitted,
      ended,
      abort: new AbortController(),
      accepted: false,
      over: false,
      freshness: undefined,
      again: undefined,
      timer: setTimeout(() => {
        const error = running.accepted
          ? new RequestError('TIMEOUT', `No answer within ${deadlineMs} ms`)
          : new RequestError('EXPIRED', `Not begun within ${deadlineMs} ms`);
        this.end(running, error);
      }, endsMs - performance.now()),
    };
    this.running.add(running);
    if (key !== null) this.runningByKey.set(key, running);
    this.active++;
    this.counts.run++;
    const context: RequestContext = {
      signal: running.abort.signal,
      transaction: address.transaction,
      broadcast: admitted.broadcast,
      get deadlineMs() {
        return Math.max(0, endsMs - performance.now());
      },
      accepted: () => {
        if (running.over || running.accepted) return;
        running.accepted = true;
        this.progress(address, 'accepted', null);
      },
      partial: (text) => {
        if (!running.over) this.progress(address, 'partial', { text });
      },
      about: (freshness) => {
        running.freshness = freshness;
      },
    };
    try {
      const handler = this.options.handlers[verb as Exclude<Verb, 'cancel'>] as (request: unknown, context: RequestContext) => Promise<unknown>;
      const data = await handler(admitted.request, context);
      this.end(running, { data });
    } catch (error) {
      const known = requestErrorOf(error);
      if (known.code === 'ENGINE_FAULT' && !running.over) this.options.onFault?.(verb, error);
      this.end(running, known);
    } finally {
      this.active--;
    }
  }

  /** The one way out of a request that ran: the first outcome counts. */
  private end(running: Running, outcome: RequestError | { data: unknown }): void {
    if (running.over) {
      this.counts.late++;
      return;
    }
    running.over = true;
    clearTimeout(running.timer);
    const { admitted, abort, again, freshness } = running;
    this.running.delete(running);
    if (admitted.key !== null) this.runningByKey.delete(admitted.key);
    const answered = outcome instanceof RequestError ? null : this.answer(admitted, outcome.data, freshness);
    if (outcome instanceof RequestError) this.finish(admitted.address, outcome);
    abort.abort(outcome instanceof RequestError ? outcome : undefined);
    running.ended();
    // Asked anew when the picture was too old already: that answer is none for this one.
    if (answered === 'ok' && again !== undefined && freshness !== undefined && staleMs(freshness) <= again.arrivedMs) this.takeAgain(again);
  }

  private answer({ address, verb, key }: Admitted, data: unknown, freshness: Freshness | undefined): Response['status'] {
    const now = performance.now();
    const expires = freshness === undefined ? Number.POSITIVE_INFINITY : expiresMs(freshness);
    if (expires <= now) {
      const late = Math.ceil(now - expires);
      return this.finish(address, new RequestError('EXPIRED', `The answer came ${late} ms after it could be relied upon (ttl_ms)`)).status;
    }
    const { status, payload } = this.finish(address, { data }, expires);
    if (key === null || status !== 'ok') return status;
    const longest = now + this.options.dedupeMs;
    if (CHANGING_VERBS.includes(verb)) this.changes.put(key, { payload, until: longest, world: this.options.world?.() });
    else if (freshness !== undefined) this.answers.put(key, { payload, until: Math.min(longest, staleMs(freshness)), world: undefined });
    return status;
  }

  private takeAgain(again: Admitted): void {
    if (again.endsMs > performance.now()) this.take(again, false, () => {});
  }

  private cancel(target: string, address: Address): void {
    const fits = ({ admitted }: Running) => admitted.address.transaction === target || admitted.address.correlation?.toString('utf8') === target;
    const found = [...this.running].filter(fits);
    // Ids are unique per requester only: its own requests first, those of others only where there is no doubt.
    const own = found.filter(({ admitted }) => admitted.address.topic === address.topic);
    const chosen = own.length > 0 ? own : found.length === 1 ? found : [];
    for (const running of chosen) this.end(running, new RequestError('CANCELLED', 'Cancelled on request'));
    this.finish(address, { data: { cancelled: chosen.length > 0 } });
  }

  /** The final response; `untilMs` as in send(). */
  private finish(address: Address, outcome: RequestError | { data: unknown }, untilMs?: number): { status: 'ok' | 'error'; payload: Buffer } {
    let error = outcome instanceof RequestError ? outcome : undefined;
    let payload = this.encode(address, error === undefined ? 'ok' : 'error', outcome instanceof RequestError ? null : outcome.data, error);
    if (this.send(address, payload, untilMs) === 'too_large') {
      error = new RequestError('TOO_LARGE', `The response has ${payload.length} bytes, more than may be sent`);
      payload = this.encode(address, 'error', null, error);
      this.send(address, payload);
    }
    const status = error === undefined ? 'ok' : 'error';
    this.counts[status]++;
    if (error !== undefined) this.errors[error.code] = (this.errors[error.code] ?? 0) + 1;
    return { status, payload };
  }

  private progress(address: Address, status: 'accepted' | 'partial', data: unknown): void {
    this.send(address, this.encode(address, status, data), undefined, status === 'partial');
  }

  private encode({ verb, transaction }: Address, status: Response['status'], data: unknown, error?: RequestError): Buffer {
    const response: Response = {
      v: SCHEMA_VERSION,
      ts: new Date().toISOString(),
      node: this.options.node,
      verb,
      status,
      data,
      error: error?.body() ?? null,
      transaction,
    };
    return Buffer.from(redactor.json(response));
  }

  /** `untilMs`: when the response has lost its worth, in milliseconds of performance.now(); the broker drops it then, or after the usual time. */
  private send({ topic, correlation }: Address, payload: Buffer, untilMs = Number.POSITIVE_INFINITY, optional = false) {
    const expiryS = Math.min(RESPONSE_EXPIRY_S, (untilMs - performance.now()) / 1000);
    const properties: ResponseProperties = { contentType: 'application/json', expiryS, optional };
    if (correlation !== undefined) properties.correlation = correlation;
    return this.options.respond(topic, payload, properties);
  }
}

function shuttingDown(): RequestError {
  return new RequestError('SHUTTING_DOWN', 'The node is stopping');
}
