/** Chat completions, answered by the node's own model in the lane of all queries. */
import { createHash } from 'node:crypto';
import type { Frame } from '../../camera/frame.js';
import { type Answer, Question } from '../../engine/answer.js';
import { checkHistory } from '../../engine/conversation.js';
import { MiphaError } from '../../errors.js';
import type { Answerer, ChatAnswer, ChatJob, Model } from '../../http/answerer.js';
import { Problem } from '../../http/problem.js';
import { Stops } from '../../http/stops.js';
import type { Lane, LaneTurn } from '../../watch/lane.js';
import { pictureOf, WHOLE } from '../../watch/part.js';
import type { ChatModel, ChatSight, ChatTalk } from './chat-model.js';
import type { KeptPicture } from './kept-picture.js';

/** What answers now. */
export interface ChatSources {
  model: ChatModel;
  lane: Lane;
  kept: KeptPicture;
}

export interface ChatOptions {
  /** Null while the model is being loaded. */
  sources: () => ChatSources | null;
  /** For requests that name none. */
  deadlineMs: () => number;
  /** Others wait in the lane too, and must find room there. Default false. */
  guest?: boolean | undefined;
  /** The newest frame of a camera; throws a Problem. Without: there are no cameras. */
  frame?: ((camera: string, maxAgeMs: number | undefined, param: string) => Frame) | undefined;
  /** Throws a Problem where free questions are not taken. */
  checkAllowed?: (() => void) | undefined;
  onAnswered?: ((answer: ChatAnswer | null) => void) | undefined;
}

export class Chat implements Answerer {
  constructor(private readonly options: ChatOptions) {}

  model(): Model {
    const { name, revision, context } = this.sources().model;
    return { name, revision, context };
  }

  checkRoom(): void {
    this.options.checkAllowed?.();
    const refusal = this.sources().lane.refusal({ guest: this.options.guest });
    if (refusal !== undefined) throw refusal;
  }

  async answer(job: ChatJob, { signal, onText }: Parameters<Answerer['answer']>[1]): Promise<ChatAnswer> {
    const { sources, options } = { sources: this.sources(), options: this.options };
    new Question('ask', job.question, optionsOf(job), []); // what is wrong with it is said before it waits
    checkHistory(job.history);
    const { picture } = job;
    if (picture?.kind === 'camera') this.frame(picture, job.maxAgeMs);
    try {
      const request = { priority: job.priority, deadlineMs: job.deadlineMs ?? options.deadlineMs(), signal, guest: options.guest };
      const answer = await sources.lane.run(request, (turn) => this.inTurn(job, turn, sources, onText));
      options.onAnswered?.(answer);
      return answer;
    } catch (error) {
      options.onAnswered?.(null);
      throw error;
    }
  }

  private async inTurn(job: ChatJob, turn: LaneTurn, { model, kept }: ChatSources, onText?: OnText): Promise<ChatAnswer> {
    const { picture } = job;
    const frame = picture?.kind === 'camera' ? this.frame(picture, job.maxAgeMs) : null; // the newest one now that its turn has come
    const seen = picture === null ? null : await this.see(frame, picture, turn, { model, kept });
    try {
      turn.signal.throwIfAborted();
      const answer = await asked(job, seen?.view ?? model, turn, onText);
      return outcomeOf(answer, job, seen, frame, turn);
    } finally {
      if (seen !== null) kept.keep(seen.key, seen.view);
    }
  }

  private async see(
    frame: Frame | null,
    picture: NonNullable<ChatJob['picture']>,
    turn: LaneTurn,
    { model, kept }: Pick<ChatSources, 'model' | 'kept'>,
  ) {
    const key = picture.kind === 'bytes' ? createHash('sha256').update(picture.bytes).digest('base64') : `frame ${frame?.id}`;
    const letGo = frame?.hold?.();
    try {
      const known = await kept.take(key);
      if (known !== undefined) return { key, view: known, again: true };
      const view = await model.look(picture.kind === 'bytes' ? picture.bytes : pictureOf(frame as Frame, WHOLE), turn.call());
      return { key, view, again: false };
    } finally {
      letGo?.();
    }
  }

