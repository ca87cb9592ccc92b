/** The graphs of packages with every switch of a transformer block: what they compute in ONNX Runtime, and what the lint says of them and of broken ones. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Sample } from '../../../src/package/calibrate/stages.js';
import { lint } from '../../../src/package/onnx/lint.js';
import type { Model } from '../../../src/package/onnx/proto.js';
import { type GraphSource, openGraphSource } from '../../../src/package/onnx/source.js';
import { lintContext, modelOf, type Segment, segmentsOf } from '../../../src/package/onnx/write.js';
import { compareGraphs } from '../../support/comparison.js';
import { counts } from '../../support/counts.js';
import { attribute, found, node, own, set } from '../../support/graph-surgery.js';
import { calibrateSwitched, SWITCHED } from '../../support/switched.js';

const root = mkdtempSync(join(tmpdir(), 'mipha-switched-graphs-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));

const [VISION, LANGUAGE] = segmentsOf(2, 1) as [Segment, Segment];

interface Broken {
  name: string;
  rule: string;
  how: string;
  segment: Segment;
  node: string;
  breakIt: (model: Model) => void;
}

const float = (value: number) => ({ data: new Uint8Array(Float32Array.of(value).buffer) });
/** Readers of what the node gives read its input instead. */
function skip(model: Model, name: string, input: number): void {
  const { inputs, outputs } = node(model, name);
  for (const reader of model.nodes) reader.inputs = reader.inputs.map((read) => (read === outputs[0] ? (inputs[input] as string) : read));
}

const BROKEN: Broken[] = [
  {
    ...{ name: 'clip, gemma', rule: 'rms-norm', how: 'over the rows', segment: LANGUAGE, node: 'language.layers.1/ReduceMean' },
    breakIt: (m) => own(m, 'language.layers.1/ReduceMean', 1, (t) => set(t, { data: new Uint8Array(BigInt64Array.of(0n).buffer) })),
  },
  {
    ...{ name: 'clip, gemma', rule: 'rms-norm', how: 'without the axis it went over', segment: LANGUAGE, node: 'language.layers.1/ReduceMean' },
    breakIt: (m) => set(attribute(node(m, 'language.layers.1/ReduceMean'), 'keepdims'), { value: { int: 0 } }),
  },
  {
    ...{ name: 'clip, gemma', rule: 'rms-norm', how: 'squares in FP16', segment: LANGUAGE, node: 'language.layers.1/ReduceMean' },
    breakIt: (m) => set(node(m, 'language.layers.1/ReduceMean').inputs, { 0: node(m, 'language.layers.1/Cast').outputs[0] as string }),
  },
  {
    ...{ name: 'dinov2, llama', rule: 'norm', how: 'another epsilon', segment: LANGUAGE, node: 'language.layers.0/qkv/MatMul' },
    breakIt: (m) => own(m, 'language.layers.0/Add', 1, (t) => set(t, float(1e-6))),
  },
  {
    ...{ name: 'dinov2, llama', rule: 'norm', how: 'squares of other rows', segment: LANGUAGE, node: 'language.layers.1/qkv/MatMul' },
    breakIt: (m) => set(node(m, 'language.layers.1/Mul').inputs, { 1: 'hidden_in' }),
  },
  {
    ...{ name: 'dinov2, llama', rule: 'norm', how: 'the MLP reads what attention reads', segment: LANGUAGE, node: 'language.layers.0/up/MatMul' },
    breakIt: (m) => {
      skip(m, 'language.layers.0/Add_1', 0); // the residual behind attention
    },
  },
  {
    ...{ name: 'one row skipped, neox', rule: 'norm', how: 'the MLP reads the first norm', segment: LANGUAGE, node: 'language.layers.0/up/MatMul' },
    breakIt: (m) => set(node(m, 'language.layers.0/LayerNormalization_1').inputs, { 1: 'language.layers.0.norm1.weight' }),
  },
  {
    ...{ name: 'one row skipped, neox', rule: 'norm', how: 'one norm behind the other', segment: LANGUAGE, node: 'language.layers.0/up/MatMul' },
    breakIt: (m) => set(node(m, 'language.layers.0/LayerNormalization_1').inputs, { 0: node(m, 'language.layers.0/Add').outputs[0] as string }),
  },
  {
    ...{ name: 'one row skipped, neox', rule: 'activation', how: 'tanh for erf', segment: LANGUAGE, node: 'language.layers.0/Gelu' },
    breakIt: (m) => set(attribute(node(m, 'language.layers.0/Gelu'), 'approximate'), { value: { string: 'tanh' } }),
  },
  {
    ...{ name: 'clip, gemma', rule: 'activation', how: 'SiLU for quick GELU', segment: VISION, node: 'vision.layers.0/Mul_1' },
    breakIt: (m) => skip(m, 'vision.layers.0/Mul', 0),
  },
  {
    ...{ name: 'clip, gemma', rule: 'activation', how: 'the halves exchanged', segment: LANGUAGE, node: 'language.layers.0/down/MatMul' },
    breakIt: (m) => void node(m, 'language.layers.0/Split_3').outputs.reverse(),
  },
  {
    ...{ name: 'dinov2, llama', rule: 'activation', how: 'the gate alone', segment: LANGUAGE, node: 'language.layers.0/down/MatMul' },
    breakIt: (m) => skip(m, 'language.layers.0/Mul_5', 0),
  },
  {
    ...{ name: 'dinov2, llama', rule: 'activation', how: 'a sigmoid of the other half', segment: LANGUAGE, node: 'language.layers.0/Mul_4' },
    breakIt: (m) =>
      set(node(m, 'language.layers.0/Sigmoid').inputs, {
        0: found(m.nodes.find(({ name }) => name === 'language.layers.0/Split_3')).outputs[1] as string,
      }),
  },
  {
    ...{ name: 'dinov2, llama', rule: 'activation', how: 'of what another layer gives', segment: LANGUAGE, node: 'language.layers.1/Mul_4' },
    breakIt: (m) => set(node(m, 'language.layers.1/Split_3').inputs, { 0: node(m, 'language.layers.0/up/Add').outputs[0] as string }),
  },
  {
    ...{ name: 'pooled llama, gated neox', rule: 'time-major', how: 'keys of every head', segment: LANGUAGE, node: 'past_keys.1' },
    breakIt: (m) => set(found(m.inputs.find(({ name }) => name === 'past_keys.1')), { dims: ['past', 2, 56] }),
  },
  {
    ...{
      name: 'pooled llama, gated neox',
      rule: 'scores',
      how: 'a query that is not scaled',
      segment: VISION,
      node: 'vision.layers.0/attention/MatMul',
    },
    breakIt: (m) => skip(m, 'vision.layers.0/attention/Mul', 0),
  },
  {
    ...{ name: 'pooled llama, gated neox', rule: 'strong-type', how: 'an FP16 root in a quotient', segment: VISION, node: 'vision.layers.0/Div' },
    breakIt: (m) => set(node(m, 'vision.layers.0/Div').inputs, { 1: node(m, 'vision.layers.0/Cast').outputs[0] as string }),
  },
];

