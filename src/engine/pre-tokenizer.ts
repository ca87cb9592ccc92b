/**
 * The original's pre-tokenizers in terms of those that @huggingface/tokenizers computes alike. What differs there: its `\s` inside of ByteLevel is
 * JavaScript's (lacks U+0085, has U+FEFF), its digits are ASCII, its Metaspace leaves words together, and its Split keeps separators apart.
 */
import { type PreTokenizer, preTokenizersOf, SPACE, type TokenizerJson } from '../package/tokenizer-json.js';

/** Whether what is tokenized is a text of its own, or goes on behind a token. */
export type Opening = 'apart' | 'continued';

/** GPT-2's words. */
const GPT2 = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\p{White_Space}\\p{L}\\p{N}]+|\\p{White_Space}+(?!\\P{White_Space})|\\p{White_Space}+";

/** A configuration for @huggingface/tokenizers. */
export function preTokenizerFor(json: TokenizerJson, opening: Opening): object {
  return sequence(preTokenizersOf(json).map((node) => alike(node, opening)));
}

function alike(node: PreTokenizer, opening: Opening): object {
  switch (node.type) {
    case 'ByteLevel': {
      const bytes = { type: 'ByteLevel', add_prefix_space: false, use_regex: false };
      return node.use_regex ? sequence([split(GPT2), bytes]) : bytes;
    }
    case 'Digits':
      return split(node.individual_digits ? '\\p{N}' : '\\p{N}+');
    case 'Metaspace': {
      const scheme = node.prepend_scheme === 'first' && opening === 'continued' ? 'never' : node.prepend_scheme;
      const spaces = { type: 'Metaspace', replacement: SPACE, prepend_scheme: scheme };
      return node.split ? sequence([spaces, split(`${SPACE}[^${SPACE}]*`)]) : spaces;
    }
    case 'Split': {
      const found = 'Regex' in node.pattern ? node.pattern.Regex : node.pattern.String.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&');
      if (node.behavior === 'Removed') return { type: 'Split', pattern: { Regex: found }, behavior: 'Removed', invert: true }; // keeps what is found
      if (node.behavior === 'Isolated') return split(found);
      const between = `(?:(?!${found})[\\s\\S])*`;
      return split(node.behavior === 'MergedWithNext' ? `(?:${found})${between}` : `${between}(?:${found})`);
    }
  }
}

function sequence(pretokenizers: object[]): object {
  return { type: 'Sequence', pretokenizers };
}

/** What the pattern finds and what lies between, each a word. */
function split(regex: string): object {
  return { type: 'Split', pattern: { Regex: regex }, behavior: 'Isolated', invert: false };
}
