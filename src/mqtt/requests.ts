/** Requests over MQTT: admitted or refused, run once, ended by answer, error, deadline, cancel or shutdown, with exactly one final response. */

import { redactor } from '../redact.js';
import { replyFilters } from './filters.js';
import { type Address, type Admitted, type IntakeOptions, takeIn } from './intake.js';
import { type Response, SCHEMA_VERSION } from './messages.js';
import { Remembered } from './remembered.js';
import { RequestError, requestErrorOf } from './request-error.js';
import type { RequestOf, ResponseOf, Verb } from './request-schemas.js';
import type { Topics } from './topics.js';
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
  abort: AbortController;
  timer: NodeJS.Timeout;
  accepted: boolean;
  over: boolean;
}

/** Handlers running at once, those that ignore their signal included. */
const ACTIVE = 256;
/** A response nobody fetched in this time is worthless, in seconds. */
const RESPONSE_EXPIRY_S = 30;
const REMEMBERED = { count: 16_384, bytes: 16 * 2 ** 20 };
/** Refusals that say "come back later": the same request again must be tried, not answered from memory. */
const NOT_REMEMBERED = new Set(['QUEUE_FULL', 'MODEL_LOADING', 'SHUTTING_DOWN']);

export class Requests {
  private readonly intake: IntakeOptions;
  private readonly remembered: Remembered;
  private readonly running = new Set<Running>();
  private readonly runningByKey = new Map<string, Running>();
  private active = 0;
  private stopped = false;
  private readonly counts = { received: 0, run: 0, ok: 0, error: 0, duplicates: 0, repeated: 0, late: 0 };
  private readonly errors: Record<string, number> = {};

  constructor(private readonly options: RequestsOptions) {
    const { topics, base, requestBytes, deadlineMs, dedupeMs, replyTopics } = options;
    this.intake = { topics, requestBytes, deadlineMs, replyFilters: replyFilters(base, topics.root, replyTopics) };
    this.remembered = new Remembered({ ms: dedupeMs, ...REMEMBERED });
  }

  /** Never throws. Messages that are no requests are ignored. */
  handle(message: Incoming): void {
    const intake = takeIn(message, this.intake);
    if (intake === undefined) return;
    this.counts.received++;
    if (intake.kind === 'refused') {
      this.finish(intake.address, null, intake.error);
      return;
    }
    const { admitted } = intake;
    const { key, address } = admitted;
    if (key !== null) {
      if (this.runningByKey.has(key)) {
        this.counts.duplicates++;
        return;
      }
      const before = this.remembered.get(key);
      if (before !== undefined) {
        this.counts.repeated++;
        this.send(address, before);
        return;
      }
    }
    if (this.stopped) this.finish(address, key, shuttingDown());
    else if (admitted.verb === 'cancel') this.cancel(admitted.request.target, admitted);
    else if (this.active >= ACTIVE) {
      this.finish(address, key, new RequestError('QUEUE_FULL', `${ACTIVE} requests are under way`, { retryAfterMs: 1000 }));
    } else void this.run(admitted);
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
      remembered: this.remembered.size,
      evicted: this.remembered.evictions,
    };
  }

  private async run(admitted: Admitted): Promise<void> {
    const { deadlineMs, key, address, verb } = admitted;
    const endsAt = performance.now() + deadlineMs;
    const running: Running = {
      admitted,
      abort: new AbortController(),
      accepted: false,
      over: false,
      timer: setTimeout(() => {
        const error = running.accepted
          ? new RequestError('TIMEOUT', `No answer within ${Math.round(deadlineMs)} ms`)
          : new RequestError('EXPIRED', `Not begun within ${Math.round(deadlineMs)} ms`);
        this.end(running, error);
      }, deadlineMs),
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
        return Math.max(0, endsAt - performance.now());
      },
      accepted: () => {
        if (running.over || running.accepted) return;
        running.accepted = true;
        this.progress(address, 'accepted', null);
      },
      partial: (text) => {
        if (!running.over) this.progress(address, 'partial', { text });
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
    const { admitted, abort } = running;
    this.running.delete(running);
    if (admitted.key !== null) this.runningByKey.delete(admitted.key);
    this.finish(admitted.address, admitted.key, outcome);
    abort.abort(outcome instanceof RequestError ? outcome : undefined);
  }

  private cancel(target: string, { address, key }: Admitted): void {
    const fits = ({ admitted }: Running) => admitted.address.transaction === target || admitted.address.correlation?.toString('utf8') === target;
    const found = [...this.running].filter(fits);
    // Ids are unique per requester only: its own requests first, those of others only where there is no doubt.
    const own = found.filter(({ admitted }) => admitted.address.topic === address.topic);
    const chosen = own.length > 0 ? own : found.length === 1 ? found : [];
    for (const running of chosen) this.end(running, new RequestError('CANCELLED', 'Cancelled on request'));
    this.finish(address, key, { data: { cancelled: chosen.length > 0 } });
  }

  private finish(address: Address, key: string | null, outcome: RequestError | { data: unknown }): void {
    const refusal = outcome instanceof RequestError ? outcome : undefined;
    let payload = this.encode(address, refusal === undefined ? 'ok' : 'error', outcome instanceof RequestError ? null : outcome.data, refusal);
    let error = refusal;
    if (this.send(address, payload) === 'too_large') {
      error = new RequestError('TOO_LARGE', `The response has ${payload.length} bytes, more than may be sent`);
      payload = this.encode(address, 'error', null, error);
      this.send(address, payload);
    }
    this.counts[error === undefined ? 'ok' : 'error']++;
    if (error !== undefined) this.errors[error.code] = (this.errors[error.code] ?? 0) + 1;
    if (key !== null && !NOT_REMEMBERED.has(error?.code ?? '')) this.remembered.put(key, payload);
  }

  private progress(address: Address, status: 'accepted' | 'partial', data: unknown): void {
    this.send(address, this.encode(address, status, data), status === 'partial');
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

  private send({ topic, correlation }: Address, payload: Buffer, optional = false): 'sent' | 'offline' | 'too_large' {
    const properties: ResponseProperties = { contentType: 'application/json', expiryS: RESPONSE_EXPIRY_S, optional };
    if (correlation !== undefined) properties.correlation = correlation;
    return this.options.respond(topic, payload, properties);
  }
}

function shuttingDown(): RequestError {
  return new RequestError('SHUTTING_DOWN', 'The node is stopping');
}
