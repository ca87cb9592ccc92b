/** What was published of Mipha and of models made to the same recipe, to stand beside a number of one's own. */
import type { Benchmark } from './item.js';

/** In percent, MME in points of perception; absent where it was not published or could not be verified. */
type Row = Partial<Record<Benchmark, number>>;

/** Mipha, arXiv 2403.06199, table 2; the others from their own papers and model cards. */
export const PUBLISHED: Readonly<Record<string, Row>> = {
  'Mipha-3B': { vqav2: 81.3, gqa: 63.9, scienceqa: 70.9, textvqa: 56.6, pope: 86.7, mme: 1488.9, mmbench: 69.7 },
  'Mipha-2.4B': { vqav2: 79.5, gqa: 63.3, scienceqa: 65.3, textvqa: 52.4, pope: 86.6, mme: 1397.1, mmbench: 59.4 },
  'Mipha-1.6B': { vqav2: 77.5, gqa: 62.7, scienceqa: 58.3, textvqa: 45.6, pope: 86.9, mme: 1203.1, mmbench: 57.7 },
  'Bunny-3B': { vqav2: 79.8, gqa: 62.5, scienceqa: 70.9, pope: 86.8, mme: 1488.8, mmbench: 68.6, seed: 70.7 },
  'Imp-v1-3B': { vqav2: 81.4, gqa: 64.4, scienceqa: 69.3, textvqa: 59.3, pope: 87.9, mme: 1502.8, mmbench: 67.7 },
  'TinyLLaVA-3.1B': { vqav2: 80.1, gqa: 62.1, scienceqa: 73, textvqa: 60.3, pope: 87.2, mme: 1466.4 },
  'LLaVA-Phi-3B': { vqav2: 71.4, scienceqa: 68.4, textvqa: 48.6, pope: 85, mme: 1335.1, mmbench: 59.8 },
};

/** Why a number of ours and a published one are not quite the same thing; undefined where they are. */
export const CAUTION: Partial<Record<Benchmark, string>> = {
  pope: 'that the published column is the mean F1 is likely, not certain',
  mmbench: 'published of version 20230712; later versions differ, and the server reads with a GPT what these rules do not',
};
