/**
 * A typed builder of one graph. A value knows its element type and shape, and an operator refuses operands that a strongly typed TensorRT network
 * would refuse. Names of nodes are paths, "language.layers.3/qkv/MatMul", so that a message about a node says where it stands.
 */
import { MiphaError } from '../../errors.js';
import { BYTES_OF, toFloat16 } from '../floats.js';
import type { BlockSizes } from '../manifest.js';
import { type Attribute, DATA_TYPE, type Dim, type ElementType, type Initializer, type Model, type Node, type ValueInfo } from './proto.js';

export const OPSET = 20;
export const IR_VERSION = 9;
export const QUICK_GELU = 1.702; // x · σ(1.702 x)

export interface Value {
  name: string;
  type: ElementType;
  dims: Dim[];
}

/** Bytes of a file beside the graph. */
export interface External {
  location: string;
  offset: number;
  length: number;
}

export class Graph {
  readonly #nodes: Node[] = [];
  readonly #initializers = new Map<string, Initializer>();
  readonly #inputs: ValueInfo[] = [];
  readonly #outputs: ValueInfo[] = [];
  readonly #names = new Set<string>();
  #scope = '';

  constructor(readonly name: string) {}

  /** What `build` adds is named below `scope`. */
  within<T>(scope: string, build: () => T): T {
    const outer = this.#scope;
    this.#scope = outer === '' ? scope : `${outer}/${scope}`;
    try {
      return build();
    } finally {
      this.#scope = outer;
    }
  }

  input(name: string, type: ElementType, dims: Dim[]): Value {
    this.#inputs.push({ name, type: DATA_TYPE[type], dims });
    return { name, type, dims };
  }

  /** Gives a value the name by which the outside knows it. */
  output(name: string, value: Value): void {
    this.#add('Identity', [value], { ...value, name });
    this.#outputs.push({ name, type: DATA_TYPE[value.type], dims: value.dims });
  }

  // ---- constants

  floats(name: string, values: Float32Array, dims: number[]): Value {
    return this.#constant(name, 'f32', dims, bytesOf(values));
  }

  halves(name: string, values: Float32Array, dims: number[]): Value {
    return this.#constant(name, 'f16', dims, bytesOf(toFloat16(values)));
  }

  /** A whole number for each item, e.g. a shape. */
  ints(values: number[]): Value {
    return this.#constant(`ints ${values.join(' ')}`, 'i64', [values.length], bytesOf(BigInt64Array.from(values, BigInt)));
  }

  scalar(type: 'f32' | 'f16', value: number): Value {
    const values = Float32Array.of(value);
    return this.#constant(`${type} ${value}`, type, [], bytesOf(type === 'f16' ? toFloat16(values) : values));
  }

  /** INT8 zeros: the zero point of a symmetric quantization, of one scale or of one for each row. */
  zeroPoint(rows?: number): Value {
    return this.#constant(`zero point ${rows ?? ''}`.trim(), 'i8', rows === undefined ? [] : [rows], new Uint8Array(rows ?? 1));
  }

  external(name: string, type: ElementType, dims: number[], data: External): Value {
    this.#initializers.set(name, { name, type: DATA_TYPE[type], dims, data: { ...data, otherKeys: [] } });
    return { name, type, dims };
  }

  // ---- operators

  cast(x: Value, to: ElementType): Value {
    return x.type === to ? x : this.#node('Cast', [x], to, x.dims, [int('to', DATA_TYPE[to])]);
  }

  add(a: Value, b: Value): Value {
    return this.#elementwise('Add', a, b);
  }

  subtract(a: Value, b: Value): Value {
    return this.#elementwise('Sub', a, b);
  }

  multiply(a: Value, b: Value): Value {
    return this.#elementwise('Mul', a, b);
  }

  /** [..., m, k] · [..., k, n] */
  matmul(a: Value, b: Value): Value {
    this.#same('MatMul', a, b);
    const [k, l] = [a.dims.at(-1), b.dims.at(-2)];
    if (k !== l) throw broken(`MatMul in ${this.#scope}: ${k} columns meet ${l} rows`);
    return this.#node('MatMul', [a, b], a.type, [...a.dims.slice(0, -1), b.dims.at(-1) as Dim]);
  }

