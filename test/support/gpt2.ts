/** Phi's published tokenizer files, rebuilt from GPT-2's ranks: the project does not ship them. */
import ranks from 'gpt-tokenizer/bpeRanks/r50k_base';
import { Tokenizer, type TokenizerParts } from '../../src/engine/tokenizer.js';

/** GPT-2's printable symbols of the 256 bytes, in the order of the byte. */
function byteSymbols(): string[] {
  const printable = (byte: number) => (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
  let next = 256;
  return Array.from({ length: 256 }, (_, byte) => String.fromCharCode(printable(byte) ? byte : next++));
}

export function phiParts(): TokenizerParts {
  const symbols = byteSymbols();
  const encoder = new TextEncoder();
  const toSymbols = (entry: string | readonly number[]) =>
    Array.from(typeof entry === 'string' ? encoder.encode(entry) : entry, (byte) => symbols[byte]).join('');
  const tokens = (ranks as readonly (string | readonly number[])[]).map(toSymbols);
  const vocab: Record<string, number> = Object.fromEntries(tokens.map((token, id) => [token, id]));
  const rank = new Map(tokens.map((token, id) => [token, id]));

  // A token's two halves are what the merges before it make of its bytes.
  const merges = tokens.slice(256).map((token, index) => halves(token, rank, 256 + index).join(' '));
  const added: Record<string, number> = {};
  for (let spaces = 31; spaces >= 2; spaces--) added[' '.repeat(spaces)] = 50257 + 31 - spaces;
  for (let tabs = 9; tabs >= 2; tabs--) added['\t'.repeat(tabs)] = 50287 + 9 - tabs;
  vocab['<|endoftext|>'] = 50256;
  return { vocab, merges, added, special: { '<|endoftext|>': 50256 }, cleanUp: true };
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

let tokenizer: Tokenizer | undefined;

/** Built once: 50 000 merges take a moment. */
export function phiTokenizer(): Tokenizer {
  tokenizer ??= new Tokenizer(phiParts());
  return tokenizer;
}
