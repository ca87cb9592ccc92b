/** Nodes without cameras and models: the real link, intake and outlet around a lane that takes as long as a test says. */
import { randomUUID } from 'node:crypto';
import { Link } from '../../src/mqtt/link.js';
import { type Result, SCHEMA_VERSION, Stamp } from '../../src/mqtt/messages.js';
import { RequestError } from '../../src/mqtt/request-error.js';
import { type Handlers, type RequestContext, Requests } from '../../src/mqtt/requests.js';
import { topicsOf } from '../../src/mqtt/topics.js';
import { LoadReporter } from '../../src/service/publish/load-reporter.js';
import { Outlet } from '../../src/service/publish/outlet.js';
import { startTcpProxy } from '../support/tcp-proxy.js';

export interface SimulatedOptions {
  id: string;
  askMs?: number;
  limit?: number;
  model?: string;
  labels?: Record<string, string>;
  cameras?: string[];
  watches?: string[];
  protocol?: '5' | '3.1.1';
  username?: string;
  passwordFile?: string;
}

export interface Simulated extends AsyncDisposable {
  readonly id: string;
  /** May be changed at any time. */
  askMs: number;
  /** Takes requests and says nothing. */
  mute: boolean;
  /** Requests do not reach it, as during a blip that nobody is told of. */
  deaf: boolean;
  /** Transactions of all queries that were begun, in order; and of those that were given up. */
  readonly begun: string[];
  readonly dropped: string[];
  drain(draining: boolean): void;
  /** What comes of the next queries instead of an answer. */
  fail(error: RequestError | null): void;
  /** Like SIGKILL: its connection is cut, nothing more leaves it, and nothing reaches it. */
  kill(): void;
  close(): Promise<void>;
}

/** A pause that ends early, rejecting, when the signal aborts. */
function nap(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((done, fail) => {
    const abort = () => {
      clearTimeout(timer);
      fail(signal.reason);
    };
    const timer = setTimeout(() => {
      signal.removeEventListener('abort', abort);
      done();
    }, ms);
    signal.addEventListener('abort', abort, { once: true });
  });
}

/** `broker.port`: of several, the first where somebody listens, at each connect. */
export async function simulate(broker: { readonly port: number | readonly number[] }, options: SimulatedOptions): Promise<Simulated> {
  const { id, limit = 16, model = 'mipha-3b', labels = {}, cameras = ['front'], watches = [], protocol = '5', username, passwordFile } = options;
  const proxy = await startTcpProxy(broker.port);
  const session = randomUUID();
  const topics = topicsOf('mipha', id);
  const stamp = new Stamp(id, session);
  const link = new Link({
    url: `mqtt://127.0.0.1:${proxy.port}`,
    protocol,
    username,
    passwordFile,
    clientId: `mipha-${id}`,
    keepaliveS: 15,
    maxPacketBytes: 1_000_000,
    topics,
    session,
    timing: { firstMs: 50, mostMs: 200, refusedMs: 100 },
  });
  const outlet = new Outlet(link.outbox);
  let draining = false;
  let failure: RequestError | null = null;
  let waiting = 0;
  let lane: Promise<unknown> = Promise.resolve();
  const lately: number[] = [];

  const common = () => ({ v: SCHEMA_VERSION, ts: new Date().toISOString(), session, node: id });
  const tellInfo = () =>
    outlet.state(topics.info, {
      ...common(),
      version: '0.0.0-test',
      labels,
      draining,
      models: [{ id: model, rev: 'r1', release: null, state: 'ready' }],
      cameras: cameras.map((camera) => ({ id: camera, uri: 'synthetic://kitchen', enabled: true, images: false })),
      watches: watches.map((watch) => ({ id: watch })),
    });
  const load = new LoadReporter(() => {
    if (!link.connected) return;
    const usual_ms = [...lately].sort((a, b) => a - b)[lately.length >> 1] ?? null;
    outlet.health(topics.load, { ...common(), queue: { waiting, limit, rejected: 0, usual_ms }, busy_ratio: 0, draining });
  });

  const query = async (_: unknown, call: RequestContext): Promise<Partial<Result>> => {
    const transaction = call.transaction as string;
    if (failure !== null) throw failure;
    if (draining) throw new RequestError('DRAINING', 'drained');
    if (waiting >= limit) throw new RequestError('QUEUE_FULL', 'full', { retryAfterMs: 20 });
    waiting++;
    load.changed();
    try {
      if (node.mute) await nap(600_000, call.signal);
      call.accepted();
      const turn = lane.then(async () => {
        call.signal.throwIfAborted();
        const beganMs = performance.now();
        node.begun.push(transaction);
        await nap(node.askMs, call.signal);
        lately.push(performance.now() - beganMs);
        if (lately.length > 31) lately.shift();
      });
      lane = turn.catch(() => {});
      await turn;
      call.about({ capturedMs: performance.now(), maxAgeMs: 60_000, ttlMs: 60_000 });
      return answer(transaction);
    } catch (error) {
      node.dropped.push(transaction);
      throw error;
    } finally {
      waiting--;
      load.changed();
    }
  };
  const answer = (transaction: string): Result => ({
    ...stamp.next('answers'),
    camera: 'front',
    watch: null,
    transaction,
    trigger: 'request',
    status: 'ok',
    type: 'boolean',
    value: true,
    observed: true,
    compare: null,
    answer: 'Yes',
    confidence: 1,
    changed: false,
    stable_count: 1,
    valid_until: new Date(Date.now() + 60_000).toISOString(),
    frame: null,
    model: { id: model, rev: 'r1' },
    timing: null,
    tokens: null,
    truncated: false,
    error: null,
  });
  const requests = new Requests({
    topics,
    base: 'mipha',
    node: id,
    handlers: { query, health: async () => ({ session }) } as unknown as Handlers,
    respond: (topic, payload, properties) => (node.mute ? 'sent' : link.outbox.respond(topic, payload, properties)),
    requestBytes: 65_536,
    deadlineMs: 30_000,
    dedupeMs: 60_000,
    replyTopics: [],
  });
  link.on('message', (message) => {
    const target = topics.parse(message.topic);
    if (target?.kind === 'request' && !node.deaf) requests.handle(message, target);
  });
  link.on('online', () => load.changed());
  tellInfo();
  await link.start();

  const close = async () => {
    requests.stop();
    load.stop();
    await link.stop(500);
    await proxy.close();
  };
  const node: Simulated = {
    id,
    askMs: options.askMs ?? 10,
    mute: false,
    deaf: false,
    begun: [],
    dropped: [],
    drain(on) {
      draining = on;
      tellInfo();
      load.changed();
    },
    fail(error) {
      failure = error;
    },
    kill() {
      proxy.refuse(true);
      proxy.cut();
    },
    close,
    [Symbol.asyncDispose]: close,
  };
  return node;
}
