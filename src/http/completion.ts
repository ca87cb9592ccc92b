/** Answers in the shape of the interface, whole and in pieces. */
import { randomUUID } from 'node:crypto';
import type { ChatAnswer, Model } from './answerer.js';

type Fields = Record<string, unknown>;

/** What the parts of one answer have in common. */
export class Completion {
  private readonly id = `chatcmpl-${randomUUID()}`;
  private readonly created = Math.floor(Date.now() / 1000);

  constructor(
    private readonly model: Model,
    private readonly logprobs: boolean,
  ) {}

  whole(answer: ChatAnswer): Fields {
    const message = { role: 'assistant', content: answer.text, refusal: null };
    const choice = { index: 0, message, logprobs: this.logprobsOf(answer), finish_reason: answer.finish };
    return { ...this.head('chat.completion'), choices: [choice], usage: usageOf(answer), mipha: oursOf(answer) };
  }

  /** The first says who speaks, the others what. */
  piece(delta: { role: 'assistant'; content: '' } | { content: string }, answer?: ChatAnswer): Fields {
    return this.chunk(delta, null, answer === undefined ? null : this.logprobsOf(answer));
  }

  last(answer: ChatAnswer): Fields {
    return { ...this.chunk({}, answer.finish, null), mipha: oursOf(answer) };
  }

  usage(answer: ChatAnswer): Fields {
    return { ...this.head('chat.completion.chunk'), choices: [], usage: usageOf(answer) };
  }

  private chunk(delta: Fields, finish: string | null, logprobs: Fields | null): Fields {
    return { ...this.head('chat.completion.chunk'), choices: [{ index: 0, delta, logprobs, finish_reason: finish }] };
  }

  private head(object: string): Fields {
    const { name, revision } = this.model;
    return { id: this.id, object, created: this.created, model: name, system_fingerprint: revision };
  }

  /** The whole value as one token: its probability among all values that the schema allows. */
  private logprobsOf({ text, confidence }: ChatAnswer): Fields | null {
    if (!this.logprobs || confidence === null) return null;
    const logprob = confidence > 0 ? Math.log(confidence) : -9999;
    return { content: [{ token: text, logprob, bytes: [...Buffer.from(text)], top_logprobs: [] }], refusal: null };
  }
}

function usageOf({ tokens: { prompt, cached, image, answer } }: ChatAnswer): Fields {
  return {
    prompt_tokens: prompt,
    completion_tokens: answer,
    total_tokens: prompt + answer,
    prompt_tokens_details: { cached_tokens: cached, image_tokens: image },
  };
}

function oursOf({ confidence, frame, timings }: ChatAnswer): Fields {
  return { confidence, frame, timings };
}
