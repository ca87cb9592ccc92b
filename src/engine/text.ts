/**
 * Ids → the text that a reader sees: the spaces that Hugging Face's decoder removes are removed, and both ends are stripped.
 * The streaming form says the same characters, each as soon as nothing that follows can change it.
 */
import type { Tokenizer } from './tokenizer.js';

/** The fixed list of `clean_up_tokenization_spaces`, in its order: one may make what a later one looks for ("n ' t" → "n't"). */
const RULES: readonly (readonly [string, string])[] = [
  [' .', '.'],
  [' ?', '?'],
  [' !', '!'],
  [' ,', ','],
  [" ' ", "'"],
  [" n't", "n't"],
  [" 'm", "'m"],
  [" 's", "'s"],
  [" 've", "'ve"],
  [" 're", "'re"],
];

export function cleanUp(text: string): string {
  return RULES.reduce((cleaned, [pattern, replacement]) => cleaned.replaceAll(pattern, replacement), text);
}

export function answerText(tokenizer: Tokenizer, ids: Iterable<number>): string {
  const text = tokenizer.decode(ids);
  return (tokenizer.cleanUp ? cleanUp(text) : text).trim();
}

/** One answer as it grows: all pieces joined are exactly answerText() of all ids. */
export class TextStream {
  private readonly decoder = new TextDecoder('utf-8', { ignoreBOM: true });
  private readonly rules: Replacer[];
  private begun = false;
  private gap = ''; // white space that is the end of the text, or inside it if more follows

  constructor(private readonly tokenizer: Tokenizer) {
    this.rules = tokenizer.cleanUp ? RULES.map(([pattern, replacement]) => new Replacer(pattern, replacement)) : [];
  }

  /** The next piece, perhaps empty. */
  push(id: number): string {
    const text = this.decoder.decode(this.tokenizer.bytes(id), { stream: true });
    return this.strip(this.rules.reduce((passed, rule) => rule.push(passed), text));
  }

  /** What was held back. */
  end(): string {
    return this.strip(this.rules.reduce((passed, rule) => rule.push(passed) + rule.end(), this.decoder.decode()));
  }

  private strip(text: string): string {
    const more = this.begun ? this.gap + text : text.trimStart();
    const piece = more.trimEnd();
    this.gap = more.slice(piece.length);
    this.begun ||= piece !== '';
    return piece;
  }
}

/** replaceAll() on a text that comes in parts: what may be the beginning of the pattern is held back. */
class Replacer {
  private held = '';

  constructor(
    private readonly pattern: string,
    private readonly replacement: string,
  ) {}

  push(text: string): string {
    const parts = (this.held + text).split(this.pattern);
    const rest = parts.at(-1) as string;
    let begun = Math.min(rest.length, this.pattern.length - 1);
    while (!this.pattern.startsWith(rest.slice(rest.length - begun))) begun--;
    this.held = rest.slice(rest.length - begun);
    parts[parts.length - 1] = rest.slice(0, rest.length - begun);
    return parts.join(this.replacement);
  }

  end(): string {
    const { held } = this;
    this.held = '';
    return held;
  }
}
