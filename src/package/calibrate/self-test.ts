/**
 * The stored tensors by which an engine shows that it computes this package: what the FP32 forward pass gives when inputs are quantized as the recipe
 * says, at every layer boundary, for a short prefill and one decode step.
 */
import type { KeysAndValues, NativeStages } from '../../addon/addon.js';
import { type Block, decoderBlocks } from '../block.js';
import { toFloat16 } from '../floats.js';
import type { Architecture, FileRecord } from '../manifest.js';
import { bytesOf, SafetensorsWriter, storageOrder, type TensorSpec } from '../safetensors.js';
import { type Products, relativeError, type Sample, type Stage } from './stages.js';

const IDS = 8;
const FEATURE_ROWS = 8;

interface Stored extends TensorSpec {
  data: Float32Array | Uint16Array;
}

/** `native` runs the finished package; `products` quantize as its recipe says. */
export async function writeSelfTest(
  path: string,
  native: NativeStages,
  stages: Stage[],
  architecture: Architecture,
  products: Products,
  sample: Sample,
  onStage: () => void,
): Promise<FileRecord> {
  const tensors: Stored[] = [];
  const add = (name: string, shape: number[], data: Float32Array) => tensors.push({ name, dtype: 'F32', shape, data });
  const { vision, language } = architecture;
  const { hidden, vocab } = language;
  const { kvHeads, headSize, kvWidth } = decoderBlocks(architecture)[0] as Block;

  let rows: Float32Array = new Float32Array();
  let noise = 0;
  for (const stage of stages.filter(({ name }) => name.startsWith('vision') || name === 'projector')) {
    const input = stage.name === 'vision.patches' ? sample.pixels : rows;
    const run = await both(native, stage, input, products);
    noise += run.noise ** 2;
    rows = run.rows;
    onStage();
  }
  add('vision.pixels', [3, vision.imageSize, vision.imageSize], native.planes(sample.pixels));
  add('vision.features', [rows.length / hidden, hidden], rows);
  add('vision.noise', [1], Float32Array.of(Math.sqrt(noise)));

  const prompt = [...sample.prefix, ...sample.ids];
  const texts = {
    prefill: Int32Array.from({ length: IDS }, (_, i) => prompt[i % prompt.length] as number),
    decode: Int32Array.of(prompt.at(-1) as number),
  };
  const features = Float32Array.from({ length: FEATURE_ROWS * hidden }, (_, i) => rows[i % rows.length] as number);
  const pasts = new Map<string, KeysAndValues>();
  const noises = new Float32Array(language.layers + 1);
  for (const [phase, ids] of Object.entries(texts)) {
    let x = native.embed(ids);
    if (phase === 'prefill') x = Float32Array.from([...x, ...features]);
    const count = x.length / hidden;
    for (const [layer, stage] of stages.filter(({ name }) => name.startsWith('language')).entries()) {
      add(`language.${phase}.${layer}`, [count, hidden], x);
      const run = await both(native, stage, x, products, pasts.get(stage.name));
      pasts.set(stage.name, run.past);
      noises[layer] = Math.max(noises[layer] as number, run.noise);
      for (const [kind, values] of Object.entries(run.past)) {
        const data = toFloat16((values as Float32Array).slice(-count * kvWidth));
        tensors.push({ name: `language.${phase}.${layer}.${kind}`, dtype: 'F16', shape: [count, kvHeads, headSize], data });
      }
      x = run.rows;
      onStage();
    }
    add(`language.${phase}.${language.layers}`, [count, hidden], x);
    const head = await both(native, stages.at(-1) as Stage, x.slice(-hidden), products);
    noises[language.layers] = Math.max(noises[language.layers] as number, head.noise);
    add(`language.${phase}.logits`, [1, vocab], head.rows);
  }
  add('language.noise', [language.layers + 1], noises);
  return await write(path, tensors);
}

/** One stage quantized, and how far that is from the same stage with wide inputs. */
async function both(native: NativeStages, stage: Stage, input: Float32Array | Uint8Array, products: Products, past?: KeysAndValues) {
  const pasts = past === undefined ? undefined : [past];
  const own = Object.fromEntries(Object.entries(products).filter(([matrix]) => stage.matrices.includes(matrix)));
  const quantized = await native.run(stage.name, [input], own, pasts);
  const wide = await native.run(stage.name, [input], {}, pasts);
  const rows = quantized.rows[0] as Float32Array;
  return { rows, past: quantized.pasts[0] as KeysAndValues, noise: relativeError(rows, wide.rows[0] as Float32Array) };
}

async function write(path: string, tensors: Stored[]): Promise<FileRecord> {
  const ordered = storageOrder(tensors);
  const writer = await SafetensorsWriter.create(path, ordered);
  try {
    for (const { data, ...spec } of ordered) await writer.write(new Uint8Array(data.buffer, data.byteOffset, bytesOf(spec)));
    return await writer.finish({ durable: true });
  } catch (error) {
    await writer.abandon();
    throw error;
  }
}
