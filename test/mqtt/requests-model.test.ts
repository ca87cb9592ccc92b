/**
 * Requests against a model of them: asked, asked again, cancelled, answered late or never, refused, stopped, in whatever order. What a repetition
 * of a question may get is written in docs/mqtt.md and tested beside; here it is either the same response again or one of its own.
 */
import { afterEach, it, vi } from 'vitest';
import { RequestError } from '../../src/mqtt/request-error.js';
import { type Handlers, type RequestContext, Requests } from '../../src/mqtt/requests.js';
import type { Incoming } from '../../src/mqtt/wire.js';
import { counts } from '../support/counts.js';
import { type Dice, runSequences } from '../support/sequences.js';
import { topics } from './nodes.js';

type Operation =
  /** `id` null: one that nobody else has. */
  | {
      do: 'ask';
      verb: 'query' | 'camera/restart' | 'health';
      id: number | null;
      by: 'transaction' | 'correlation';
      deadlineMs: number;
      obedient: boolean;
    }
  | { do: 'cancel'; target: number }
  | { do: 'rubbish'; text: string; retained: boolean }
  | { do: 'accept' | 'partial'; which: number }
  | { do: 'end'; which: number; how: 'ok' | 'large' | 'refused' | 'broken' }
  | { do: 'wait'; ms: number }
  /** The broker is away: responses are lost. */
  | { do: 'link'; up: boolean }
  | { do: 'stop' };

const DEDUPE_MS = 5000;

function make({ below, oneOf, weighted }: Dice): Operation[] {
  const one = (): Operation => {
    const kind = weighted({ ask: 35, cancel: 6, rubbish: 3, accept: 8, partial: 5, end: 30, wait: 15, link: 3, stop: 1 });
    switch (kind) {
      case 'ask':
        return {
          do: kind,
          verb: oneOf(['query', 'camera/restart', 'health'] as const),
          id: below(3) === 0 ? null : below(3),
          by: oneOf(['transaction', 'correlation'] as const),
          deadlineMs: oneOf([1, 100, 3000, 60_000]),
          obedient: below(3) > 0,
        };
      case 'cancel':
        return { do: kind, target: below(3) };
      case 'rubbish':
        return { do: kind, text: oneOf(['', '{', '[]', '{"transaction": 7}', '{"deadline_ms": -1}', '\u0000']), retained: below(3) === 0 };
      case 'accept':
      case 'partial':
        return { do: kind, which: below(6) };
      case 'end':
        return { do: kind, which: below(6), how: oneOf(['ok', 'ok', 'ok', 'large', 'refused', 'broken'] as const) };
      case 'wait':
        return { do: kind, ms: oneOf([1, 99, 2000, DEDUPE_MS + 1]) };
      case 'link':
        return { do: kind, up: below(2) === 0 };
      case 'stop':
        return { do: kind };
    }
  };
  return Array.from({ length: 5 + below(50) }, one);
}

function must(rule: string, holds: boolean, more: unknown = ''): void {
  if (!holds) throw new Error(`${rule} ${more === '' ? '' : JSON.stringify(more)}`);
}

interface Final {
  text: string;
  status: string;
  code: string | undefined;
  atMs: number;
}

/** All that was asked under one name. */
interface Name {
  verb: string;
  /** `began`: it was run itself, where a repetition of one under way shares its response. */
  asked: { atMs: number; deadlineMs: number; began: boolean }[];
  runs: number;
  finals: Final[];
  accepted: number;
}

interface Call {
  name: Name;
  context: RequestContext;
  settled: boolean;
  resolve: (data: unknown) => void;
  reject: (error: unknown) => void;
}