  /** Per-tensor INT8 of x. */
  quantize(x: Value, scale: Value): Value {
    this.#same('QuantizeLinear', x, scale);
    return this.#node('QuantizeLinear', [x, scale, this.zeroPoint()], 'i8', x.dims);
  }

  /** One scale for all of x, or one for each index of `axis`. */
  dequantize(x: Value, scale: Value, axis?: number): Value {
    const rows = scale.dims[0];
    if (axis === undefined) return this.#node('DequantizeLinear', [x, scale, this.zeroPoint()], scale.type, x.dims);
    if (rows !== x.dims[axis]) throw broken(`DequantizeLinear in ${this.#scope}: ${rows} scales for axis of ${x.dims[axis]}`);
    return this.#node('DequantizeLinear', [x, scale, this.zeroPoint(rows as number)], scale.type, x.dims, [int('axis', axis)]);
  }

  /** Over the last axis; gain, bias and sums in FP32. */
  layerNorm(x: Value, gain: Value, bias: Value, epsilon: number): Value {
    this.#same('LayerNormalization', x, gain);
    return this.#node('LayerNormalization', [x, gain, bias], x.type, x.dims, [int('axis', -1), float('epsilon', epsilon), int('stash_type', 1)]);
  }

  /** x / √(mean square + ε) · gain over the last axis, in FP32. One operator only from opset 23 on. */
  rmsNorm(x: Value, gain: Value, epsilon: number): Value {
    const square = this.#node('ReduceMean', [this.multiply(x, x), this.ints([-1])], x.type, x.dims.with(-1, 1), [int('keepdims', 1)]);
    const root = this.#node('Sqrt', [this.add(square, this.scalar('f32', epsilon))], x.type, square.dims);
    return this.multiply(this.#elementwise('Div', x, root), gain);
  }

  activation(x: Value, kind: BlockSizes['activation']): Value {
    if (kind === 'gelu_tanh' || kind === 'gelu_erf') {
      return this.#node('Gelu', [x], x.type, x.dims, [{ name: 'approximate', value: { string: kind === 'gelu_tanh' ? 'tanh' : 'none' } }]);
    }
    const inner = kind === 'silu' ? x : this.multiply(x, this.scalar('f16', QUICK_GELU));
    return this.multiply(x, this.#node('Sigmoid', [inner], x.type, x.dims));
  }

  /** Over the last axis. */
  softmax(x: Value): Value {
    return this.#node('Softmax', [x], x.type, x.dims, [int('axis', -1)]);
  }

  transpose(x: Value, order: number[]): Value {
    const dims = order.map((axis) => x.dims[axis] as Dim);
    return this.#node('Transpose', [x], x.type, dims, [{ name: 'perm', value: { ints: order } }]);
  }

  /** `dims` of the result; a name stands for a size that is the same axis of x, and is copied. */
  reshape(x: Value, dims: Dim[]): Value {
    const shape = this.ints(dims.map((dim) => (typeof dim === 'number' ? dim : 0)));
    return this.#node('Reshape', [x, shape], x.type, dims);
  }

  concat(values: Value[], axis: number, size: Dim): Value {
    const first = values[0] as Value;
    for (const value of values) this.#same('Concat', first, value);
    return this.#node('Concat', values, first.type, first.dims.with(axis, size), [int('axis', axis)]);
  }

  /** Pieces of `sizes` along `axis`. */
  split(x: Value, axis: number, sizes: number[]): Value[] {
    const outputs = sizes.map((size) => ({ name: this.#fresh('Split'), type: x.type, dims: x.dims.with(axis, size) }));
    this.#add('Split', [x, this.ints(sizes)], outputs, [int('axis', axis)]);
    return outputs;
  }

  /** Size of one axis: i64 [1]. */
  size(x: Value, axis: number): Value {
    return this.#node('Shape', [x], 'i64', [1], [int('start', axis), int('end', axis + 1)]);
  }

  /** From `start` to `end` (i64 [1] each; no end: to the last) along `axis`, which becomes `size` long. */
  slice(x: Value, axis: number, start: Value, end: Value | undefined, size: Dim): Value {
    return this.#node('Slice', [x, start, end ?? this.ints([2 ** 31 - 1]), this.ints([axis])], x.type, x.dims.with(axis, size));
  }

  /** Rows of x, by their indices. */
  gather(x: Value, rows: Value): Value {
    return this.#node('Gather', [x, rows], x.type, [...rows.dims, ...x.dims.slice(1)], [int('axis', 0)]);
  }

  /** Means of 2 × 2 neighbours of [1, channels, side, side]. */
  halved(x: Value): Value {
    const [batch, channels, side] = x.dims as [Dim, Dim, number];
    return this.#node('AveragePool', [x], x.type, [batch, channels, side / 2, side / 2], [ints('kernel_shape', [2, 2]), ints('strides', [2, 2])]);
  }

  /** Each channel of [1, channels, side, side] with its own 3 × 3, zeros around. weight [channels, 1, 3, 3] */
  depthwise(x: Value, weight: Value, bias: Value): Value {
    const attributes = [ints('kernel_shape', [3, 3]), ints('pads', [1, 1, 1, 1]), int('group', x.dims[1] as number)];
    return this.#node('Conv', [x, weight, bias], x.type, x.dims, attributes);
  }

  /** Square pictures [1, channels, side, side] cut into patches without overlap. */
  patches(x: Value, weight: Value, bias: Value, side: number, grid: number): Value {
    const attributes = [ints('kernel_shape', [side, side]), ints('strides', [side, side])];
    return this.#node('Conv', [x, weight, bias], x.type, [1, weight.dims[0] as Dim, grid, grid], attributes);
  }

  model(metadata: Record<string, string>): Model {
    return {
      irVersion: IR_VERSION,
      opset: OPSET,
      metadata,
      name: this.name,
      nodes: this.#nodes,
      initializers: [...this.#initializers.values()],
      inputs: this.#inputs,
      outputs: this.#outputs,
    };
  }

  // ---- how nodes come about

  #node(op: string, inputs: Value[], type: ElementType, dims: Dim[], attributes: Attribute[] = []): Value {
    const result = { name: this.#fresh(op), type, dims };
    this.#add(op, inputs, result, attributes);
    return result;
  }

  #add(op: string, inputs: Value[], outputs: Value | Value[], attributes: Attribute[] = []): void {
    const names = [outputs].flat().map(({ name }) => name);
    this.#nodes.push({ name: names[0] as string, op, inputs: inputs.map(({ name }) => name), outputs: names, attributes });
  }

  #elementwise(op: string, a: Value, b: Value): Value {
    this.#same(op, a, b);
    return this.#node(op, [a, b], a.type, a.dims.length >= b.dims.length ? a.dims : b.dims);
  }

  #same(op: string, a: Value, b: Value): void {
    if (a.type !== b.type) throw broken(`${op} in ${this.#scope}: ${a.name} is ${a.type}, ${b.name} is ${b.type}`);
  }

  #fresh(op: string): string {
    const path = this.#scope === '' ? op : `${this.#scope}/${op}`;
    let name = path;
    for (let i = 1; this.#names.has(name); i++) name = `${path}_${i}`;
    this.#names.add(name);
    return name;
  }

  /** The same name is the same constant. */
  #constant(name: string, type: ElementType, dims: number[], data: Uint8Array): Value {
    const expected = dims.reduce((product, dim) => product * dim, type === 'i64' ? 8 : type === 'i32' ? 4 : BYTES_OF[type.toUpperCase() as 'F32']);
    if (data.byteLength !== expected) throw broken(`${name}: ${data.byteLength} bytes do not fill ${type} [${dims}]`);
    this.#initializers.set(name, { name, type: DATA_TYPE[type], dims, data });
    return { name, type, dims };
  }
}

const int = (name: string, value: number): Attribute => ({ name, value: { int: value } });
const ints = (name: string, values: number[]): Attribute => ({ name, value: { ints: values } });
const float = (name: string, value: number): Attribute => ({ name, value: { float: value } });

function bytesOf(values: { buffer: ArrayBufferLike; byteOffset: number; byteLength: number }): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}

function broken(message: string): MiphaError {
  return new MiphaError('ERR_INTERNAL', `graph: ${message}`);
}
