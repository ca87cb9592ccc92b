/** The wire format of the parts of ONNX that the graphs use: messages of onnx.proto (IR 9) to bytes and back. Field numbers are onnx.proto's. */

export const DATA_TYPE = { f32: 1, i8: 3, i32: 6, i64: 7, f16: 10 } as const;
export type ElementType = keyof typeof DATA_TYPE;
const ATTRIBUTE_TYPE = { float: 1, int: 2, string: 3, ints: 7 } as const;

export type Dim = number | string; // a string names a size that is known when the graph runs

export interface Attribute {
  name: string;
  value: { float: number } | { int: number } | { string: string } | { ints: number[] };
}

export interface Node {
  name: string;
  op: string;
  inputs: string[];
  outputs: string[];
  attributes: Attribute[];
}

/** Bytes inline, or where they lie in a file beside the graph. */
export interface Initializer {
  name: string;
  type: number; // of DATA_TYPE; a reader may meet others
  dims: number[];
  data: Uint8Array | { location: string; offset: number; length: number; otherKeys: string[] };
}

export interface ValueInfo {
  name: string;
  type: number;
  dims: Dim[];
}

export interface Model {
  irVersion: number;
  opset: number;
  metadata: Record<string, string>;
  name: string;
  nodes: Node[];
  initializers: Initializer[];
  inputs: ValueInfo[];
  outputs: ValueInfo[];
}

// ---- writing

/** A protobuf message under construction. */
class Message {
  readonly #parts: Uint8Array[] = [];

  varint(field: number, value: number | bigint): this {
    return this.#push(varint((BigInt(field) << 3n) | 0n), varint(BigInt(value)));
  }

  float(field: number, value: number): this {
    return this.#push(varint((BigInt(field) << 3n) | 5n), new Uint8Array(Float32Array.of(value).buffer));
  }

  bytes(field: number, value: Uint8Array | string | Message): this {
    const bytes = typeof value === 'string' ? new TextEncoder().encode(value) : value instanceof Message ? value.encode() : value;
    return this.#push(varint((BigInt(field) << 3n) | 2n), varint(BigInt(bytes.byteLength)), bytes);
  }

  each<T>(items: Iterable<T>, add: (message: this, item: T) => void): this {
    for (const item of items) add(this, item);
    return this;
  }

  encode(): Uint8Array {
    return Buffer.concat(this.#parts);
  }

  #push(...parts: Uint8Array[]): this {
    this.#parts.push(...parts);
    return this;
  }
}

function varint(value: bigint): Uint8Array {
  const bytes: number[] = [];
  let left = BigInt.asUintN(64, value);
  do {
    const more = left > 127n;
    bytes.push(Number(left & 127n) | (more ? 128 : 0));
    left >>= 7n;
  } while (left > 0n);
  return Uint8Array.from(bytes);
}

export function encodeModel(model: Model): Uint8Array {
  const graph = new Message()
    .each(model.nodes, (message, node) => message.bytes(1, encodeNode(node)))
    .bytes(2, model.name)
    .each(model.initializers, (message, tensor) => message.bytes(5, encodeInitializer(tensor)))
    .each(model.inputs, (message, value) => message.bytes(11, encodeValue(value)))
    .each(model.outputs, (message, value) => message.bytes(12, encodeValue(value)));
  return new Message()
    .varint(1, model.irVersion)
    .bytes(2, 'mipha-edge')
    .bytes(7, graph)
    .bytes(8, new Message().bytes(1, '').varint(2, model.opset))
    .each(Object.entries(model.metadata), (message, [key, value]) => message.bytes(14, pair(key, value)))
    .encode();
}

function encodeNode({ name, op, inputs, outputs, attributes }: Node): Message {
  return new Message()
    .each(inputs, (message, input) => message.bytes(1, input))
    .each(outputs, (message, output) => message.bytes(2, output))
    .bytes(3, name)
    .bytes(4, op)
    .each(attributes, (message, attribute) => message.bytes(5, encodeAttribute(attribute)));
}

function encodeAttribute({ name, value }: Attribute): Message {
  const message = new Message().bytes(1, name);
  if ('float' in value) return message.float(2, value.float).varint(20, ATTRIBUTE_TYPE.float);
  if ('int' in value) return message.varint(3, value.int).varint(20, ATTRIBUTE_TYPE.int);
  if ('string' in value) return message.bytes(4, value.string).varint(20, ATTRIBUTE_TYPE.string);
  return message.each(value.ints, (to, int) => to.varint(8, int)).varint(20, ATTRIBUTE_TYPE.ints);
}

function encodeInitializer({ name, type, dims, data }: Initializer): Message {
  const message = new Message()
    .each(dims, (to, dim) => to.varint(1, dim))
    .varint(2, type)
    .bytes(8, name);
  if (data instanceof Uint8Array) return message.bytes(9, data);
  const { location, offset, length } = data;
  return message
    .each(Object.entries({ location, offset: String(offset), length: String(length) }), (to, [key, value]) => to.bytes(13, pair(key, value)))
    .varint(14, 1); // EXTERNAL
}

function encodeValue({ name, type, dims }: ValueInfo): Message {
  const shape = new Message().each(dims, (message, dim) =>
    message.bytes(1, typeof dim === 'number' ? new Message().varint(1, dim) : new Message().bytes(2, dim)),
  );
  return new Message().bytes(1, name).bytes(2, new Message().bytes(1, new Message().varint(1, type).bytes(2, shape)));
}

function pair(key: string, value: string): Message {
  return new Message().bytes(1, key).bytes(2, value);
}

// ---- reading

type Field = { field: number; number: bigint; bytes: Uint8Array };

