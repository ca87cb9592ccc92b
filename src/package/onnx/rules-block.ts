/** Rules about blocks: a graph's norms, activations and products are those of the package's blocks, in the form that TensorRT computes well. */
import type { BlockSizes } from '../manifest.js';
import { type Facts, floatOf, intOf, stringOf, valuesOf } from './facts.js';
import { QUICK_GELU } from './graph.js';
import type { Rule } from './lint.js';
import type { Node } from './proto.js';

const nodes = ({ model }: Facts, op: string) => model.nodes.filter((node) => node.op === op);
const productOf = ({ products }: Facts, name: string) => products.find(({ matrix }) => matrix === name)?.node;

/** The only value of a constant. */
function scalarOf(facts: Facts, value: string | undefined): number | undefined {
  const constant = facts.constant(value);
  const values = constant === undefined ? undefined : valuesOf(constant);
  return values?.length === 1 ? values[0] : undefined;
}

/** What makes a value, but for changes of type and quantization. */
function sourceOf(facts: Facts, value: string | undefined): Node | undefined {
  const maker = facts.maker(value);
  return ['Cast', 'QuantizeLinear', 'DequantizeLinear'].includes(maker?.op ?? '') ? sourceOf(facts, maker?.inputs[0]) : maker;
}

/** The importer's default gain for FP32 is 0. */
const layerNorms: Rule = (facts, complain) => {
  for (const { name, inputs, attributes } of nodes(facts, 'LayerNormalization')) {
    if (inputs.length !== 3) complain('layer-norm', name, 'expected a gain and a bias');
    else if (inputs.some((input) => facts.type(input) !== 'f32'))
      complain('layer-norm', name, `expected FP32, found ${inputs.map((input) => facts.type(input))}`);
    if (intOf(attributes, 'stash_type') !== 1) complain('layer-norm', name, 'expected stash_type 1: sums in FP32');
  }
};

/** Squares of a residual stream leave the range of FP16. The importer takes the axes of a mean only as a constant. */
const rmsNorms: Rule = (facts, complain) => {
  for (const { name, inputs, attributes } of nodes(facts, 'ReduceMean')) {
    if (facts.type(inputs[0]) !== 'f32') complain('rms-norm', name, `a mean of ${facts.type(inputs[0])}: expected FP32`);
    if (scalarOf(facts, inputs[1]) !== -1) complain('rms-norm', name, 'expected the last axis, as a constant');
    if (intOf(attributes, 'keepdims') !== 1) complain('rms-norm', name, 'expected keepdims 1');
  }
};

interface FoundNorm {
  norm: BlockSizes['norm'];
  gain: string | undefined;
  epsilon: number | undefined;
  of: string | undefined;
}

/** The norm that makes a value, but for changes of type and quantization. */
function normOf(facts: Facts, value: string | undefined): FoundNorm | undefined {
  const made = sourceOf(facts, value);
  if (made?.op === 'LayerNormalization') {
    return { norm: 'layer', gain: made.inputs[1], epsilon: floatOf(made.attributes, 'epsilon'), of: made.inputs[0] };
  }
  const quotient = made?.op === 'Mul' ? facts.maker(made.inputs[0]) : undefined;
  const root = quotient?.op === 'Div' ? facts.maker(quotient.inputs[1]) : undefined;
  const sum = root?.op === 'Sqrt' ? facts.maker(root.inputs[0]) : undefined;
  const mean = sum?.op === 'Add' ? facts.maker(sum.inputs[0]) : undefined;
  const square = mean?.op === 'ReduceMean' ? facts.maker(mean.inputs[0]) : undefined;
  const of = quotient?.inputs[0];
  if (square?.op !== 'Mul' || square.inputs.some((input) => input !== of)) return undefined;
  return { norm: 'rms', gain: made?.inputs[1], epsilon: scalarOf(facts, sum?.inputs[1]), of };
}

