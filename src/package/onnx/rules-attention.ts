/** Rules about attention: what keeps scores within their number formats, and where keys and values lie. */
import { type Facts, intOf, valuesOf } from './facts.js';
import type { Rule } from './lint.js';
import { DATA_TYPE, type Node } from './proto.js';

const isLanguage = ({ model }: Facts) => model.name.startsWith('language');

/** Attention: softmax(q · k) where q was scaled before the product. Phi-2's q · k leaves FP16, so its scores are FP32. */
const scores: Rule = (facts, complain) => {
  for (const softmax of facts.model.nodes.filter(({ op }) => op === 'Softmax')) {
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

/** Rows of the cache lie one after the other, [time, heads, head size], so that new ones are bound right behind the past. */
const timeMajor: Rule = (facts, complain, { blocks }) => {
  const { model } = facts;
  const cached = [...model.inputs, ...model.outputs].filter(({ name }) => /^(past|new)_(keys|values)\./.test(name));
  for (const { name, type, dims } of cached) {
    const block = blocks.find((one) => one.name.endsWith(`.${name.slice(name.indexOf('.') + 1)}`));
    const expected = [name.startsWith('past') ? 'past' : 'rows', block?.kvHeads, block?.headSize];
    if (type !== DATA_TYPE.f16) complain('time-major', name, `data type ${type}: expected FP16`);
    if (dims.join() !== expected.join()) complain('time-major', name, `[${dims}]: expected [${expected}]`);
  }
  const count = isLanguage(facts) ? 4 * blocks.length : 0;
  if (cached.length !== count) complain('time-major', '', `${cached.length} keys and values: expected ${count}`);
};

export const attentionRules: Rule[] = [scores, timeMajor];
