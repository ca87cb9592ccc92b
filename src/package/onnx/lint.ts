/**
 * The rules that keep a graph within what TensorRT 10.3 to 11 reads, reads rightly and computes well, each with its name and the name of the node.
 * A graph without a complaint is no proof of an engine; one with a complaint is not built.
 */
import type { Block } from '../block.js';
import type { Precision } from '../manifest.js';
import { Facts } from './facts.js';
import type { Model } from './proto.js';
import { attentionRules } from './rules-attention.js';
import { blockRules } from './rules-block.js';
import { formatRules } from './rules-format.js';
import { quantizationRules } from './rules-quantization.js';

export interface Complaint {
  rule: string;
  graph: string;
  node: string;
  message: string;
}

export interface LintContext {
  /** Precision of each matrix that this graph multiplies with, as it must be written. */
  recipe: ReadonlyMap<string, Precision>;
  /** Blocks of this graph. */
  blocks: Block[];
  /** Size of the file that external data points into. */
  weightsBytes: number;
}

export type Complain = (rule: string, node: string, message: string) => void;
export type Rule = (facts: Facts, complain: Complain, context: LintContext) => void;

export function lint(model: Model, context: LintContext): Complaint[] {
  const facts = new Facts(model);
  const complaints: Complaint[] = [];
  const complain: Complain = (rule, node, message) => complaints.push({ rule, graph: model.name, node, message });
  for (const rule of [...formatRules, ...quantizationRules, ...blockRules, ...attentionRules]) rule(facts, complain, context);
  return complaints;
}
