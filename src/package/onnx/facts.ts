/** What the rules of the lint ask about a graph: who makes and who reads a value, its element type, its constant, and the weighted products. */
import type { ElementType, Initializer, Model, Node } from './proto.js';
import { DATA_TYPE } from './proto.js';

export interface Product {
  node: Node; // the MatMul
  matrix: string;
  weight: Initializer; // [out, in]
  quantizedWeight: boolean;
  quantizedInput: boolean;
}

export class Facts {
  readonly #makers = new Map<string, Node>();
  readonly #readers = new Map<string, Node[]>();
  readonly #initializers: Map<string, Initializer>;
  readonly #types = new Map<string, ElementType | undefined>();
  readonly products: Product[];

  constructor(readonly model: Model) {
    this.#initializers = new Map(model.initializers.map((tensor) => [tensor.name, tensor]));
    for (const node of model.nodes) {
      for (const output of node.outputs) this.#makers.set(output, node);
      for (const input of node.inputs) this.#readers.set(input, [...(this.#readers.get(input) ?? []), node]);
    }
    for (const { name, type } of [...model.inputs, ...model.initializers]) this.#types.set(name, nameOf(type));
    for (const node of model.nodes) for (const output of node.outputs) this.#types.set(output, this.#typeMade(node));
    this.products = model.nodes.flatMap((node) => this.#product(node) ?? []);
  }

  maker(value: string | undefined): Node | undefined {
    return value === undefined ? undefined : this.#makers.get(value);
  }

  readers(value: string | undefined): Node[] {
    return (value === undefined ? undefined : this.#readers.get(value)) ?? [];
  }

  constant(value: string | undefined): Initializer | undefined {
    return value === undefined ? undefined : this.#initializers.get(value);
  }

  type(value: string | undefined): ElementType | undefined {
    return value === undefined ? undefined : this.#types.get(value);
  }

  isOutput(value: string): boolean {
    return this.model.outputs.some(({ name }) => name === value);
  }

  /** Nodes are in topological order, so the types of the inputs are known. */
  #typeMade({ op, inputs, attributes }: Node): ElementType | undefined {
    if (op === 'Cast') return nameOf(intOf(attributes, 'to') ?? 0);
    if (op === 'Shape') return 'i64';
    if (op === 'QuantizeLinear') return 'i8';
    return this.type(op === 'DequantizeLinear' ? inputs[1] : inputs[0]);
  }

  /** MatMul(x, Transpose(W)) with W as stored or dequantized, and x as it is or quantized and dequantized. */
  #product(node: Node): Product | undefined {
    if (node.op !== 'MatMul') return undefined;
    const transpose = this.maker(node.inputs[1]);
    if (transpose?.op !== 'Transpose') return undefined;
    const dequantize = this.maker(transpose.inputs[0]);
    const weight = this.constant(dequantize?.op === 'DequantizeLinear' ? dequantize.inputs[0] : transpose.inputs[0]);
    if (weight === undefined) return undefined;
    const input = this.maker(node.inputs[0]);
    const quantizedInput = input?.op === 'DequantizeLinear' && this.maker(input.inputs[0])?.op === 'QuantizeLinear';
    return { node, matrix: weight.name.replace(/\.weight$/, ''), weight, quantizedWeight: dequantize?.op === 'DequantizeLinear', quantizedInput };
  }
}

export function nameOf(type: number): ElementType | undefined {
  return (Object.keys(DATA_TYPE) as ElementType[]).find((name) => DATA_TYPE[name] === type);
}

export function intOf(attributes: Node['attributes'], name: string): number | undefined {
  const value = attributes.find((attribute) => attribute.name === name)?.value;
  return value !== undefined && 'int' in value ? value.int : undefined;
}

export function floatOf(attributes: Node['attributes'], name: string): number | undefined {
  const value = attributes.find((attribute) => attribute.name === name)?.value;
  return value !== undefined && 'float' in value ? value.float : undefined;
}

export function stringOf(attributes: Node['attributes'], name: string): string | undefined {
  const value = attributes.find((attribute) => attribute.name === name)?.value;
  return value !== undefined && 'string' in value ? value.string : undefined;
}

/** Numbers of an inline constant; undefined for one outside the graph. */
export function valuesOf({ type, data }: Initializer): number[] | undefined {
  if (!(data instanceof Uint8Array)) return undefined;
  const bytes = Uint8Array.from(data).buffer; // a copy, aligned
  if (type === DATA_TYPE.f32) return [...new Float32Array(bytes)];
  if (type === DATA_TYPE.i8) return [...new Int8Array(bytes)];
  if (type === DATA_TYPE.i32) return [...new Int32Array(bytes)];
  if (type === DATA_TYPE.i64) return [...new BigInt64Array(bytes)].map(Number);
  return type === DATA_TYPE.f16 ? [...new Uint16Array(bytes)].map(fromHalf) : undefined;
}

function fromHalf(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const mantissa = bits & 1023;
  if (exponent === 31) return mantissa === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  return sign * (exponent === 0 ? mantissa * 2 ** -24 : (1 + mantissa / 1024) * 2 ** (exponent - 15));
}
