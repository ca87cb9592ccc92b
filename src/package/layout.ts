/** What a checkpoint calls the parts of a model: all that differs between files that hold the same blocks. */

/** Prefixes of norms and linear layers, without `.weight` and `.bias`. */
export interface BlockNames {
  norm1: string;
  /** Split into `q_proj`, `k_proj` and `v_proj`, or one `query_key_value` whose rows are (head, {q, k, v}, head size). */
  attention: string;
  out: string;
  norm2: string | undefined;
  up: string;
  down: string;
}

export interface Layout {
  /** Before `embeddings.` and `encoder.layers.N.` of a tower as Hugging Face's SigLIP names it. */
  tower: string;
  projector(layer: number): string;
  embedding: string;
  decoder(layer: number): BlockNames;
  finalNorm: string;
  head: string;
}

export function towerBlock({ tower }: Layout, layer: number): BlockNames {
  const name = `${tower}.encoder.layers.${layer}`;
  const attention = `${name}.self_attn`;
  const [norm1, norm2] = [`${name}.layer_norm1`, `${name}.layer_norm2`];
  return { norm1, attention, out: `${attention}.out_proj`, norm2, up: `${name}.mlp.fc1`, down: `${name}.mlp.fc2` };
}

/** Mipha as published: Hugging Face's Phi. The GELUs of the projector have the odd indices. */
export const MIPHA_LAYOUT: Layout = {
  tower: 'model.vision_tower.vision_model',
  projector: (layer) => `model.mm_projector.${2 * layer}`,
  embedding: 'model.embed_tokens',
  decoder(layer) {
    const name = `model.layers.${layer}`;
    const attention = `${name}.self_attn`;
    const norms = { norm1: `${name}.input_layernorm`, norm2: undefined };
    return { ...norms, attention, out: `${attention}.dense`, up: `${name}.mlp.fc1`, down: `${name}.mlp.fc2` };
  },
  finalNorm: 'model.final_layernorm',
  head: 'lm_head',
};

/** The same with a projector of one layer, which has no index. */
export const MIPHA_LINEAR_LAYOUT: Layout = { ...MIPHA_LAYOUT, projector: () => 'model.mm_projector' };