/** The fields of a message in order. Throws a RangeError where it is cut short. */
function* fields(bytes: Uint8Array): Generator<Field> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let at = 0;
  const next = () => {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = view.getUint8(at++);
      value |= BigInt(byte & 127) << shift;
      if (byte < 128) return BigInt.asIntN(64, value);
    }
  };
  const take = (count: number) => {
    if (count < 0 || at + count > bytes.byteLength) throw new RangeError('message cut short');
    at += count;
    return bytes.subarray(at - count, at);
  };
  while (at < bytes.byteLength) {
    const key = Number(next());
    const wire = key & 7;
    if (wire === 0) yield { field: key >> 3, number: next(), bytes: new Uint8Array() };
    else if (wire === 2) yield { field: key >> 3, number: 0n, bytes: take(Number(next())) };
    else if (wire === 5) yield { field: key >> 3, number: 0n, bytes: take(4) };
    else if (wire === 1) yield { field: key >> 3, number: 0n, bytes: take(8) };
    else throw new RangeError(`wire type ${wire}`);
  }
}

const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);

/** Numbers of a repeated field, packed or not. */
function* numbers({ number, bytes }: Field): Generator<number> {
  if (bytes.byteLength === 0) return yield Number(number);
  let value = 0n;
  let shift = 0n;
  for (const byte of bytes) {
    value |= BigInt(byte & 127) << shift;
    shift += 7n;
    if (byte < 128) {
      yield Number(BigInt.asIntN(64, value));
      [value, shift] = [0n, 0n];
    }
  }
}

/** Throws a RangeError for bytes that are no protobuf message. Fields that the graphs do not use are passed over. */
export function decodeModel(bytes: Uint8Array): Model {
  const model: Model = { irVersion: 0, opset: 0, metadata: {}, name: '', nodes: [], initializers: [], inputs: [], outputs: [] };
  for (const { field, number, bytes: value } of fields(bytes)) {
    if (field === 1) model.irVersion = Number(number);
    if (field === 7) decodeGraph(value, model);
    if (field === 8) for (const inner of fields(value)) if (inner.field === 2) model.opset = Number(inner.number);
    if (field === 14) Object.assign(model.metadata, Object.fromEntries([decodePair(value)]));
  }
  return model;
}

function decodeGraph(bytes: Uint8Array, model: Model): void {
  for (const { field, bytes: value } of fields(bytes)) {
    if (field === 1) model.nodes.push(decodeNode(value));
    if (field === 2) model.name = text(value);
    if (field === 5) model.initializers.push(decodeInitializer(value));
    if (field === 11) model.inputs.push(decodeValue(value));
    if (field === 12) model.outputs.push(decodeValue(value));
  }
}

function decodeNode(bytes: Uint8Array): Node {
  const node: Node = { name: '', op: '', inputs: [], outputs: [], attributes: [] };
  for (const { field, bytes: value } of fields(bytes)) {
    if (field === 1) node.inputs.push(text(value));
    if (field === 2) node.outputs.push(text(value));
    if (field === 3) node.name = text(value);
    if (field === 4) node.op = text(value);
    if (field === 5) node.attributes.push(decodeAttribute(value));
  }
  return node;
}

function decodeAttribute(bytes: Uint8Array): Attribute {
  let name = '';
  let value: Attribute['value'] = { ints: [] };
  for (const field of fields(bytes)) {
    if (field.field === 1) name = text(field.bytes);
    if (field.field === 2) value = { float: new DataView(field.bytes.buffer, field.bytes.byteOffset).getFloat32(0, true) };
    if (field.field === 3) value = { int: Number(field.number) };
    if (field.field === 4) value = { string: text(field.bytes) };
    if (field.field === 8 && 'ints' in value) value.ints.push(...numbers(field));
  }
  return { name, value };
}

function decodeInitializer(bytes: Uint8Array): Initializer {
  const tensor: Initializer = { name: '', type: 0, dims: [], data: new Uint8Array() };
  const external: Record<string, string> = {};
  for (const field of fields(bytes)) {
    if (field.field === 1) tensor.dims.push(...numbers(field));
    if (field.field === 2) tensor.type = Number(field.number);
    if (field.field === 8) tensor.name = text(field.bytes);
    if (field.field === 9) tensor.data = field.bytes;
    if (field.field === 13) Object.assign(external, Object.fromEntries([decodePair(field.bytes)]));
  }
  const { location, offset, length, ...others } = external;
  if (location !== undefined) {
    tensor.data = { location, offset: Number(offset ?? Number.NaN), length: Number(length ?? Number.NaN), otherKeys: Object.keys(others) };
  }
  return tensor;
}

function decodeValue(bytes: Uint8Array): ValueInfo {
  const value: ValueInfo = { name: '', type: 0, dims: [] };
  for (const { field, bytes: inner } of fields(bytes)) {
    if (field === 1) value.name = text(inner);
    if (field !== 2) continue;
    for (const type of fields(inner)) for (const tensor of type.field === 1 ? fields(type.bytes) : []) decodeTensorType(tensor, value);
  }
  return value;
}

function decodeTensorType({ field, number, bytes }: Field, value: ValueInfo): void {
  if (field === 1) value.type = Number(number);
  if (field !== 2) return;
  for (const dim of fields(bytes)) for (const size of fields(dim.bytes)) value.dims.push(size.field === 1 ? Number(size.number) : text(size.bytes));
}

function decodePair(bytes: Uint8Array): [string, string] {
  let [key, value] = ['', ''];
  for (const { field, bytes: inner } of fields(bytes)) {
    if (field === 1) key = text(inner);
    if (field === 2) value = text(inner);
  }
  return [key, value];
}