  private frame({ camera, param }: { camera: string; param: string }, maxAgeMs: number | undefined): Frame {
    const { frame } = this.options;
    if (frame === undefined) throw new Problem(400, `${param}: expected a data: URL: there are no cameras here`, { code: 'unknown_camera', param });
    return frame(camera, maxAgeMs, param);
  }

  private sources(): ChatSources {
    const sources = this.options.sources();
    if (sources !== null) return sources;
    throw new Problem(503, 'The model is being loaded', { code: 'model_loading', retryAfterMs: 2000 });
  }
}

interface Seen {
  view: ChatSight;
  key: string;
  /** It had been looked at for a request before. */
  again: boolean;
}

type OnText = (piece: string) => void;

async function asked(job: ChatJob, place: Pick<ChatModel, 'converse'>, turn: LaneTurn, onText?: OnText): Promise<Answer<unknown>> {
  const { history, question, schema, maxTokens, stops } = job;
  const options = () => ({ ...sampling(job), ...turn.call() });
  const talk = await place.converse({ ...turn.call(), history });
  try {
    if (schema !== null) return await talk.ask(question, { ...options(), as: schema as never });
    const inPieces = onText !== undefined || stops.length > 0;
    return await fitted(maxTokens, async (most) => {
      if (!inPieces) return await talk.ask(question, { ...options(), maxTokens: most });
      return await written(talk.stream(question, { ...options(), maxTokens: most }), stops, onText);
    });
  } finally {
    await talk.dispose().catch(() => {}); // only an engine that is gone
  }
}

async function written(stream: ReturnType<ChatTalk['stream']>, ends: readonly string[], onText: OnText = () => {}): Promise<Answer> {
  const stops = new Stops(ends);
  let text = '';
  const show = (piece: string) => {
    if (piece === '') return;
    text += piece;
    onText(piece);
  };
  for await (const piece of stream) {
    show(stops.push(piece));
    if (stops.reached) break;
  }
  show(stops.end());
  const answer = await stream.answer;
  return { ...answer, text, finish: stops.reached ? 'stop' : answer.finish };
}

/** So many tokens are wanted at most; where the context has fewer left, these. */
async function fitted<T>(wanted: number, attempt: (most: number) => Promise<T>): Promise<T> {
  try {
    return await attempt(wanted);
  } catch (error) {
    if (!(error instanceof MiphaError) || error.code !== 'ERR_CONTEXT_FULL') throw error;
    const { neededTokens, availableTokens } = error.details;
    if (neededTokens !== wanted || !(availableTokens >= 1 && availableTokens < wanted)) throw error;
    return await attempt(availableTokens);
  }
}

function optionsOf(job: ChatJob) {
  return { ...sampling(job), ...(job.schema === null ? { maxTokens: job.maxTokens } : { as: job.schema as never }) };
}

function sampling({ temperature, topP, seed }: ChatJob) {
  return { ...(temperature === undefined ? {} : { temperature }), ...(topP === undefined ? {} : { topP }), ...(seed === undefined ? {} : { seed }) };
}

function outcomeOf(answer: Answer<unknown>, { schema, picture }: ChatJob, seen: Seen | null, frame: Frame | null, turn: LaneTurn): ChatAnswer {
  const look = seen === null || seen.again ? { queueMs: 0, preprocessMs: 0, visionMs: 0, prefillMs: 0 } : seen.view.timings;
  const { queueMs, prefillMs, decodeMs } = answer.timings;
  const image = seen?.view.imageTokens ?? 0;
  const { prompt, reused } = answer.tokens;
  const round = (ms: number) => Math.round(ms * 1000) / 1000;
  return {
    text: schema === null ? answer.text : JSON.stringify(answer.value),
    confidence: answer.confidence,
    finish: schema === null && answer.finish === 'length' ? 'length' : 'stop',
    tokens: { prompt, cached: Math.max(0, seen?.again === true ? reused : reused - image), image, answer: answer.tokens.answer },
    frame: frame === null || picture?.kind !== 'camera' ? null : { camera: picture.camera, id: frame.id, ts: frame.at.toISOString() },
    timings: {
      queue_ms: round(turn.waitedMs + look.queueMs + queueMs),
      prep_ms: round(look.preprocessMs),
      vision_ms: round(look.visionMs),
      prefill_ms: round(look.prefillMs + prefillMs),
      decode_ms: round(decodeMs),
      total_ms: round(performance.now() - turn.arrivedMs),
    },
  };
}
