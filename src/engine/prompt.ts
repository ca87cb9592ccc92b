/**
 * Questions → ids, in the words the model was trained with. The text before and after the picture is tokenized separately, because the
 * original splits there; so the ids before it are the same for every question and their cache rows are computed once per engine.
 */
import { MiphaError } from '../errors.js';
import type { PromptTemplate } from '../package/manifest.js';
import { IMAGE } from '../package/prompts.js';
import type { Opening } from './pre-tokenizer.js';
import type { Tokenizer } from './tokenizer.js';

/** The line that makes the model answer in a word, as in its training data. */
export const SHORT = 'Answer the question using a single word or phrase.';

/** A finished turn of a conversation; `answer` is the cleaned text. */
export interface Turn {
  question: string;
  answer: string;
}

/** Standing questions are asked again and again: the ids of so many are kept, those lately asked. */
const KEPT_QUESTIONS = 64;
/** A longer one is not worth keeping; characters. */
const KEPT_CHARS = 4096;

export class Prompt {
  /** Ids before the picture. */
  readonly prefix: Int32Array;
  /** Ids that end an answer. */
  readonly stopIds: Int32Array;
  private readonly afterImage: string;
  private readonly begin: readonly number[];
  private readonly endId: number;
  /** What stands in the template as a token. */
  private readonly tokens: ReadonlyMap<string, number>;
  private readonly asked = new Map<string, Int32Array>(); // by question, ids after the picture

  /** Throws ERR_MODEL_FORMAT when the tokenizer lacks a token of the template. */
  constructor(
    private readonly tokenizer: Tokenizer,
    private readonly template: PromptTemplate,
    /** Positions of the model: a longer question is refused before it is tokenized. */
    private readonly context: number,
  ) {
    const [before, after, more] = template.image.split(IMAGE);
    if (before === undefined || after === undefined || more !== undefined) {
      throw new MiphaError('ERR_MODEL_FORMAT', `prompt.image: expected exactly one ${IMAGE}, received ${JSON.stringify(template.image)}`);
    }
    this.afterImage = after;
    this.begin = template.begin === undefined ? [] : [tokenizer.specialId(template.begin)];
    this.endId = tokenizer.specialId(template.end);
    this.stopIds = Int32Array.from(template.stops, (token) => tokenizer.specialId(token));
    this.tokens = new Map(template.tokens.map((token) => [token, tokenizer.specialId(token)]));
    const writer = this.writer('apart', this.begin);
    writer.template(template.system + template.user + before);
    this.prefix = writer.end();
  }

  /** Ids after the picture, not to be written to. `history` are the turns before this question, oldest first. */
  afterPicture(question: string, history: readonly Turn[] = []): Int32Array {
    const isKept = history.length === 0 && question.length <= KEPT_CHARS;
    const ids =
      (isKept ? this.asked.get(question) : undefined) ?? this.turns(this.writer(this.template.afterPicture), this.afterImage, question, history);
    if (isKept) this.keep(question, ids);
    return ids;
  }

  private keep(question: string, ids: Int32Array): void {
    this.asked.delete(question); // to the end
    this.asked.set(question, ids);
    for (const oldest of this.asked.keys()) if (this.asked.size > KEPT_QUESTIONS) this.asked.delete(oldest);
  }

  /** The whole prompt of a question without a picture. */
  textOnly(question: string, history: readonly Turn[] = []): Int32Array {
    return this.turns(this.writer('apart', this.begin), this.template.system + this.template.user, question, history);
  }

  private turns(writer: Writer, opening: string, question: string, history: readonly Turn[]): Int32Array {
    const { user, assistant, answer } = this.template;
    writer.template(opening);
    for (const turn of history) {
      writer.words(turn.question);
      writer.template(assistant + answer);
      writer.words(turn.answer);
      writer.token(this.endId);
      writer.template(user);
    }
    writer.words(question);
    writer.template(assistant);
    return writer.end();
  }

  private writer(opening: Opening, ids: readonly number[] = []): Writer {
    return new Writer(this.tokenizer, this.tokens, this.context, opening, [...ids]);
  }
}

/** Text up to the next token is tokenized in one, whoever wrote which part of it. */
class Writer {
  private text = '';

  constructor(
    private readonly tokenizer: Tokenizer,
    private readonly tokens: ReadonlyMap<string, number>,
    private readonly context: number,
    private opening: Opening,
    private readonly ids: number[],
  ) {}

  /** Text of a person or a model: never a token. */
  words(text: string): void {
    this.text += text;
  }

  template(text: string): void {
    let rest = text;
    for (;;) {
      const found = [...this.tokens].map(([token, id]) => ({ token, id, at: rest.indexOf(token) })).filter(({ at }) => at >= 0);
      const [next] = found.sort((a, b) => a.at - b.at);
      if (next === undefined) break;
      this.words(rest.slice(0, next.at));
      this.token(next.id);
      rest = rest.slice(next.at + next.token.length);
    }
    this.words(rest);
  }

  token(id: number): void {
    this.flush();
    this.ids.push(id);
    this.opening = 'continued';
  }

  end(): Int32Array {
    this.flush();
    return Int32Array.from(this.ids);
  }

  private flush(): void {
    const { text, context } = this;
    this.text = '';
    if (text === '') return;
    const fewest = Math.ceil(text.length / this.tokenizer.longestToken);
    if (fewest > context) {
      throw new MiphaError('ERR_CONTEXT_FULL', `The question is at least ${fewest} tokens long, the model has ${context} positions`, {
        details: { neededTokens: fewest, availableTokens: context },
      });
    }
    for (const id of this.tokenizer.encode(text, this.opening)) this.ids.push(id);
  }
}

/** The question with a line that says how to answer, unless it ends with that line already. */
export function withSuffix(question: string, suffix: string): string {
  return suffix === '' || question.trimEnd().endsWith(suffix) ? question : `${question}\n${suffix}`;
}
