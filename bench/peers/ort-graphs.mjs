// Graphs for ONNX Runtime over a package's own weights. It multiplies in INT8 where it finds DynamicQuantizeLinear, MatMulInteger and a scale: it quantizes
// its input with one scale for all rows, where mipha-edge takes one for each.
import { existsSync, linkSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fromDist } from '../../scripts/arguments.mjs';

const WEIGHTS = 'weights.safetensors';
const FLOAT = 1; // of the attribute `to` of Cast

/**
 * x [rows, columns] → [rows, rows of the matrix], named `output`. A matrix is read as if its bytes lay column after column, as MatMulInteger wants them:
 * random weights are as random that way, and nothing needs to be turned.
 */
function int8Product({ x, weight, scale, output }) {
  const node = (op, inputs, outputs, attributes = []) => ({ name: outputs[0], op, inputs, outputs, attributes });
  const [q, qScale, zero, sums, floats, scales] = ['q', 'q_scale', 'q_zero', 'sums', 'floats', 'scales'].map((part) => `${output}/${part}`);
  return [
    node('DynamicQuantizeLinear', [x], [q, qScale, zero]),
    node('MatMulInteger', [q, weight, zero], [sums]),
    node('Cast', [sums], [floats], [{ name: 'to', value: { int: FLOAT } }]),
    node('Mul', [qScale, scale], [scales]),
    node('Mul', [floats, scales], [output]),
  ];
}

/** The matrices of blocks and nothing else, one after the other; of qkv the part of q goes on. Input `x`, output `y`. Gives the path. */
export async function writeBare(folder, packageFolder, name, blocks, more = []) {
  const [{ DATA_TYPE, encodeModel }, { openSafetensors }, { matricesOf }] = await Promise.all([
    fromDist('package/onnx/proto.js'),
    fromDist('package/safetensors.js'),
    fromDist('package/block.js'),
  ]);
  linkWeights(folder, packageFolder);
  const file = await openSafetensors(join(packageFolder, WEIGHTS));
  const external = (tensor, type, dims) => {
    const { offset, bytes } = file.tensors.get(tensor);
    return { name: tensor, type, dims, data: { location: WEIGHTS, offset, length: bytes, otherKeys: [] } };
  };
  const whole = (list, label) => ({
    name: label,
    type: DATA_TYPE.i64,
    dims: [list.length],
    data: new Uint8Array(BigInt64Array.from(list, BigInt).buffer),
  });
  const nodes = [];
  const initializers = new Map([
    ['zero', whole([0], 'zero')],
    ['last axis', whole([1], 'last axis')],
  ]);
  let [x, width] = ['x', blocks[0]?.qkv.columns ?? more[0].columns];
  for (const { name: matrix, rows, columns } of [...blocks.flatMap(matricesOf), ...more]) {
    if (width > columns) {
      initializers.set(`${columns}`, whole([columns], `${columns}`));
      nodes.push({ name: `${x}/part`, op: 'Slice', inputs: [x, 'zero', `${columns}`, 'last axis'], outputs: [`${x}/part`], attributes: [] });
      x = `${x}/part`;
    }
    initializers.set(`${matrix}.weight`, external(`${matrix}.weight`, DATA_TYPE.i8, [columns, rows]));
    initializers.set(`${matrix}.scale`, external(`${matrix}.scale`, DATA_TYPE.f32, [rows]));
    nodes.push(...int8Product({ x, weight: `${matrix}.weight`, scale: `${matrix}.scale`, output: matrix }));
    [x, width] = [matrix, rows];
  }
  await file.close();
  nodes.push({ name: 'y', op: 'Identity', inputs: [x], outputs: ['y'], attributes: [] });
  const value = (label, columns) => ({ name: label, type: DATA_TYPE.f32, dims: ['rows', columns] });
  const inputs = [value('x', blocks[0]?.qkv.columns ?? more[0].columns)];
  const model = {
    irVersion: 9,
    opset: 20,
    metadata: {},
    name,
    nodes,
    initializers: [...initializers.values()],
    inputs,
    outputs: [value('y', width)],
  };
  const path = join(folder, `${name}.onnx`);
  writeFileSync(path, encodeModel(model));
  return path;
}

/** Our own graphs of tower and language model, made what ONNX Runtime's processor kernels do best: INT8 products as above, FP32 instead of FP16. */
export async function writeWhole(folder, packageFolder) {
  const [{ encodeModel }, { openGraphSource }, { modelOf, segmentsOf }] = await Promise.all(
    ['package/onnx/proto.js', 'package/onnx/source.js', 'package/onnx/write.js'].map(fromDist),
  );
  linkWeights(folder, packageFolder);
  const source = await openGraphSource(await calibrated(folder, packageFolder));
  const paths = {};
  for (const segment of segmentsOf(source.manifest.architecture.language.layers, 1)) {
    const path = join(folder, `${segment.kind}.onnx`);
    writeFileSync(path, encodeModel(await forRuntime(modelOf(source, segment, true))));
    paths[segment.kind] = path;
  }
  return paths;
}

async function forRuntime(model) {
  const [{ Facts }, { DATA_TYPE }, { toFloat32 }] = await Promise.all(
    ['package/onnx/facts.js', 'package/onnx/proto.js', 'package/floats.js'].map(fromDist),
  );
  const facts = new Facts(model);
  const products = new Map(facts.products.filter(({ quantizedWeight }) => quantizedWeight).map((product) => [product.node, product]));
  const replaced = new Set();
  const nodes = model.nodes.flatMap((node) => {
    const product = products.get(node);
    if (product === undefined) return [node];
    const turned = facts.maker(node.inputs[1]);
    const dequantized = facts.maker(turned.inputs[0]);
    replaced.add(turned).add(dequantized);
    product.weight.dims.reverse();
    return int8Product({ x: node.inputs[0], weight: product.weight.name, scale: dequantized.inputs[1], output: node.outputs[0] });
  });
  for (const { name, value } of nodes.flatMap(({ attributes }) => attributes))
    if (name === 'to' && value.int === DATA_TYPE.f16) value.int = DATA_TYPE.f32;
  for (const tensor of [...model.initializers, ...model.inputs, ...model.outputs]) {
    if (tensor.type !== DATA_TYPE.f16) continue;
    tensor.type = DATA_TYPE.f32;
    if (tensor.data !== undefined) tensor.data = new Uint8Array(toFloat32(tensor.data, 'F16').buffer);
  }
  return { ...model, nodes: nodes.filter((node) => !replaced.has(node)) };
}

/** The package as if it had been calibrated: what would be in there is not used. */
async function calibrated(folder, packageFolder) {
  const { readText } = await fromDist('package/checkpoint.js');
  const to = join(folder, 'calibrated');
  mkdirSync(to, { recursive: true });
  linkWeights(to, packageFolder);
  const manifest = JSON.parse(await readText(join(packageFolder, 'manifest.json')));
  const record = { bytes: 0, sha256: '0'.repeat(64) };
  writeFileSync(join(to, 'manifest.json'), JSON.stringify({ ...manifest, files: { ...manifest.files, 'calibration.json': record } }));
  writeFileSync(join(to, 'calibration.json'), JSON.stringify({ samples: 1, pictures: [], prompts: [], budget: 1, error: 0, matrices: {} }));
  return to;
}

function linkWeights(folder, packageFolder) {
  mkdirSync(folder, { recursive: true });
  if (!existsSync(join(folder, WEIGHTS))) linkSync(join(packageFolder, WEIGHTS), join(folder, WEIGHTS));
}
