/** The stored tensors of a calibrated package judge as they should: ONNX Runtime's run of each graph passes, and one with a wrong V does not. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Tensor } from 'onnxruntime-node';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { SELF_TEST_FILE } from '../../../src/package/calibration.js';
import { toFloat32 } from '../../../src/package/floats.js';
import { encodeModel } from '../../../src/package/onnx/proto.js';
import { openGraphSource } from '../../../src/package/onnx/source.js';
import { type Segment, segmentsOf, writeGraph } from '../../../src/package/onnx/write.js';
import { openSafetensors } from '../../../src/package/safetensors.js';
import { openSession } from '../../support/onnx-model.js';
import { relativeError } from '../../support/quantized-reference.js';
import { sharedNano } from '../../support/shared-nano.js';

const folder = mkdtempSync(join(tmpdir(), 'mipha-stored-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const ROWS = 16;
let out: string;
const stored = new Map<string, { shape: number[]; data: Uint8Array<ArrayBuffer>; dtype: string }>();
beforeAll(async () => {
  out = await sharedNano();
  const file = await openSafetensors(join(out, SELF_TEST_FILE));
  for (const [name, { shape, dtype, offset, bytes }] of file.tensors) {
    const data = new Uint8Array(bytes);
    await file.read(offset, data);
    stored.set(name, { shape, dtype, data });
  }
  await file.close();
});

function floats(name: string): Float32Array {
  const { data, dtype } = stored.get(name) as { data: Uint8Array<ArrayBuffer>; dtype: string };
  return toFloat32(data, dtype as 'F16' | 'F32');
}

/** The limits of native/backend/tensorrt/check.cc. */
function limit(noise: number[], layers: number): number {
  return 1.5 * Math.hypot(...noise) + 2 ** -10 * Math.sqrt(layers);
}

async function runLanguage(path: string, { first, end }: { first: number; end: number }, phase: 'prefill' | 'decode', layers: number) {
  const [past, rows] = phase === 'prefill' ? [0, ROWS] : [ROWS, 1];
  const angles = Array.from({ length: rows * 16 }, (_, i) => (past + Math.floor(i / 16)) * 10000 ** (-(i % 16) / 16));
  const feeds: Record<string, Tensor> = {
    hidden_in: new Tensor('float32', floats(`language.${phase}.${first}`), [rows, 320]),
    cosine: new Tensor('float32', Float32Array.from(angles, Math.cos), [rows, 16]),
    sine: new Tensor('float32', Float32Array.from(angles, Math.sin), [rows, 16]),
    mask: new Tensor(
      'float32',
      Float32Array.from({ length: rows * (past + rows) }, (_, i) => (i % (past + rows) <= past + Math.floor(i / (past + rows)) ? 0 : -60000)),
      [rows, past + rows],
    ),
  };
  for (let layer = first; layer < end; layer++) {
    for (const kind of ['keys', 'values']) {
      const bits = new Uint16Array(stored.get(`language.prefill.${layer}.${kind}`)?.data.buffer as ArrayBuffer);
      feeds[`past_${kind}.${layer}`] = new Tensor('float16', past === 0 ? new Uint16Array() : bits, [past, 4, 80]);
    }
  }
  if (end === layers) feeds.rows = new Tensor('int32', Int32Array.of(rows - 1), [1]);
  const outputs = await (await openSession(path)).run(feeds);
  return (outputs.logits ?? outputs.hidden_out)?.data as Float32Array;
}

it.each([{ wide: false }, { wide: true }])('every graph passes (wide: $wide)', async ({ wide }) => {
  const source = await openGraphSource(out);
  const { vision, language } = source.manifest.architecture;
  const noise = [...floats('language.noise')];
  for (const segment of segmentsOf(language.layers, 2)) {
    const { path } = await writeGraph(join(folder, `graphs-${wide}`), source, segment, wide);
    if (segment.kind === 'vision') {
      const pixels = new Tensor('float32', floats('vision.pixels'), [1, 3, vision.imageSize, vision.imageSize]);
      const { features } = await (await openSession(path)).run({ pixels });
      expect(relativeError(features?.data as Float32Array, floats('vision.features'))).toBeLessThan(
        limit([...floats('vision.noise')], vision.layers),
      );
      continue;
    }
    const last = segment.end === language.layers ? 1 : 0;
    for (const phase of ['prefill', 'decode'] as const) {
      const result = await runLanguage(path, segment, phase, language.layers);
      const want = floats(`language.${phase}.${last ? 'logits' : segment.end}`);
      expect(relativeError(result, want), `${segment.name} ${phase}`).toBeLessThan(
        limit(noise.slice(segment.first, segment.end + last), segment.end - segment.first + last),
      );
    }
  }
});

it('a graph in which V is K does not pass', async () => {
  const source = await openGraphSource(out);
  const segment = segmentsOf(4, 2)[1] as Extract<Segment, { kind: 'language' }>;
  const { path, model } = await writeGraph(join(folder, 'wrong'), source, segment);
  const split = model.nodes.find(({ name }) => name === 'language.layers.1/Split');
  const reshape = model.nodes.find(({ inputs }) => inputs[0] === split?.outputs[2]);
  if (split === undefined || reshape === undefined) throw new Error('the graph has changed');
  reshape.inputs[0] = split.outputs[1] as string;
  writeFileSync(path, encodeModel(model));
  const noise = [...floats('language.noise')].slice(0, 2);
  const result = await runLanguage(path, segment, 'prefill', 4);
  expect(relativeError(result, floats('language.prefill.2'))).toBeGreaterThan(5 * limit(noise, 2));
});
