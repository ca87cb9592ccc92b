/** What a family's reader is given and what it gives. */
import { z } from 'zod';
import { formatError } from '../format.js';
import type { Layout } from '../layout.js';
import type { Architecture, BlockSizes, Preprocessing, PromptTemplate } from '../manifest.js';

/** A checkpoint as far as its config and the headers of its tensors tell. */
export interface CheckpointFile {
  path: string; // of config.json, for errors
  text: string; // of config.json
  preprocessor?: string | undefined; // text of preprocessor_config.json
  /** Shape of a tensor; undefined: there is none of that name. */
  shape(tensor: string): readonly number[] | undefined;
}

export interface CheckpointConfig {
  architecture: Architecture; // language.tokens is vocab until a tokenizer says otherwise
  preprocessing: Preprocessing;
  prompt: PromptTemplate;
  layout: Layout;
}

export interface Family {
  /** As people know it. */
  name: string;
  /** `type`: model_type of config.json as it is; `words`: it and the names of architectures in lower case without hyphens and underscores. */
  takes(type: string, words: readonly string[]): boolean;
  /** Throws ERR_MODEL_FORMAT naming the key or tensor, what is expected and what came. */
  read(file: CheckpointFile): CheckpointConfig;
}

export const size = z.int().min(1).max(1_000_000_000); // the real limits are those of the architecture

const ACTIVATIONS: Record<string, BlockSizes['activation']> = {
  gelu_new: 'gelu_tanh',
  gelu_pytorch_tanh: 'gelu_tanh',
  gelu_fast: 'gelu_tanh',
  gelu: 'gelu_erf',
  quick_gelu: 'quick_gelu',
  silu: 'silu',
  swish: 'silu',
};

export function activation(where: string, name: string): BlockSizes['activation'] {
  const found = Object.hasOwn(ACTIVATIONS, name) ? ACTIVATIONS[name] : undefined;
  if (found === undefined) throw formatError(where, Object.keys(ACTIVATIONS).join(', '), name);
  return found;
}

/** Refuses a key with another value than the one that is computed here. */
export function must(where: string, expected: unknown, received: unknown): void {
  if (received !== expected) throw formatError(where, JSON.stringify(expected), received);
}

/** Heads that divide the residual stream between them, unless their size is said. */
export function headSize(where: string, hidden: number, heads: number): number {
  if (hidden % heads !== 0) throw formatError(where, `a divisor of hidden_size (${hidden})`, heads);
  return hidden / heads;
}

/** linear, identity or mlpNx_gelu → how many linear layers. */
export function projectorLayers(where: string, type: string): number {
  if (type === 'identity') return 0;
  if (type === 'linear') return 1;
  const layers = Number(/^mlp(\d{1,2})x_gelu$/.exec(type)?.[1]);
  if (layers >= 1 && layers <= 16) return layers;
  throw formatError(where, 'linear, identity or mlpNx_gelu with N of 1 to 16', type);
}

/** LLaVA's image_aspect_ratio. Undefined: what the tower's own processor does. */
export function aspectOf(where: string, ratio: string | null | undefined): 'pad' | undefined {
  if (ratio === 'pad') return 'pad';
  if (ratio != null && ratio !== 'square') throw formatError(where, 'pad, square or nothing', ratio);
  return undefined;
}
