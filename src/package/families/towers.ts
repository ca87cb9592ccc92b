/** Vision towers: their switches and names as transformers' own classes have them, and what their published sizes are. */
import { formatError } from '../format.js';
import type { BlockNames, TowerNames } from '../layout.js';
import type { Architecture } from '../manifest.js';
import { CLIP as CLIP_PICTURE, DINOV2 as DINOV2_PICTURE, SIGLIP as SIGLIP_PICTURE, type TowerPicture, VIT as VIT_PICTURE } from '../pictures.js';
import type { CheckpointFile } from './family.js';
import { split } from './languages.js';

export interface Tower {
  name: string;
  /** Part of its id on the hub. */
  id: RegExp;
  activation: string; // as configs call it
  epsilon: number;
  classToken: boolean;
  preNorm: boolean;
  /** Whether transformers resamples its positions for pictures of another size. */
  resampled: boolean;
  picture: TowerPicture;
  names(prefix: string, registers: boolean): TowerNames;
}

const HUGGING_FACE = {
  names: (prefix: string): TowerNames => ({
    patches: `${prefix}embeddings.patch_embedding`,
    patchBias: true,
    positions: `${prefix}embeddings.position_embedding.weight`,
    prefix: [],
    preNorm: undefined,
    block(layer) {
      const name = `${prefix}encoder.layers.${layer}`;
      return {
        ...{ norm1: `${name}.layer_norm1`, norm2: `${name}.layer_norm2` },
        ...{ attention: split(`${name}.self_attn`), out: `${name}.self_attn.out_proj` },
        ...{ up: `${name}.mlp.fc1`, down: `${name}.mlp.fc2` },
      };
    },
  }),
};

export const SIGLIP: Tower = {
  ...{ name: 'SigLIP', id: /siglip/i, picture: SIGLIP_PICTURE, resampled: false },
  ...{ activation: 'gelu_pytorch_tanh', epsilon: 1e-6, classToken: false, preNorm: false },
  ...HUGGING_FACE,
};

export const CLIP: Tower = {
  ...{ name: 'CLIP', id: /clip/i, picture: CLIP_PICTURE, resampled: false },
  ...{ activation: 'quick_gelu', epsilon: 1e-5, classToken: true, preNorm: true },
  ...HUGGING_FACE,
  names: (prefix) => ({
    ...{ ...HUGGING_FACE.names(prefix), patchBias: false },
    ...{ prefix: [`${prefix}embeddings.class_embedding`], preNorm: `${prefix}pre_layrnorm` },
  }),
};

function vitNames(prefix: string, registers: boolean, block: (name: string) => BlockNames): TowerNames {
  return {
    patches: `${prefix}embeddings.patch_embeddings.projection`,
    patchBias: true,
    positions: `${prefix}embeddings.position_embeddings`,
    prefix: [`${prefix}embeddings.cls_token`, ...(registers ? [`${prefix}embeddings.register_tokens`] : [])],
    preNorm: undefined,
    block: (layer) => block(`${prefix}encoder.layer.${layer}`),
  };
}

function vitAttention(name: string): Pick<BlockNames, 'attention' | 'out'> {
  const attention = `${name}.attention.attention`;
  return {
    attention: { rows: 'split', names: [`${attention}.query`, `${attention}.key`, `${attention}.value`] },
    out: `${name}.attention.output.dense`,
  };
}

export const DINOV2: Tower = {
  ...{ name: 'DINOv2', id: /dinov2/i, picture: DINOV2_PICTURE, resampled: true },
  ...{ activation: 'gelu', epsilon: 1e-6, classToken: true, preNorm: false },
  names: (prefix, registers) =>
    vitNames(prefix, registers, (name) => ({
      ...{ norm1: `${name}.norm1`, norm2: `${name}.norm2`, ...vitAttention(name), up: `${name}.mlp.fc1`, down: `${name}.mlp.fc2` },
      ...{ outScale: `${name}.layer_scale1.lambda1`, downScale: `${name}.layer_scale2.lambda1` },
    })),
};

