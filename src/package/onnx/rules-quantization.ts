/** Rules about INT8: Q/DQ in the form that TensorRT's importer understands as ONNX means it, at the products that the recipe names and nowhere else. */
import type { Precision } from '../manifest.js';
import { type Facts, intOf, type Product, valuesOf } from './facts.js';
import type { Rule } from './lint.js';
import { DATA_TYPE, type Initializer, type Node } from './proto.js';

const QUANTIZING = ['QuantizeLinear', 'DequantizeLinear'];
const LEAST_DEPTH = 16; // below it an INT8 product has no tensor core path and costs more than it saves

const quantizing = ({ model }: Facts) => model.nodes.filter(({ op }) => QUANTIZING.includes(op));
const count = ({ dims }: Initializer) => dims.reduce((product, dim) => product * dim, 1);

/** An absent axis is 0 for TensorRT and 1 for ONNX. */
const axes: Rule = (facts, complain) => {
  for (const { name, inputs, attributes } of quantizing(facts)) {
    const scale = facts.constant(inputs[1]);
    if (scale === undefined) continue;
    if (scale.dims.length === 0) {
      if (facts.constant(inputs[0]) !== undefined) complain('axis', name, 'weights with one scale for all rows');
      continue;
    }
    const axis = intOf(attributes, 'axis');
    const size = axis === undefined ? undefined : facts.constant(inputs[0])?.dims[axis];
    if (axis === undefined) complain('axis', name, 'one scale per row, but no axis');
    else if (size !== undefined && size !== count(scale)) complain('axis', name, `${count(scale)} scales along an axis of ${size}`);
  }
};

/** An absent zero point is INT8 for TensorRT and UINT8 for ONNX; one that is not zero is refused. */
const zeroPoints: Rule = (facts, complain) => {
  for (const { name, inputs } of quantizing(facts)) {
    const [scale, zero] = [facts.constant(inputs[1]), facts.constant(inputs[2])];
    if (zero === undefined) complain('zero-point', name, 'no constant zero point');
    else if (zero.type !== DATA_TYPE.i8) complain('zero-point', name, `data type ${zero.type}: expected INT8`);
    else if (scale !== undefined && count(zero) !== count(scale))
      complain('zero-point', name, `${count(zero)} zero points for ${count(scale)} scales`);
    else if (valuesOf(zero)?.some((value) => value !== 0) !== false) complain('zero-point', name, 'expected zeros');
  }
};

const scales: Rule = (facts, complain) => {
  for (const { op, name, inputs } of quantizing(facts)) {
    const scale = facts.constant(inputs[1]);
    const values = scale === undefined ? undefined : valuesOf(scale);
    if (scale === undefined || values === undefined) complain('scale', name, 'its scale is not a constant of the graph');
    else if (!values.every((value) => value > 0 && Number.isFinite(value))) complain('scale', name, 'a scale that is not above 0');
    else if (scale.type !== DATA_TYPE.f16) complain('scale', name, `data type ${scale.type}: expected FP16, the type of what is quantized`);
    else if (op === 'QuantizeLinear' && facts.type(inputs[0]) !== 'f16') complain('scale', name, `FP16 scale of a ${facts.type(inputs[0])} input`);
  }
};

/** Weights stay INT8 in the file and meet a DequantizeLinear before anything else. */
const weights: Rule = (facts, complain) => {
  for (const { name, type, dims } of facts.model.initializers) {
    if (type !== DATA_TYPE.i8 || dims.length < 2) continue;
    for (const reader of facts.readers(name)) {
      if (reader.op !== 'DequantizeLinear' || reader.inputs[0] !== name)
        complain('weights', reader.name, `${reader.op} reads the INT8 weights ${name}`);
    }
  }
};

const recipe: Rule = (facts, complain, { recipe: wanted }) => {
  const found = new Map(facts.products.map((product) => [product.matrix, product]));
  for (const [matrix, precision] of wanted) {
    const product = found.get(matrix);
    if (product === undefined) complain('recipe', matrix, `no product with ${matrix}`);
    else if (precisionOf(product) !== precision)
      complain('recipe', product.node.name, `written as ${precisionOf(product)}: the recipe says ${precision}`);
  }
  for (const { matrix, node } of facts.products) if (!wanted.has(matrix)) complain('recipe', node.name, `${matrix} has no entry in the recipe`);
};

function precisionOf({ quantizedWeight, quantizedInput }: Product): Precision | 'an INT8 input on FP16 weights' {
  if (quantizedInput) return quantizedWeight ? 'w8a8' : 'an INT8 input on FP16 weights';
  return quantizedWeight ? 'w8a16' : 'f16';
}

/** Nothing but the two inputs of weighted products: no residual, softmax, LayerNorm, attention product or output in INT8. */
const elsewhere: Rule = (facts, complain) => {
  const products = new Set(facts.products.map(({ node }) => node));
  const readersOf = ({ outputs }: Node) => outputs.flatMap((output) => facts.readers(output));
  for (const node of quantizing(facts)) {
    const isWeight = facts.constant(node.inputs[0]) !== undefined;
    const expected = (reader: Node) => {
      if (node.op === 'QuantizeLinear') return reader.op === 'DequantizeLinear';
      if (isWeight) return reader.op === 'Transpose' && readersOf(reader).every((next) => products.has(next));
      return products.has(reader) && reader.inputs[0] === node.outputs[0];
    };
    for (const reader of readersOf(node)) {
      if (!expected(reader)) complain('quantized-elsewhere', reader.name, `${node.op} ${node.name} feeds ${reader.op}, which is no weighted product`);
    }
    if (node.outputs.some((output) => facts.isOutput(output))) complain('quantized-elsewhere', node.name, 'an output of the graph in INT8');
  }
};

const depth: Rule = ({ products }, complain) => {
  for (const { node, weight, quantizedInput } of products) {
    if (quantizedInput && weight.dims.some((dim) => dim < LEAST_DEPTH))
      complain('depth', node.name, `INT8 product of [${weight.dims}]: expected at least 16 each`);
  }
};

export const quantizationRules: Rule[] = [axes, zeroPoints, scales, weights, recipe, elsewhere, depth];
