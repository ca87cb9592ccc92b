/** mipha-nano with a tokenizer of Llama's kind in place of its own: it answers nonsense, in whatever form is asked for. */
import { createHash } from 'node:crypto';
import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Manifest } from '../../src/package/manifest.js';
import { VICUNA_V1 } from '../../src/package/prompts.js';
import { FILES } from './tokenizers.js';

/** Words that are one piece, and the pieces that they are merged from. */
const WORDS = ['▁Yes', '▁No', '▁yes', '▁no', '▁red', '▁blue', '▁green', '▁two', '▁three', '▁the', '▁is', '▁on', 'er', 'in', 'ing', '▁{', '":', '▁"'];

/** Writes the package `out`. */
export function writeSentencepieceNano(out: string): void {
  for (const name of ['manifest.json', 'weights.safetensors']) cpSync(join('models/mipha-nano', name), join(out, name));
  const bytes = Buffer.from(JSON.stringify(smallLlama()));
  mkdirSync(join(out, 'tokenizer'));
  writeFileSync(join(out, 'tokenizer/tokenizer.json'), bytes);

  const manifest = JSON.parse(readFileSync(join(out, 'manifest.json'), 'utf8')) as Manifest;
  const record = (content: Buffer) => ({ bytes: content.length, sha256: createHash('sha256').update(content).digest('hex') });
  manifest.prompt = VICUNA_V1;
  manifest.files = {
    'weights.safetensors': manifest.files['weights.safetensors'] as Manifest['files'][string],
    'tokenizer/tokenizer.json': record(bytes),
  };
  writeFileSync(join(out, 'manifest.json'), JSON.stringify(manifest));
}

/** Llama's three tokens, 256 bytes, printable ASCII and the words above: few enough for the model's rows. */
function smallLlama(): object {
  const file = FILES.llama?.() as { model: { vocab: Record<string, number>; merges: string[] } };
  const wanted = new Set([...WORDS, '▁', ...Array.from({ length: 95 }, (_, index) => String.fromCharCode(32 + index))]);
  const chosen: string[] = [];
  for (let before = -1; before < chosen.length; ) {
    before = chosen.length;
    chosen.splice(0, Infinity, ...file.model.merges.filter((pair) => wanted.has(pair.replace(' ', ''))));
    // The first way to a word is the one that its letters take.
    for (const word of [...wanted]) for (const part of chosen.find((pair) => pair.replace(' ', '') === word)?.split(' ') ?? []) wanted.add(part);
  }
  const words = Object.entries(file.model.vocab).filter(([word, id]) => id < 259 || wanted.has(word));
  return { ...file, model: { ...file.model, vocab: Object.fromEntries(words.map(([word], id) => [word, id])), merges: chosen } };
}
