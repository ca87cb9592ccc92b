/** The INT8 products inside nano's graphs: what ONNX Runtime's integer product makes of their operands is, to the bit, what the CPU backend makes. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Tensor } from 'onnxruntime-node';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { loadAddon } from '../../../src/addon/load.js';
import { WEIGHTS_FILE } from '../../../src/package/manifest.js';
import { Facts, type Product, valuesOf } from '../../../src/package/onnx/facts.js';
import { DATA_TYPE, encodeModel, type Model } from '../../../src/package/onnx/proto.js';
import { openGraphSource } from '../../../src/package/onnx/source.js';
import { segmentsOf, writeGraph } from '../../../src/package/onnx/write.js';
import { openSafetensors } from '../../../src/package/safetensors.js';
import { nanoSamples } from '../../support/calibrated.js';
import { openSession } from '../../support/onnx-model.js';
import { sharedNano } from '../../support/shared-nano.js';
import { testAddon } from '../../support/test-addon.js';

const folder = mkdtempSync(join(tmpdir(), 'mipha-integer-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

let out: string;
beforeAll(async () => {
  out = await sharedNano();
});

it('every INT8 product of the tower, of the projector and of the language model', async () => {
  const source = await openGraphSource(out);
  const { vision, language } = source.manifest.architecture;
  const { pixels } = (await nanoSamples(join(folder, 'input'))).samples[5] as { pixels: Uint8Array };
  const planes = Float32Array.from({ length: pixels.length }, (_, i) => {
    const size = vision.imageSize ** 2;
    return (pixels[3 * (i % size) + Math.floor(i / size)] as number) / 127.5 - 1;
  });
  const rows = 6;
  const floats = (dims: number[], value: (i: number) => number) => {
    return new Tensor(
      'float32',
      Float32Array.from({ length: dims.reduce((product, dim) => product * dim, 1) }, (_, i) => value(i)),
      dims,
    );
  };
  const past = new Tensor('float16', new Uint16Array(), [0, language.kvHeads, language.headSize]);

  let products = 0;
  for (const segment of segmentsOf(language.layers, 1)) {
    const { model } = await writeGraph(join(folder, 'graphs'), source, segment);
    const facts = new Facts(model);
    const shown = await run(
      model,
      facts,
      segment.kind === 'vision'
        ? { pixels: new Tensor('float32', planes, [1, 3, vision.imageSize, vision.imageSize]) }
        : {
            hidden_in: floats([rows, language.hidden], Math.sin),
            cosine: floats([rows, language.rotaryDims / 2], (i) => Math.cos(i / 7)),
            sine: floats([rows, language.rotaryDims / 2], (i) => Math.sin(i / 7)),
            mask: floats([rows, rows], (i) => (i % rows > Math.floor(i / rows) ? -60000 : 0)),
            rows: new Tensor('int32', Int32Array.from([0, 3, 5]), [3]),
            ...Object.fromEntries(
              Array.from({ length: language.layers }, (_, l) => [
                [`past_keys.${l}`, past],
                [`past_values.${l}`, past],
              ]).flat(),
            ),
          },
    );
    for (const product of facts.products.filter(({ quantizedInput }) => quantizedInput)) {
      await compare(facts, product, shown);
      products++;
    }
  }
  expect(products).toBe(35);
}, 120_000);

/** Runs the graph with the INT8 inputs and the results of its products as further outputs. */
async function run(model: Model, facts: Facts, feeds: Record<string, Tensor>): Promise<Record<string, Tensor>> {
  const outputs = facts.products.flatMap((product) => [
    { name: quantizedInput(facts, product), type: DATA_TYPE.i8, dims: ['m', 'k'] },
    { name: product.node.outputs[0] as string, type: DATA_TYPE.f16, dims: ['m', 'n'] },
  ]);
  const once = outputs.filter(({ name }, i) => outputs.findIndex((other) => other.name === name) === i);
  // Bytes instead of a path would have no folder for the external data: the graph is made whole.
  const file = await openSafetensors(join(out, WEIGHTS_FILE));
  for (const tensor of model.initializers) {
    if (tensor.data instanceof Uint8Array) continue;
    const data = new Uint8Array(tensor.data.length);
    await file.read(tensor.data.offset, data);
    tensor.data = data;
  }
  await file.close();
  const session = await openSession(encodeModel({ ...model, outputs: once }));
  return (await session.run(feeds)) as Record<string, Tensor>;
}

