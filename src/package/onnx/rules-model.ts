/** Rules about the model: what TensorRT miscompiles, and what Phi-2 and SigLIP need to stay within their number formats. */
import { type Facts, intOf, stringOf, valuesOf } from './facts.js';
import type { Rule } from './lint.js';
import { DATA_TYPE, type Node } from './proto.js';

const nodes = ({ model }: Facts, op: string) => model.nodes.filter((node) => node.op === op);
const isLanguage = ({ model }: Facts) => model.name.startsWith('language');

/** The importer's default gain for FP32 is 0. */
const layerNorms: Rule = (facts, complain) => {
  for (const { name, inputs, attributes } of nodes(facts, 'LayerNormalization')) {
    if (inputs.length !== 3) complain('layer-norm', name, 'expected a gain and a bias');
    else if (inputs.some((input) => facts.type(input) !== 'f32'))
      complain('layer-norm', name, `expected FP32, found ${inputs.map((input) => facts.type(input))}`);
    if (intOf(attributes, 'stash_type') !== 1) complain('layer-norm', name, 'expected stash_type 1: sums in FP32');
  }
};

/** tanh in SigLIP and Phi, the exact form in the projector. */
const gelus: Rule = (facts, complain) => {
  for (const { name, attributes } of nodes(facts, 'Gelu')) {
    const expected = name.includes('vision.layers.') || name.includes('language.layers.') ? 'tanh' : 'none';
    const found = stringOf(attributes, 'approximate');
    if (found !== expected) complain('gelu', name, `approximate ${found ?? 'absent'}: expected ${expected}`);
  }
};

/** Attention: softmax(q · k) where q was scaled before the product. Phi-2's q · k leaves FP16, so its scores are FP32. */
const scores: Rule = (facts, complain) => {
  for (const softmax of nodes(facts, 'Softmax')) {
    if (intOf(softmax.attributes, 'axis') !== -1) complain('scores', softmax.name, 'expected the last axis');
    if (isLanguage(facts) && facts.type(softmax.inputs[0]) !== 'f32')
      complain('scores', softmax.name, `softmax of ${facts.type(softmax.inputs[0])}: expected FP32`);
    const products = productsBefore(facts, softmax);
    if (products.length === 0) complain('scores', softmax.name, 'no product of queries and keys before it');
    for (const product of products) {
      if (isLanguage(facts) && facts.type(product.inputs[0]) !== 'f32')
        complain('scores', product.name, `scores of ${facts.type(product.inputs[0])}: expected FP32`);
      if (!isScaled(facts, product.inputs[0])) complain('scores', product.name, 'the query is not scaled before the product');
    }
  }
};

/** Products that reach a softmax through additions and concatenations. */
function productsBefore(facts: Facts, node: Node): Node[] {
  return node.inputs.flatMap((input) => {
    const maker = facts.maker(input);
    if (maker?.op === 'MatMul') return [maker];
    return maker?.op === 'Add' || maker?.op === 'Concat' ? productsBefore(facts, maker) : [];
  });
}

/** A multiplication by a scalar below 1 stands before it, with nothing but changes of shape and type between. */
function isScaled(facts: Facts, value: string | undefined): boolean {
  const maker = facts.maker(value);
  if (maker?.op === 'Transpose' || maker?.op === 'Cast' || maker?.op === 'Reshape') return isScaled(facts, maker.inputs[0]);
  if (maker?.op !== 'Mul') return false;
  const scalar = facts.constant(maker.inputs[1]);
  const scale = scalar === undefined ? undefined : valuesOf(scalar);
  return scale?.length === 1 && (scale[0] as number) < 1;
}

/** TensorRT 10.13 fuses products that share a LayerNorm and gets V wrong: q, k and v are one product, so that at most two share one. */
const fusedQkv: Rule = (facts, complain) => {
  const layerOf = (matrix: string) => matrix.split('.').slice(0, -1).join('.');
  const layers = new Set(facts.products.map(({ matrix }) => layerOf(matrix)).filter((layer) => layer.includes('.layers.')));
  for (const layer of layers) {
    const products = facts.products.filter(({ matrix }) => layerOf(matrix) === layer);
    const fused = products.filter(({ matrix }) => matrix.endsWith('.qkv'));
    if (fused.length !== 1) complain('fused-qkv', layer, `${fused.length} products with qkv: expected one`);
    for (const { node } of fused) if (!readsNorm(facts, node.inputs[0])) complain('fused-qkv', node.name, 'its input is no LayerNormalization');
    if (products.length !== 4) complain('fused-qkv', layer, `${products.length} weighted products: expected qkv, out, up and down`);
  }
};

/** A LayerNormalization stands before it, with nothing but changes of type between. */
function readsNorm(facts: Facts, value: string | undefined): boolean {
  const maker = facts.maker(value);
  if (maker?.op === 'LayerNormalization') return true;
  return ['Cast', 'QuantizeLinear', 'DequantizeLinear'].includes(maker?.op ?? '') && readsNorm(facts, maker?.inputs[0]);
}

/** Rows of the cache lie one after the other, [time, heads, head size], so that new ones are bound right behind the past. */
const timeMajor: Rule = ({ model }, complain) => {
  const cached = [...model.inputs, ...model.outputs].filter(({ name }) => /^(past|new)_(keys|values)\./.test(name));
  for (const { name, type, dims } of cached) {
    const time = name.startsWith('past') ? 'past' : 'rows';
    if (type !== DATA_TYPE.f16) complain('time-major', name, `data type ${type}: expected FP16`);
    if (dims.length !== 3 || dims[0] !== time || dims.slice(1).some((dim) => typeof dim !== 'number'))
      complain('time-major', name, `[${dims}]: expected [${time}, heads, head size]`);
  }
  if (model.name.startsWith('language') && cached.length === 0) complain('time-major', '', 'no keys and values');
};

export const modelRules: Rule[] = [layerNorms, gelus, scores, fusedQkv, timeMajor];