async function run(operations: readonly Operation[]): Promise<void> {
  vi.useFakeTimers({ now: 0 });
  const names = new Map<string, Name>();
  const calls: Call[] = [];
  let unique = 0;
  let received = 0;
  let unnamed = 0; // final responses to rubbish
  let up = true;
  let stopped = false;
  let broken: unknown;
  let pending: { name: Name; obedient: boolean } | undefined;
  const rejections: unknown[] = [];
  const onRejection = (error: unknown) => rejections.push(error);
  process.on('unhandledRejection', onRejection);

  const begin = (_: unknown, context: RequestContext): Promise<unknown> => {
    if (pending === undefined) throw new Error('Nothing runs that was not asked for just now.'); // an answer of this test's own: counted as a fault
    const { name, obedient } = pending;
    const last = name.finals.find(({ text }) => text === name.finals.at(-1)?.text); // repetitions do not lengthen the memory
    const remembered = name.verb === 'camera/restart' && last?.status === 'ok' && performance.now() - last.atMs < DEDUPE_MS;
    if (remembered) broken ??= new Error('What changes something is not done twice for the same request.');
    if (stopped) broken ??= new Error('Nothing begins after stop().');
    name.runs++;
    return new Promise((resolve, reject) => {
      const call: Call = { name, context, settled: false, resolve, reject };
      calls.push(call);
      if (obedient) {
        context.signal.addEventListener('abort', () => {
          if (call.settled) return;
          call.settled = true;
          reject(context.signal.reason);
        });
      }
    });
  };
  const handlers = new Proxy({}, { get: () => begin }) as Handlers;
  const requests = new Requests({
    topics,
    base: 'mipha',
    node: 'node-1',
    handlers,
    respond: (_topic, payload, { correlation }) => {
      const text = payload.toString();
      if (text.length > 2000) return 'too_large';
      const { status, error, verb, transaction } = JSON.parse(text);
      const id = transaction ?? correlation?.toString() ?? null;
      const name = names.get(`${verb} ${id}`);
      if (status === 'accepted' && name !== undefined && ++name.accepted > name.runs) broken ??= new Error('A run is accepted once.');
      if (status === 'ok' || status === 'error') {
        if (name === undefined) unnamed++;
        else name.finals.push({ text, status, code: error?.code, atMs: performance.now() });
      }
      return up ? 'sent' : 'offline';
    },
    requestBytes: 65_536,
    deadlineMs: 30_000,
    dedupeMs: DEDUPE_MS,
    replyTopics: [],
    onFault: () => {},
  });
  /** As the node does it: what the name of the topic says beside the message. */
  const handle = (verb: string, body: string, more: Partial<Incoming> = {}) => {
    const message = { topic: topics.request(verb), payload: Buffer.from(body), retained: false, duplicate: false, ...more };
    received++;
    (requests.handle as (message: Incoming, target: unknown) => void).call(requests, message, topics.parse(message.topic));
  };
  const settle = async () => {
    for (let i = 0; i < 20; i++) await null;
    if (broken !== undefined) throw broken;
  };
  const waiting = () => calls.filter(({ settled }) => !settled);
  const check = () => {
    must('A timer runs only for what is under way.', vi.getTimerCount() <= waiting().length, vi.getTimerCount());
    const now = performance.now();
    for (const [key, name] of names) {
      const { asked, finals, runs } = name;
      must('No more is answered than was asked.', finals.length <= asked.length, { key, asked: asked.length, finals });
      const due = asked.filter(({ atMs, deadlineMs, began }) => began && atMs + deadlineMs <= now);
      must(
        'What was asked is answered by its deadline.',
        due.length === 0 || finals.some(({ atMs }) => atMs >= (due.at(-1) as { atMs: number }).atMs),
        {
          key,
          asked,
          finals,
        },
      );
      must('Nothing runs more often than it was asked.', runs <= asked.length, key);
      if (stopped) must('After stop() everything is answered.', finals.length > 0, key);
    }
  };

  try {
    for (const operation of operations) {
      switch (operation.do) {
        case 'ask': {
          const { verb, id, by, deadlineMs, obedient } = operation;
          const named = `${by[0]}${id ?? `u${unique++}`}`;
          const key = `${verb} ${named}`;
          const name = names.get(key) ?? { verb, asked: [], runs: 0, finals: [], accepted: 0 };
          names.set(key, name);
          const before = { runs: name.runs, finals: name.finals.length, last: name.finals.at(-1) };
          const underWay = name.asked.some(({ atMs }) => !name.finals.some((final) => final.atMs >= atMs)) || before.runs > before.finals;
          const asked = { atMs: performance.now(), deadlineMs, began: false };
          name.asked.push(asked);
          pending = { name, obedient };
          const body = {
            ...(verb === 'query' ? { question: 'lamp?' } : verb === 'camera/restart' ? { camera: 'kitchen' } : {}),
            deadline_ms: deadlineMs,
            ...(by === 'transaction' ? { transaction: named } : {}),
          };
          handle(verb, JSON.stringify(body), by === 'correlation' ? { correlation: Buffer.from(named) } : {});
          pending = undefined;
          await settle();
          const began = name.runs > before.runs;
          asked.began = began;
          const answered = name.finals.length > before.finals;
          must('What is asked begins, is answered, or is a repetition of what is under way.', began || answered || underWay, key);
          const repeats = answered && !began && before.last !== undefined && name.finals.at(-1)?.code === before.last.code && !stopped;
          if (repeats) must('A repetition gets the very same response.', name.finals.at(-1)?.text === before.last?.text, key);
          break;
        }
        case 'cancel': {
          const key = `cancel c${unique}`;
          const target = `t${operation.target}`;
          const targets = [...names].filter(([of]) => of.endsWith(` ${target}`)).map(([, name]) => ({ name, finals: name.finals.length }));
          names.set(key, {
            verb: 'cancel',
            asked: [{ atMs: performance.now(), deadlineMs: 30_000, began: false }],
            runs: 0,
            finals: [],
            accepted: 0,
          });
          handle('cancel', JSON.stringify({ target, transaction: `c${unique++}` }));
          await settle();
          const [final] = names.get(key)?.finals ?? [];
          must('A cancellation is answered at once.', final !== undefined, key);
          if (final?.status !== 'ok' || !JSON.parse(final.text).data.cancelled) break;
          const ended = targets.filter(({ name, finals }) => name.finals.length > finals);
          must(
            'What is said to be cancelled has ended so.',
            ended.length > 0 && ended.every(({ name }) => name.finals.at(-1)?.code === 'CANCELLED'),
            key,
          );
          break;
        }
        case 'rubbish':
          if (operation.retained && operation.text === '') {
            handle('query', '', { retained: true });
            received--; // somebody clears a retained command
          } else {
            handle('query', operation.text, { retained: operation.retained });
            await settle();
          }
          break;
        case 'accept':
        case 'partial': {
          const call = waiting()[operation.which % Math.max(1, waiting().length)];
          const finals = call?.name.finals.length;
          if (operation.do === 'accept') call?.context.accepted();
          else call?.context.partial('piece');
          must('Progress is no outcome.', finals === call?.name.finals.length);
          break;
        }
        case 'end': {
          const call = waiting()[operation.which % Math.max(1, waiting().length)];
          if (call === undefined) break;
          call.settled = true;
          if (operation.how === 'ok' || operation.how === 'large') call.resolve({ text: operation.how === 'ok' ? `${unique++}` : 'x'.repeat(3000) });
          else call.reject(operation.how === 'refused' ? new RequestError('NO_FRAME', 'none yet') : new TypeError('on purpose'));
          break;
        }
        case 'wait':
          await vi.advanceTimersByTimeAsync(operation.ms);
          break;
        case 'link':
          up = operation.up;
          break;
        case 'stop':
          stopped = true;
          requests.stop();
          break;
      }
      await settle();
      check();
    }
    await vi.advanceTimersByTimeAsync(60_000);
    for (const call of waiting()) {
      call.settled = true;
      call.resolve({ late: true }); // it never listened
    }
    await settle();
    check();
    const stats = requests.stats();
    const finals = [...names.values()].reduce((sum, name) => sum + name.finals.length, 0) + unnamed;
    must('In the end nothing is active.', stats.active === 0, stats);
    must('Every final response counts once, as a first or as a repetition.', stats.ok + stats.error + stats.repeated === finals, { stats, finals });
    must('Every request was counted.', stats.received === received, { stats, received });
    must('Errors are counted by their code.', Object.values(stats.errors).reduce((sum, count) => sum + count, 0) === stats.error, stats);
    must('No timer is left.', vi.getTimerCount() === 0, vi.getTimerCount());
    must('No rejection is left unhandled.', rejections.length === 0, rejections.map(String));
  } finally {
    process.off('unhandledRejection', onRejection);
    vi.useRealTimers();
  }
}

afterEach(() => {
  vi.useRealTimers();
});

it(
  'requests are answered once and in time, whatever happens in whatever order',
  async () => {
    await runSequences(counts(200, 10_000), { make, run });
  },
  counts(60_000, 1_200_000),
);