/** Attention and MLP read the norms of their block, and these the rows that the residual says. */
const norms: Rule = (facts, complain, { blocks }) => {
  for (const { qkv, up, norm1, norm2 = norm1, norm, epsilon, residual } of blocks) {
    const [attention, mlp] = [productOf(facts, qkv.name), productOf(facts, up.name)];
    if (attention === undefined || mlp === undefined) continue; // of which the recipe's rule tells
    const rowsOf = ({ name, inputs }: Node, expected: string) => {
      const found = normOf(facts, inputs[0]);
      if (found === undefined) complain('norm', name, 'its input is no norm');
      else if (found.norm !== norm || found.gain !== `${expected}.weight`)
        complain('norm', name, `reads a norm of kind ${found.norm} with ${found.gain}: expected ${norm} with ${expected}.weight`);
      else if (Math.fround(found.epsilon ?? 0) !== Math.fround(epsilon)) complain('norm', name, `epsilon ${found.epsilon}: expected ${epsilon}`);
      return found?.of;
    };
    const [first, second] = [rowsOf(attention, norm1), rowsOf(mlp, norm2)];
    if (first !== undefined && second !== undefined && (first === second) === (residual === 'sequential'))
      complain('norm', mlp.name, `its norm reads ${first === second ? 'the same' : 'other'} rows as that of attention in a ${residual} block`);
  }
};

interface FoundActivation {
  activation: BlockSizes['activation'] | undefined; // undefined: another
  of: string | undefined;
  node: Node;
}

function activationOf(facts: Facts, node: Node | undefined): FoundActivation | undefined {
  const of = node?.inputs[0];
  if (node?.op === 'Gelu') {
    const approximate = stringOf(node.attributes, 'approximate'); // said, not left to a default
    return { activation: approximate === 'tanh' ? 'gelu_tanh' : approximate === 'none' ? 'gelu_erf' : undefined, of, node };
  }
  const sigmoid = node?.op === 'Mul' ? facts.maker(node.inputs[1]) : undefined;
  if (node === undefined || sigmoid?.op !== 'Sigmoid') return undefined;
  if (sigmoid.inputs[0] === of) return { activation: 'silu', of, node };
  const inner = facts.maker(sigmoid.inputs[0]);
  const factor = inner?.op === 'Mul' && inner.inputs[0] === of ? scalarOf(facts, inner.inputs[1]) : undefined;
  const isQuick = factor !== undefined && Math.abs(factor - QUICK_GELU) < 2 ** -10; // FP16
  return { activation: isQuick ? 'quick_gelu' : undefined, of, node };
}

/** The activation of the first half of a value, times its second half. */
function gateOf(facts: Facts, node: Node | undefined): FoundActivation | undefined {
  const found = node?.op === 'Mul' ? activationOf(facts, facts.maker(node.inputs[0])) : undefined;
  const split = facts.maker(node?.inputs[1]);
  const isGate = split?.op === 'Split' && found?.of === split.outputs[0] && node?.inputs[1] === split.outputs[1];
  return found && isGate ? { ...found, of: split.inputs[0] } : undefined;
}

/** What `down` reads is the block's activation of what `up` gives, gated or not. The projector has the exact GELU. */
const activations: Rule = (facts, complain, { blocks }) => {
  for (const { up, down, activation, gated } of blocks) {
    const [from, to] = [productOf(facts, up.name), productOf(facts, down.name)];
    if (from === undefined || to === undefined) continue; // of which the recipe's rule tells
    const read = sourceOf(facts, to.inputs[0]);
    const inner = read?.inputs[1] === `${down.name}.smooth` ? facts.maker(read.inputs[0]) : read;
    const found = gated ? gateOf(facts, inner) : activationOf(facts, inner);
    if (found === undefined) complain('activation', to.name, `reads no ${gated ? 'gated ' : ''}activation`);
    else if (found.activation !== activation)
      complain('activation', found.node.name, `${found.activation ?? 'no known activation'}: expected ${activation}`);
    else if (facts.maker(found.of)?.inputs[0] !== from.outputs[0]) complain('activation', found.node.name, `is not of what ${up.name} gives`);
  }
  for (const node of nodes(facts, 'Gelu')) {
    if (blocks.some(({ name }) => node.name.startsWith(`${name}/`))) continue;
    if (activationOf(facts, node)?.activation !== 'gelu_erf') complain('activation', node.name, 'expected gelu_erf in the projector');
  }
};

/** TensorRT 10.13 fuses products that share a norm and gets V wrong: q, k and v are one product, gate and up another, so that at most two share one. */
const fusedQkv: Rule = (facts, complain, { blocks }) => {
  for (const { name, qkv } of blocks) {
    const products = facts.products.filter(({ matrix }) => matrix.slice(0, matrix.lastIndexOf('.')) === name);
    const fused = products.filter(({ matrix }) => matrix === qkv.name);
    if (fused.length !== 1) complain('fused-qkv', name, `${fused.length} products with qkv: expected one`);
    if (products.length !== 4) complain('fused-qkv', name, `${products.length} weighted products: expected qkv, out, up and down`);
  }
};

export const blockRules: Rule[] = [layerNorms, rmsNorms, norms, activations, fusedQkv];
