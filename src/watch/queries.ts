/** Questions about frames that somebody asks once. */
import type { Frame } from '../camera/frame.js';
import type { Answer } from '../engine/answer.js';
import type { CallOptions } from '../engine/call.js';
import { MiphaError } from '../errors.js';
import { answerType } from './answer-type.js';
import { Lane, type LaneOptions, type LaneRequest, type LaneTurn } from './lane.js';
import type { Eyes, SeenFrame, Sight, Timing } from './outcome.js';
import { type Part, pictureOf } from './part.js';
import { seenFrame, timingOf } from './seen.js';
import type { AnswerSpec, AnswerType, Value } from './spec.js';

export interface Query extends Part, LaneRequest {
  /** Called when its turn comes, for the newest frame; what it throws, ask() rejects with. */
  frame: () => Frame;
  question: string;
  /** Default: free text. */
  answer?: AnswerSpec | undefined;
  /** Longest free text. */
  maxTokens?: number | undefined;
  /** How long after its capture an answer may be relied upon, in milliseconds: one that would come later is given up. Default: for ever. */
  ttlMs?: number | undefined;
  /** Gets free text in pieces while it is written. */
  onText?: ((piece: string) => void) | undefined;
}

export interface QueryOutcome {
  type: AnswerType;
  value: Value;
  /** What the model wrote. */
  text: string;
  /** See Answer.confidence. */
  confidence: number | null;
  frame: SeenFrame;
  /** `queueMs` and `totalMs` count from the arrival of the query. */
  timing: Timing;
  tokens: { in: number; out: number };
  /** The text ended at a limit, not where the model ended it. */
  truncated: boolean;
}

export class Queries {
  /** Shared with whoever else asks once. */
  readonly lane: Lane;

  constructor(
    private readonly eyes: Eyes,
    options: LaneOptions,
  ) {
    this.lane = new Lane(options);
  }

  get status(): Lane['status'] {
    return this.lane.status;
  }

  /** As Lane.run(); also ERR_DEADLINE with `ttlMs` when the answer would have come after that, and what look() and ask() throw. */
  async ask(query: Query): Promise<QueryOutcome> {
    return await this.lane.run(query, (turn) => this.answer(query, turn));
  }

  private async answer(query: Query, turn: LaneTurn): Promise<QueryOutcome> {
    const frame = query.frame();
    const expiresMs = frame.monotonicMs + (query.ttlMs ?? Number.POSITIVE_INFINITY);
    const giveUp = () => turn.giveUp(expired(query.ttlMs as number));
    const timer = Number.isFinite(expiresMs) ? setTimeout(giveUp, expiresMs - performance.now()) : undefined;
    try {
      const outcome = await this.answerAbout(frame, query, turn);
      if (performance.now() < expiresMs) return outcome;
      throw expired(query.ttlMs as number);
    } finally {
      clearTimeout(timer);
    }
  }

  private async answerAbout(frame: Frame, query: Query, { signal, arrivedMs, waitedMs, call }: LaneTurn): Promise<QueryOutcome> {
    const { answer: spec, crop } = query;
    const letGo = frame.hold?.();
    const seen = await this.eyes.look(pictureOf(frame, query), call()).finally(letGo);
    try {
      signal.throwIfAborted();
      const { answer, truncated } = await ask(seen, query, call());
      const timing = timingOf(seen, answer.timings, performance.now() - arrivedMs);
      return {
        type: spec?.type ?? 'text',
        value: answer.value,
        text: answer.text,
        confidence: answer.confidence,
        frame: seenFrame(frame, crop),
        timing: { ...timing, queueMs: timing.queueMs + waitedMs },
        tokens: { in: answer.tokens.prompt, out: answer.tokens.answer },
        truncated,
      };
    } finally {
      await seen.dispose().catch(() => {}); // only an engine that is gone, and the view with it
    }
  }
}

async function ask(
  seen: Sight,
  { question, answer: spec, maxTokens, onText }: Query,
  call: CallOptions,
): Promise<{ answer: Answer<Value>; truncated: boolean }> {
  if (onText !== undefined && (spec === undefined || spec.type === 'text')) {
    return await stream(seen, question, { ...call, maxTokens }, spec?.max_chars ?? Number.POSITIVE_INFINITY, onText);
  }
  const answer =
    spec === undefined ? await seen.ask<string>(question, { ...call, maxTokens }) : await seen.ask(question, { ...call, as: answerType(spec) });
  return { answer, truncated: answer.finish === 'length' };
}

/** What is longer than `most` characters (code points) is left unwritten. */
async function stream(
  seen: Sight,
  question: string,
  options: NonNullable<Parameters<Sight['stream']>[1]>,
  most: number,
  onText: (piece: string) => void,
): Promise<{ answer: Answer<Value>; truncated: boolean }> {
  const written = seen.stream(question, options);
  let text = '';
  let room = most;
  let cut = false;
  for await (const piece of written) {
    const characters = [...piece];
    const fits = characters.slice(0, room).join('');
    room -= characters.length;
    text += fits;
    if (fits !== '') onText(fits);
    cut = room < 0;
    if (cut) break;
  }
  const answer = await written.answer;
  return cut ? { answer: { ...answer, text, value: text }, truncated: true } : { answer, truncated: answer.finish === 'length' };
}

function expired(ttlMs: number): MiphaError {
  return new MiphaError('ERR_DEADLINE', `The answer would have come more than ttl_ms, ${ttlMs} ms, after its picture`, { details: { ttlMs } });
}
