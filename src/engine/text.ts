/**
 * Ids → the text that a reader sees: the spaces that Hugging Face's decoder removes are removed, and both ends are stripped.
 * The streaming form says the same characters, each as soon as nothing that follows can change it.
 */
import type { Tokenizer } from './tokenizer.js';

/** The fixed list of `clean_up_tokenization_spaces`, in its order. Every rule only removes spaces. */
const RULES: readonly [RegExp, string][] = [
  [/ \./g, '.'],
  [/ \?/g, '?'],
  [/ !/g, '!'],
  [/ ,/g, ','],
  [/ ' /g, "'"],
  [/ n't/g, "n't"],
  [/ 'm/g, "'m"],
  [/ 's/g, "'s"],
  [/ 've/g, "'ve"],
  [/ 're/g, "'re"],
];

export function cleanUp(text: string): string {
  return RULES.reduce((cleaned, [pattern, replacement]) => cleaned.replace(pattern, replacement), text);
}

export function answerText(tokenizer: Tokenizer, ids: Iterable<number>): string {
  const text = tokenizer.decode(ids);
  return (tokenizer.cleanUp ? cleanUp(text) : text).trim();
}

/** One answer as it grows: all pieces joined are exactly answerText() of all ids. */
export class TextStream {
  private readonly decoder = new TextDecoder('utf-8', { ignoreBOM: true });
  private raw = '';
  private emitted = 0; // UTF-16 units of the final text

  constructor(private readonly tokenizer: Tokenizer) {}

  /** The next piece, perhaps empty. */
  push(id: number): string {
    this.raw += this.decoder.decode(this.tokenizer.bytes(id), { stream: true });
    return this.emit(this.raw.slice(0, this.tokenizer.cleanUp ? settled(this.raw) : this.raw.length));
  }

  /** What was held back. */
  end(): string {
    this.raw += this.decoder.decode();
    return this.emit(this.raw);
  }

  private emit(raw: string): string {
    const text = (this.tokenizer.cleanUp ? cleanUp(raw) : raw).trim();
    const piece = text.slice(this.emitted);
    this.emitted = Math.max(this.emitted, text.length);
    return piece;
  }
}

/**
 * How much of the text no later character can change. A rule starts at a space, and only " ' " has a space inside or at its end, so rules on
 * the two sides of a run of spaces that does not follow an apostrophe never meet. The last run itself is settled once the characters
 * behind it start no rule.
 */
function settled(raw: string): number {
  if (!raw.includes(' ')) return raw.length;
  let run = raw.length;
  do {
    run = raw.lastIndexOf(' ', run - 1);
    while (run > 0 && raw[run - 1] === ' ') run--;
  } while (run > 0 && raw[run - 1] === "'");
  if (run < 0) return 0;
  return /^ +(?:[^ .?!,'n]|n[^ '])[^ ]*$/.test(raw.slice(run)) ? raw.length : run;
}
