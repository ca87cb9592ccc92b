/**
 * Questions → ids, in the words the model was trained with. The text before and after the picture is tokenized separately, because the
 * original splits there; so the ids before it are the same for every question and their cache rows are computed once per engine.
 */
import { MiphaError } from '../errors.js';
import type { PromptTemplate } from '../package/manifest.js';
import type { Tokenizer } from './tokenizer.js';

/** The line that makes the model answer in a word, as in its training data. */
export const SHORT = 'Answer the question using a single word or phrase.';

/** A finished turn of a conversation; `answer` is the cleaned text. */
export interface Turn {
  question: string;
  answer: string;
}

const IMAGE = '<image>';

export class Prompt {
  /** Ids before the picture. */
  readonly prefix: Int32Array;
  private readonly afterImage: string;
  private readonly endId: number;

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
    this.prefix = Int32Array.from(tokenizer.encode(template.system + template.user + before));
    this.afterImage = after;
    this.endId = tokenizer.specialId(template.end);
  }

  /** Ids after the picture. `history` are the turns before this question, oldest first. */
  afterPicture(question: string, history: readonly Turn[] = []): Int32Array {
    return this.turns(this.afterImage, question, history);
  }

  /** The whole prompt of a question without a picture. */
  textOnly(question: string, history: readonly Turn[] = []): Int32Array {
    return this.turns(this.template.system + this.template.user, question, history);
  }

  private turns(opening: string, question: string, history: readonly Turn[]): Int32Array {
    const { user, assistant } = this.template;
    const ids: number[] = [];
    let start = opening;
    for (const turn of history) {
      this.append(ids, `${start}${turn.question}${assistant} ${turn.answer}`);
      ids.push(this.endId);
      start = user;
    }
    this.append(ids, `${start}${question}${assistant}`);
    return Int32Array.from(ids);
  }

  private append(ids: number[], text: string): void {
    const fewest = Math.ceil(text.length / this.tokenizer.longestToken);
    if (fewest > this.context) {
      throw new MiphaError('ERR_CONTEXT_FULL', `The question is at least ${fewest} tokens long, the model has ${this.context} positions`, {
        details: { neededTokens: fewest, availableTokens: this.context },
      });
    }
    for (const id of this.tokenizer.encode(text)) ids.push(id);
  }
}

/** The question with a line that says how to answer, unless it ends with that line already. */
export function withSuffix(question: string, suffix: string): string {
  return suffix === '' || question.trimEnd().endsWith(suffix) ? question : `${question}\n${suffix}`;
}
