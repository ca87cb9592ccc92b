/** Rules about the file: what the parser takes at all. */
import { intOf, nameOf, valuesOf } from './facts.js';
import { IR_VERSION, OPSET } from './graph.js';
import type { Rule } from './lint.js';
import type { ElementType, Initializer } from './proto.js';

// Each has been in the parser since TensorRT 10.3 and runs in ONNX Runtime.
const OPERATORS = [
  ...['Add', 'AveragePool', 'Cast', 'Concat', 'Conv', 'DequantizeLinear', 'Div', 'Gather', 'Gelu', 'Identity', 'LayerNormalization', 'MatMul', 'Mul'],
  ...['QuantizeLinear', 'ReduceMean', 'Reshape', 'Shape', 'Sigmoid', 'Slice', 'Softmax', 'Split', 'Sqrt', 'Sub', 'Transpose'],
];
const SAME_TYPES: Record<string, number> = {
  Add: 2,
  Sub: 2,
  Mul: 2,
  Div: 2,
  MatMul: 2,
  Conv: 3,
  LayerNormalization: 3,
  Concat: Number.POSITIVE_INFINITY,
};
const BYTES: Record<ElementType, number> = { f32: 4, f16: 2, i8: 1, i32: 4, i64: 8 };
const LARGEST_FILE = 2 ** 31; // bytes of a protobuf message

const versions: Rule = ({ model }, complain) => {
  if (model.opset !== OPSET) complain('opset', '', `opset ${model.opset}: expected ${OPSET}, the newest that TensorRT 10.3 reads`);
  if (model.irVersion !== IR_VERSION) complain('opset', '', `IR version ${model.irVersion}: expected ${IR_VERSION}`);
};

const operators: Rule = ({ model }, complain) => {
  for (const { op, name } of model.nodes)
    if (!OPERATORS.includes(op)) complain('operator', name, `${op} is not one of the operators that were checked`);
};

const names: Rule = ({ model }, complain) => {
  const seen = new Set<string>();
  for (const { name, op } of model.nodes) {
    if (name === '' || seen.has(name)) complain('name', name, `a ${op} without a name of its own: messages about it could not say where it is`);
    seen.add(name);
  }
};

const elementTypes: Rule = ({ model }, complain) => {
  const casts = model.nodes.filter(({ op }) => op === 'Cast').map(({ name, attributes }) => ({ name, type: intOf(attributes, 'to') ?? 0 }));
  for (const { name, type } of [...model.inputs, ...model.outputs, ...model.initializers, ...casts]) {
    if (nameOf(type) === undefined) complain('element-type', name, `data type ${type}: expected FP32, FP16, INT8, INT32 or INT64`);
  }
};

/** A strongly typed network converts nothing by itself. */
const strongTypes: Rule = (facts, complain) => {
  for (const { op, name, inputs } of facts.model.nodes) {
    const types = inputs.slice(0, SAME_TYPES[op] ?? 0).map((input) => facts.type(input));
    if (new Set(types).size > 1) complain('strong-type', name, `${op} of ${types.join(' and ')}`);
  }
};

const externalData: Rule = ({ model }, complain, { weightsBytes }) => {
  for (const tensor of model.initializers) {
    const { name, data } = tensor;
    if (data instanceof Uint8Array) {
      if (data.byteLength !== bytesOf(tensor)) complain('external-data', name, `${data.byteLength} bytes do not fill its shape`);
      continue;
    }
    const { location, offset, length, otherKeys } = data;
    if (otherKeys.length > 0) complain('external-data', name, `key ${otherKeys[0]}: TensorRT takes location, offset and length`);
    if (location.includes('/') || location.includes('..')) complain('external-data', name, `${location} is not beside the graph`);
    if (!(offset >= 0 && offset + length <= weightsBytes))
      complain('external-data', name, `bytes ${offset} to ${offset + length} of a file of ${weightsBytes}`);
    if (length !== bytesOf(tensor)) complain('external-data', name, `${length} bytes do not fill its shape`);
  }
};

const fileSize: Rule = ({ model }, complain) => {
  const inline = model.initializers.reduce((sum, { data }) => sum + (data instanceof Uint8Array ? data.byteLength : 0), 0);
  if (inline >= LARGEST_FILE) complain('file-size', '', `${inline} bytes inline: a graph must stay below 2 GB`);
};

/** -1 is not defined for a tensor without elements, and a past may be empty. */
const reshapes: Rule = (facts, complain) => {
  for (const { op, name, inputs } of facts.model.nodes) {
    if (op !== 'Reshape') continue;
    const shape = facts.constant(inputs[1]);
    const sizes = shape === undefined ? undefined : valuesOf(shape);
    if (sizes === undefined) complain('reshape', name, 'its shape is not a constant of the graph');
    else if (sizes.includes(-1)) complain('reshape', name, `shape ${sizes.join(' ')}: a size is left to be found out`);
  }
};

function bytesOf({ dims, type }: Initializer): number {
  return dims.reduce((product, dim) => product * dim, BYTES[nameOf(type) ?? 'i8']);
}

export const formatRules: Rule[] = [versions, operators, names, elementTypes, strongTypes, externalData, fileSize, reshapes];
