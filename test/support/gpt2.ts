/** Byte-level vocabularies rebuilt from the published ranks: the project does not ship them. */
import cl100k from 'gpt-tokenizer/bpeRanks/cl100k_base';
import r50k from 'gpt-tokenizer/bpeRanks/r50k_base';
import { Tokenizer } from '../../src/engine/tokenizer.js';
import { tokenizerSchema } from '../../src/package/tokenizer-json.js';

type Ranks = readonly (string | readonly number[])[];

export interface Vocabulary {
  vocab: Record<string, number>;
  /** "left right" pairs, best first. */
  merges: string[];
}

/** GPT-2's printable symbols of the 256 bytes, in the order of the byte. */
function byteSymbols(): string[] {
  const printable = (byte: number) => (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
  let next = 256;
  return Array.from({ length: 256 }, (_, byte) => String.fromCharCode(printable(byte) ? byte : next++));
}

function fromRanks(ranks: Ranks): Vocabulary {
  const symbols = byteSymbols();
  const encoder = new TextEncoder();
  const toSymbols = (entry: string | readonly number[]) =>
    Array.from(typeof entry === 'string' ? encoder.encode(entry) : entry, (byte) => symbols[byte]).join('');
  const tokens = ranks.map(toSymbols);
  const vocab: Record<string, number> = Object.fromEntries(tokens.map((token, id) => [token, id]));
  const rank = new Map(tokens.map((token, id) => [token, id]));

  // A token's two halves are what the merges before it make of its bytes.
  const merges = tokens.slice(256).map((token, index) => halves(token, rank, 256 + index).join(' '));
  return { vocab, merges };
}

function halves(token: string, rank: Map<string, number>, below: number): string[] {
  const parts = Array.from(token);
  while (parts.length > 2) {
    let best = -1;
    let bestRank = below;
    for (let i = 0; i + 1 < parts.length; i++) {
      const merged = rank.get(`${parts[i]}${parts[i + 1]}`);
      if (merged !== undefined && merged < bestRank) [best, bestRank] = [i, merged];
    }
    if (best < 0) throw new Error(`no merge leads to ${token}`);
    parts.splice(best, 2, `${parts[best]}${parts[best + 1]}`);
  }
  return parts;
}

/** Made once: 50 000 merges take a moment. */
function once<T>(make: () => T): () => T {
  let made: T | undefined;
  return () => {
    made ??= make();
    return made;
  };
}

/** GPT-2's 50 256 tokens. */
export const gpt2Vocabulary = once(() => fromRanks(r50k as Ranks));
/** The 100 256 tokens of tiktoken's cl100k_base, which are StableLM-2's too. */
export const cl100kVocabulary = once(() => fromRanks(cl100k as Ranks));

/** Phi's tokens behind those of GPT-2: runs of spaces and of tabs. */
export function phiAdded(): Record<string, number> {
  const added: Record<string, number> = {};
  for (let spaces = 31; spaces >= 2; spaces--) added[' '.repeat(spaces)] = 50257 + 31 - spaces;
  for (let tabs = 9; tabs >= 2; tabs--) added['\t'.repeat(tabs)] = 50287 + 9 - tabs;
  return added;
}

/** The tokenizer.json of Phi-2. */
export function phiFile(): object {
  const { vocab, merges } = gpt2Vocabulary();
  const bytes = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true };
  const token = (content: string, id: number, special: boolean) => ({
    ...{ id, content, special, normalized: !special },
    ...{ single_word: false, lstrip: false, rstrip: false },
  });
  return {
    normalizer: null,
    pre_tokenizer: bytes,
    post_processor: bytes,
    decoder: bytes,
    model: { type: 'BPE', vocab: { ...vocab, '<|endoftext|>': 50256 }, merges },
    added_tokens: [token('<|endoftext|>', 50256, true), ...Object.entries(phiAdded()).map(([content, id]) => token(content, id, false))],
  };
}

export const phiTokenizer = once(() => new Tokenizer(tokenizerSchema.parse(phiFile()), { cleanUp: true }));