it('every broken graph is of a package that is', () => {
  expect(SWITCHED).toEqual(expect.arrayContaining(BROKEN.map(({ name }) => name)));
});

describe.each(SWITCHED.slice(0, counts(2, 4)))('%s', (name) => {
  const folder = join(root, name);
  let source: GraphSource;
  let samples: Sample[];
  beforeAll(async () => {
    const calibrated = await calibrateSwitched(folder, name);
    samples = calibrated.samples;
    source = await openGraphSource(calibrated.out);
  });

  describe.each([
    { kind: 'INT8', wide: false },
    { kind: 'wide', wide: true },
  ])('$kind graphs', ({ kind, wide }) => {
    it('give what the reference gives: prefill, chunks, decode, forks', async () => {
      for (const [i, sample] of samples.entries()) {
        console.log(`${name}, ${kind}: ${await compareGraphs(source.folder, join(folder, `graphs-${kind}-${i}`), sample, wide)}`);
      }
    });

    it('break no rule of the lint', () => {
      for (const segment of [VISION, LANGUAGE]) expect(lint(modelOf(source, segment, wide), lintContext(source, segment, wide))).toEqual([]);
    });
  });

  it.each(BROKEN.filter((broken) => broken.name === name))('$rule: $how', ({ rule, segment, node: where, breakIt }) => {
    const model = structuredClone(modelOf(source, segment, false));
    breakIt(model);
    const named = lint(model, lintContext(source, segment, false)).filter((complaint) => complaint.rule === rule);
    expect(named.map((complaint) => complaint.node)).toEqual([where]);
  });
});
