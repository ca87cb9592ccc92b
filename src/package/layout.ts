/** What a checkpoint calls the parts of a model, and what of them is folded at conversion: all that differs between files that hold the same blocks. */

/**
 * The projections of q, k and v. `split`: one tensor each. `interleaved`: rows are (head, {q, k, v}, head size). `stacked`: all q rows, all k rows,
 * all v rows. Shapes of the last two are the same: only a name tells which it is.
 */
export type AttentionNames = { rows: 'split'; names: readonly [q: string, k: string, v: string] } | { rows: 'interleaved' | 'stacked'; name: string };

/** Names of norms and linear layers, without `.weight` and `.bias`. */
export interface BlockNames {
  /** Linear layers may be without a bias, then in every block alike; it is zero. */
  optionalBiases?: true;
  norm1: string;
  attention: AttentionNames;
  out: string;
  norm2: string | undefined;
  /** Of a gated MLP. */
  gate?: string;
  up: string;
  down: string;
  /** LayerScale (arXiv 2103.17239): factors of what `out` and `down` give, vectors under these whole names. */
  outScale?: string;
  downScale?: string;
}

export interface TowerNames {
  patches: string;
  patchBias: boolean;
  /** A whole name: rows of the prefix that have a position, then rows of the grid. */
  positions: string;
  /** Whole names of learned rows before those of the patches; only the first has a position. */
  prefix: readonly string[];
  preNorm: string | undefined;
  block(layer: number): BlockNames;
}

export interface LanguageNames {
  embedding: string;
  block(layer: number): BlockNames;
  finalNorm: string;
  /** Tied to the embedding: its name. Its bias may be absent, and is then zero. */
  head: string;
}

export interface Layout {
  tower: TowerNames;
  /** `antialias`: how the table of positions is resampled where the picture has another grid; undefined: it never is. */
  antialias?: boolean;
  projector: (layer: number) => string;
  /** Of a projector that pools. */
  pooling?: string;
  language: LanguageNames;
  /** Norms of the decoder are stored minus one. */
  gainsMinusOne?: boolean;
  /** Factor of every row that enters the decoder, the picture's too. */
  embeddingScale?: number;
}

/** The linear layers of LLaVA's projectors: GELUs have the odd indices, and the layer of type "linear" has none. */
export function projectorNames(prefix: string, type: string): Layout['projector'] {
  return (layer) => (type === 'linear' ? prefix : `${prefix}.${2 * layer}`);
}
