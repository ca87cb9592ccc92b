/** One broken graph for each rule, made from nano's real ones; and the real ones, which break none. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { lint } from '../../../src/package/onnx/lint.js';
import { DATA_TYPE, decodeModel, encodeModel, type Model } from '../../../src/package/onnx/proto.js';
import { type GraphSource, openGraphSource } from '../../../src/package/onnx/source.js';
import { lintContext, modelOf, type Segment, segmentsOf, writeGraph } from '../../../src/package/onnx/write.js';
import { counts } from '../../support/counts.js';
import { attribute, constant, found, insert, node, own, set } from '../../support/graph-surgery.js';
import { sharedNano } from '../../support/shared-nano.js';

const folder = mkdtempSync(join(tmpdir(), 'mipha-lint-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

let source: GraphSource;
beforeAll(async () => {
  source = await openGraphSource(await sharedNano());
});

const SEGMENTS = segmentsOf(4, 2);
const VISION = SEGMENTS[0] as Segment;
const FIRST = SEGMENTS[1] as Segment;
const LAST = SEGMENTS[2] as Segment;

const QUANTIZE = 'language.layers.1/qkv/QuantizeLinear';
const WEIGHT = 'language.layers.1/qkv/DequantizeLinear';
const PRODUCT = 'language.layers.1/qkv/MatMul';

interface Broken {
  rule: string;
  how: string;
  segment: Segment;
  node: string | RegExp;
  breakIt: (model: Model) => void;
}

const BROKEN: Broken[] = [
  { rule: 'opset', how: 'a newer opset', segment: FIRST, node: '', breakIt: (m) => set(m, { opset: 21 }) },
  { rule: 'opset', how: 'another IR version', segment: FIRST, node: '', breakIt: (m) => set(m, { irVersion: 10 }) },
  {
    rule: 'operator',
    how: 'an operator that the parser lacks',
    segment: FIRST,
    node: PRODUCT,
    breakIt: (m) => set(node(m, PRODUCT), { op: 'MatMulInteger' }),
  },
  { rule: 'name', how: 'a node without a name', segment: FIRST, node: '', breakIt: (m) => set(node(m, PRODUCT), { name: '' }) },
  {
    rule: 'element-type',
    how: 'an output in BF16',
    segment: FIRST,
    node: 'hidden_out',
    breakIt: (m) => set(found(m.outputs.find(({ name }) => name === 'hidden_out')), { type: 16 }),
  },
  {
    rule: 'element-type',
    how: 'UINT8 weights',
    segment: FIRST,
    node: 'language.layers.1.qkv.weight',
    breakIt: (m) => set(constant(m, 'language.layers.1.qkv.weight'), { type: 2 }),
  },
  {
    rule: 'element-type',
    how: 'BF16 on the way',
    segment: FIRST,
    node: 'language.layers.1/Cast',
    breakIt: (m) => set(attribute(node(m, 'language.layers.1/Cast'), 'to'), { value: { int: 16 } }),
  },
  {
    rule: 'strong-type',
    how: 'FP32 added to FP16',
    segment: FIRST,
    node: 'language.layers.1/qkv/Add',
    breakIt: (m) => own(m, 'language.layers.1/qkv/Add', 1, (t) => set(t, { type: DATA_TYPE.f32 })),
  },
  { rule: 'axis', how: 'no axis', segment: FIRST, node: WEIGHT, breakIt: (m) => set(node(m, WEIGHT), { attributes: [] }) },
  {
    rule: 'axis',
    how: 'one scale for all rows',
    segment: FIRST,
    node: WEIGHT,
    breakIt: (m) => own(m, WEIGHT, 1, (t) => set(t, { dims: [], data: Uint8Array.of(0, 0x3c) })),
  },
  {
    rule: 'axis',
    how: 'the other axis',
    segment: FIRST,
    node: WEIGHT,
    breakIt: (m) => set(attribute(node(m, WEIGHT), 'axis'), { value: { int: 1 } }),
  },
  { rule: 'zero-point', how: 'none', segment: FIRST, node: QUANTIZE, breakIt: (m) => void node(m, QUANTIZE).inputs.pop() },
  { rule: 'zero-point', how: 'UINT8', segment: FIRST, node: QUANTIZE, breakIt: (m) => own(m, QUANTIZE, 2, (t) => set(t, { type: 2 })) },
  {
    rule: 'zero-point',
    how: 'one for many scales',
    segment: FIRST,
    node: WEIGHT,
    breakIt: (m) => own(m, WEIGHT, 2, (t) => set(t, { dims: [], data: new Uint8Array(1) })),
  },
  {
    rule: 'zero-point',
    how: 'not zero',
    segment: FIRST,
    node: QUANTIZE,
    breakIt: (m) => own(m, QUANTIZE, 2, (t) => set(t, { data: Uint8Array.of(3) })),
  },
  { rule: 'scale', how: 'zero', segment: FIRST, node: QUANTIZE, breakIt: (m) => own(m, QUANTIZE, 1, (t) => set(t, { data: new Uint8Array(2) })) },
  {
    rule: 'scale',
    how: 'negative',
    segment: FIRST,
    node: QUANTIZE,
    breakIt: (m) => own(m, QUANTIZE, 1, (t) => set(t, { data: Uint8Array.of(0, 0xbc) })),
  },
  {
    rule: 'scale',
    how: 'FP32',
    segment: FIRST,
    node: QUANTIZE,
    breakIt: (m) => own(m, QUANTIZE, 1, (t) => set(t, { type: DATA_TYPE.f32, data: new Uint8Array(Float32Array.of(0.5).buffer) })),
  },
  { rule: 'scale', how: 'no constant', segment: FIRST, node: QUANTIZE, breakIt: (m) => set(node(m, QUANTIZE).inputs, { 1: 'mask' }) },
  {
    rule: 'scale',
    how: 'FP16 for an FP32 input',
    segment: FIRST,
    node: QUANTIZE,
    breakIt: (m) => set(node(m, QUANTIZE).inputs, { 0: 'language.layers.1/LayerNormalization' }),
  },
  {
    rule: 'weights',
    how: 'cast instead of dequantized',
    segment: FIRST,
    node: WEIGHT,
    breakIt: (m) => set(node(m, WEIGHT), { op: 'Cast', attributes: [{ name: 'to', value: { int: DATA_TYPE.f16 } }] }),
  },
  {
    rule: 'recipe',
    how: 'an input left wide',
    segment: FIRST,
    node: PRODUCT,
    breakIt: (m) => set(node(m, PRODUCT).inputs, { 0: node(m, QUANTIZE).inputs[0] as string }),
  },
  {
    rule: 'recipe',
    how: 'a product left out',
    segment: FIRST,
    node: 'language.layers.1.out',
    breakIt: (m) => set(m, { nodes: m.nodes.filter(({ name }) => name !== 'language.layers.1/out/MatMul') }),
  },
  {
    rule: 'quantized-elsewhere',
    how: 'Q/DQ before an addition',
    segment: FIRST,
    node: 'language.layers.1/qkv/Add',
    breakIt: (m) => set(node(m, 'language.layers.1/qkv/Add').inputs, { 0: node(m, PRODUCT).inputs[0] as string }),
  },
  {
    rule: 'quantized-elsewhere',
    how: 'INT8 probabilities times V',
    segment: FIRST,
    node: /language\.layers\.1\/attention\/MatMul/,
    breakIt: (m) => {
      const product = found(m.nodes.findLast(({ name }) => name.startsWith('language.layers.1/attention/MatMul')));
      const [scale, zero] = node(m, QUANTIZE).inputs.slice(1) as [string, string];
      insert(m, product.name, {
        name: 'q',
        op: 'QuantizeLinear',
        inputs: [product.inputs[0] as string, scale, zero],
        outputs: ['q'],
        attributes: [],
      });
      insert(m, product.name, { name: 'dq', op: 'DequantizeLinear', inputs: ['q', scale, zero], outputs: ['dq'], attributes: [] });
      product.inputs[0] = 'dq';
    },
  },
  {
    rule: 'depth',
    how: 'eight columns',
    segment: FIRST,
    node: PRODUCT,
    breakIt: (m) => set(constant(m, 'language.layers.1.qkv.weight').dims, { 1: 8 }),
  },
  {
    rule: 'layer-norm',
    how: 'no bias',
    segment: VISION,
    node: 'vision.layers.0/LayerNormalization',
    breakIt: (m) => void node(m, 'vision.layers.0/LayerNormalization').inputs.pop(),
  },
  {
    rule: 'layer-norm',
    how: 'FP16',
    segment: VISION,
    node: 'vision.layers.0/LayerNormalization',
    breakIt: (m) =>
      own(m, 'vision.layers.0/LayerNormalization', 1, (t) => set(t, { type: DATA_TYPE.f16, data: new Uint8Array(2 * (t.dims[0] as number)) })),
  },
  {
    rule: 'layer-norm',
    how: 'sums in FP16',
    segment: VISION,
    node: 'vision.layers.0/LayerNormalization',
    breakIt: (m) => set(attribute(node(m, 'vision.layers.0/LayerNormalization'), 'stash_type'), { value: { int: 10 } }),
  },
  {
    rule: 'activation',
    how: 'the exact form in the tower',
    segment: VISION,
    node: 'vision.layers.0/Gelu',
    breakIt: (m) => set(attribute(node(m, 'vision.layers.0/Gelu'), 'approximate'), { value: { string: 'none' } }),
  },
  {
    rule: 'activation',
    how: 'the approximation in the projector',
    segment: VISION,
    node: 'Gelu',
    breakIt: (m) => set(attribute(node(m, 'Gelu'), 'approximate'), { value: { string: 'tanh' } }),
  },
  {
    rule: 'activation',
    how: 'left to a default',
    segment: FIRST,
    node: 'language.layers.0/Gelu',
    breakIt: (m) => set(node(m, 'language.layers.0/Gelu'), { attributes: [] }),
  },
  {
    rule: 'scores',
    how: 'softmax in FP16',
    segment: FIRST,
    node: 'language.layers.0/attention/Softmax',
    breakIt: (m) => {
      const softmax = node(m, 'language.layers.0/attention/Softmax');
      insert(m, softmax.name, {
        name: 'half',
        op: 'Cast',
        inputs: [softmax.inputs[0] as string],
        outputs: ['half'],
        attributes: [{ name: 'to', value: { int: DATA_TYPE.f16 } }],
      });
      softmax.inputs[0] = 'half';
    },
  },
  {
    rule: 'scores',
    how: 'a query that is not scaled',
    segment: FIRST,
    node: /language\.layers\.0\/attention\/MatMul/,
    breakIt: (m) => {
      const scale = node(m, 'language.layers.0/attention/Mul');
      for (const reader of m.nodes) reader.inputs = reader.inputs.map((input) => (input === scale.outputs[0] ? (scale.inputs[0] as string) : input));
    },
  },
  {
    rule: 'scores',
    how: 'an unscaled query in the tower',
    segment: VISION,
    node: /vision\.layers\.0\/attention\/MatMul/,
    breakIt: (m) => set(constant(m, node(m, 'vision.layers.0/attention/Mul').inputs[1]), { data: Uint8Array.of(0, 0x40) }),
  },
  {
    rule: 'fused-qkv',
    how: 'q on its own',
    segment: FIRST,
    node: 'language.layers.1',
    breakIt: (m) => {
      constant(m, 'language.layers.1.qkv.weight').name = 'language.layers.1.q.weight';
      node(m, WEIGHT).inputs[0] = 'language.layers.1.q.weight';
    },
  },
  {
    rule: 'norm',
    how: 'a product past the LayerNorm',
    segment: FIRST,
    node: PRODUCT,
    breakIt: (m) => set(node(m, PRODUCT).inputs, { 0: 'hidden_in' }),
  },
  {
    rule: 'reshape',
    how: 'a size to be found out',
    segment: FIRST,
    node: /language\.layers\.0\/attention\/Reshape/,
    breakIt: (m) => own(m, 'language.layers.0/attention/Reshape', 1, (t) => set(t, { data: new Uint8Array(BigInt64Array.of(0n, -1n).buffer) })),
  },
  {
    rule: 'external-data',
    how: 'a checksum',
    segment: FIRST,
    node: 'language.layers.1.qkv.weight',
    breakIt: (m) => set(constant(m, 'language.layers.1.qkv.weight').data, { otherKeys: ['checksum_'] }),
  },
  {
    rule: 'external-data',
    how: 'another folder',
    segment: FIRST,
    node: 'language.layers.1.qkv.weight',
    breakIt: (m) => set(constant(m, 'language.layers.1.qkv.weight').data, { location: '../weights.safetensors' }),
  },
  {
    rule: 'external-data',
    how: 'beyond the end',
    segment: FIRST,
    node: 'language.layers.1.qkv.weight',
    breakIt: (m) => set(constant(m, 'language.layers.1.qkv.weight').data, { offset: 1e12 }),
  },
  {
    rule: 'external-data',
    how: 'too short',
    segment: FIRST,
    node: 'language.layers.1.qkv.weight',
    breakIt: (m) => set(constant(m, 'language.layers.1.qkv.weight').data, { length: 5 }),
  },
  {
    rule: 'file-size',
    how: 'weights inline',
    segment: FIRST,
    node: '',
    breakIt: (m) =>
      set(constant(m, 'language.layers.1.qkv.bias'), { data: Object.defineProperty(new Uint8Array(), 'byteLength', { value: 2 ** 31 }) }),
  },
  {
    rule: 'time-major',
    how: 'heads first',
    segment: FIRST,
    node: 'past_keys.1',
    breakIt: (m) => void found(m.inputs.find(({ name }) => name === 'past_keys.1')).dims.reverse(),
  },
  {
    rule: 'time-major',
    how: 'FP32 keys',
    segment: LAST,
    node: 'past_keys.2',
    breakIt: (m) => set(found(m.inputs.find(({ name }) => name === 'past_keys.2')), { type: DATA_TYPE.f32 }),
  },
];

describe('the lint', () => {
  it.each([{ wide: false }, { wide: true }].slice(0, counts(1, 2)))(
    'has nothing to say about the graphs as they are written (wide: $wide)',
    async ({ wide }) => {
      for (const segment of SEGMENTS) {
        const { path, model } = await writeGraph(join(folder, `graphs-${wide}`), source, segment, wide);
        expect(lint(model, lintContext(source, segment, wide))).toEqual([]);
        const read = decodeModel(readFileSync(path));
        expect(lint(read, lintContext(source, segment, wide)), 'as read back from the file').toEqual([]);
        expect(encodeModel(read)).toEqual(encodeModel(model));
      }
    },
  );

  it.each(BROKEN)('$rule: $how', ({ rule, segment, node: where, breakIt }) => {
    const model = structuredClone(modelOf(source, segment, false));
    breakIt(model);
    const named = lint(model, lintContext(source, segment, false)).filter((complaint) => complaint.rule === rule);
    expect(named.map(({ node: name }) => name)).toContainEqual(typeof where === 'string' ? where : expect.stringMatching(where));
    expect(named.every(({ graph }) => graph === model.name)).toBe(true);
  });

  it('finds a graph that is written for another recipe', () => {
    const complaints = lint(modelOf(source, FIRST, true), lintContext(source, FIRST, false));
    expect(complaints.filter(({ rule }) => rule === 'recipe').map(({ message }) => message)).toContain('written as w8a16: the recipe says w8a8');
  });
});