function quantizedInput(facts: Facts, { node }: Product): string {
  return facts.maker(node.inputs[0])?.inputs[0] as string;
}

async function compare(facts: Facts, product: Product, shown: Record<string, Tensor>): Promise<void> {
  const operand = shown[quantizedInput(facts, product)] as Tensor;
  const [rows, columns] = operand.dims as [number, number];
  const out = product.weight.dims[0] as number;
  // ONNX saturates at -128, the CPU's own quantization at -127, which is what its kernels take.
  const x = Int8Array.from(operand.data as Int8Array, (value) => Math.max(value, -127));
  const weight = new Int8Array((product.weight.data as Uint8Array).slice().buffer);

  const judge = await openSession(encodeModel(integerProduct(rows, columns, out)));
  const { y } = await judge.run({ x: new Tensor('int8', x, [rows, columns]), weight: new Tensor('int8', weight, [out, columns]) });
  const judged = (y as Tensor).data as Int32Array;
  for (const isa of loadAddon().cpu().runnable) {
    expect(testAddon().matmulInt8(x, weight, rows, columns, out, isa), `${product.matrix} on ${isa}`).toEqual(judged);
  }

  // And the graph's own product is that integer times the scales, rounded to FP16 at its operands and its result.
  if (x.some((value, i) => value !== (operand.data as Int8Array)[i])) return;
  const inputScale = (valuesOf(facts.constant(facts.maker(product.node.inputs[0])?.inputs[1]) as never) as number[])[0] as number;
  const scales = valuesOf(facts.constant(`${product.matrix}.scale`) as never) as number[];
  const result = (shown[product.node.outputs[0] as string] as Tensor).data as unknown as Uint16Array;
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < out; column++) {
      const exact = (judged[row * out + column] as number) * inputScale * (scales[column] as number);
      const error = Math.abs(half(result[row * out + column] as number) - exact);
      if (error <= 3 * 2 ** -11 * Math.abs(exact)) continue; // no sum of magnitudes is smaller than the sum
      const sum = sumOfMagnitudes(x, weight, row, column, columns) * inputScale * (scales[column] as number);
      if (error > 3 * 2 ** -11 * sum) expect(error, `${product.matrix} [${row}, ${column}]`).toBeLessThanOrEqual(3 * 2 ** -11 * sum);
    }
  }
}

function sumOfMagnitudes(x: Int8Array, weight: Int8Array, row: number, column: number, columns: number): number {
  let sum = 0;
  for (let i = 0; i < columns; i++) sum += Math.abs((x[row * columns + i] as number) * (weight[column * columns + i] as number));
  return sum;
}

function half(bits: number): number {
  return (valuesOf({ name: '', type: DATA_TYPE.f16, dims: [1], data: new Uint8Array(Uint16Array.of(bits).buffer) }) as number[])[0] as number;
}

function integerProduct(rows: number, columns: number, out: number): Model {
  return {
    irVersion: 9,
    opset: 20,
    metadata: {},
    name: 'integer',
    nodes: [
      { name: 't', op: 'Transpose', inputs: ['weight'], outputs: ['t'], attributes: [{ name: 'perm', value: { ints: [1, 0] } }] },
      { name: 'y', op: 'MatMulInteger', inputs: ['x', 't'], outputs: ['y'], attributes: [] },
    ],
    initializers: [],
    inputs: [
      { name: 'x', type: DATA_TYPE.i8, dims: [rows, columns] },
      { name: 'weight', type: DATA_TYPE.i8, dims: [out, columns] },
    ],
    outputs: [{ name: 'y', type: DATA_TYPE.i32, dims: [rows, out] }],
  };
}