export const VIT: Tower = {
  ...{ name: 'ViT', id: /\bvit\b/i, picture: VIT_PICTURE, resampled: false },
  ...{ activation: 'gelu', epsilon: 1e-12, classToken: true, preNorm: false },
  names: (prefix, registers) =>
    vitNames(prefix, registers, (name) => ({
      ...{ norm1: `${name}.layernorm_before`, norm2: `${name}.layernorm_after`, ...vitAttention(name) },
      ...{ up: `${name}.intermediate.dense`, down: `${name}.output.dense` },
    })),
};

/** By an id on the hub; "openai/clip-vit-large-patch14" is a CLIP. */
export function towerOf(id: string): Tower | undefined {
  return [SIGLIP, CLIP, DINOV2, VIT].find((tower) => tower.id.test(id));
}

/** Layers in the published model and size of its heads, by the size in an id on the hub. */
const PUBLISHED: readonly [RegExp, { depth: number; headSize: number }][] = [
  [/so400m/, { depth: 27, headSize: 72 }],
  [/base/, { depth: 12, headSize: 64 }],
  [/large/, { depth: 24, headSize: 64 }],
];

/** Sizes that a LLaVA-style config leaves to the name of the tower: what the name tells, and the rest from the tensors. */
export function sizesInFile(tower: Tower, id: string, prefix: string, file: CheckpointFile) {
  const published = PUBLISHED.find(([pattern]) => pattern.test(id))?.[1];
  if (published === undefined) throw formatError(`${file.path}: mm_vision_tower`, 'a so400m, base or large tower', id);
  const names = tower.names(prefix, false);
  const shape = (name: string, dims: number): readonly number[] => {
    const found = file.shape(name);
    if (found?.length !== dims) throw formatError(`Tensor ${name}`, `${dims} dimensions, of the tower ${id}`, found ?? 'no such tensor');
    return found;
  };
  const [hidden, , patchSize] = shape(`${names.patches}.weight`, 4) as [number, number, number, number];
  const [positions] = shape(names.positions, 2) as [number, number];
  const [intermediate] = shape(`${names.block(0).up}.weight`, 2) as [number, number];
  const grid = Math.sqrt(positions - (tower.classToken ? 1 : 0));
  if (!Number.isInteger(grid)) throw formatError(`Tensor ${names.positions}`, 'a square number of rows, and one for a class token', positions);
  const named = Number(/-(\d{3})$/.exec(id)?.[1] ?? 224); // pixels beyond whole patches are resized, and not read
  return {
    ...{ hidden, intermediate, heads: hidden / published.headSize, patchSize },
    imageSize: Math.floor(named / patchSize) === grid ? named : grid * patchSize,
    layers: countLayers(tower, prefix, file),
    depth: published.depth,
  };
}

function countLayers(tower: Tower, prefix: string, file: CheckpointFile): number {
  const normOf = (layer: number) => `${tower.names(prefix, false).block(layer).norm1}.weight`;
  let layers = 0;
  while (file.shape(normOf(layers)) !== undefined) layers++;
  if (layers === 0) throw formatError(`Tensor ${normOf(0)}`, `the first layer of a ${tower.name} tower`, 'no such tensor');
  return layers;
}

/** How many layers run so that the output is hidden_states[select] of the n + 1 that a tower of n layers has (0 is the embeddings). */
export function layersRun(where: string, layers: number, select: number): number {
  const run = select < 0 ? layers + 1 + select : select;
  if (run < 1 || run > layers) throw formatError(where, `a layer of the ${layers} of the tower`, select);
  return run;
}

/** The part of the architecture that a tower's class decides. */
export function towerSwitches(
  { classToken, preNorm }: Tower,
  registers = 0,
): Pick<Architecture['vision'], 'norm' | 'gated' | 'residual' | 'prefixRows' | 'preNorm'> {
  return { norm: 'layer', gated: false, residual: 'sequential', prefixRows: (classToken ? 1 : 0) + registers, preNorm };
}
