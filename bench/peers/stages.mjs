// What is measured, and what it has to do at least: operations and bytes of the matrices, from the sizes of a package.
import { fromDist } from '../../scripts/arguments.mjs';

export const DECODED = 8; // tokens whose time is taken
const [SHORT, LONG] = [64, 2000]; // tokens in the cache before those

/** Names of stages, in the order in which they are measured. Times are milliseconds; of decoding, per token. */
export const STAGES = ['tower', 'prefill', 'decode, short', 'decode, long', 'one decode', 'eight decodes', 'eight questions'];
/** What no peer is asked. */
export const OWN = ['one decode', 'eight decodes', 'eight questions'];

const STEPS = ['prefill', 'decode, short', 'decode, long'];
/** Who is measured at what. */
export const CONTENDERS = {
  ours: STAGES,
  ort: ['tower', ...STEPS],
  'ort-whole': ['tower', ...STEPS],
  llama: STEPS,
  'llama-tower': ['tower'],
  'llama-vision': ['tower'],
};

/** Sizes that every contender must keep to. */
export async function shapeOf(architecture) {
  const { imageTokens } = await fromDist('package/manifest.js');
  const { language } = architecture;
  return {
    imageRows: imageTokens(architecture),
    short: SHORT,
    long: Math.min(LONG, language.context - 4 * DECODED),
    context: language.context,
    tokens: language.tokens,
  };
}

/**
 * Of each stage: { label, operations } for many rows, { label, bytes } where the weights' way from memory is what counts. `questionRows`: of all eight
 * questions together.
 */
export async function workOf(architecture, shape, questionRows) {
  const { decoderBlocks, matricesOf, projectorMatrices } = await fromDist('package/block.js');
  const language = weights(decoderBlocks(architecture).flatMap(matricesOf));
  const projector = weights(projectorMatrices(architecture));
  const step = await stepBytes(architecture);
  const { layers, kvHeads, headSize } = architecture.language;
  const cached = (rows) => 2 * 2 * layers * kvHeads * headSize * rows; // keys and values, FP16
  return {
    tower: { label: 'tower and projector', operations: (await towerOperations(architecture)) + 2 * shape.imageRows * projector },
    prefill: { label: `prefill, ${shape.imageRows} rows`, operations: 2 * shape.imageRows * language },
    'decode, short': { label: `decode at ${shape.short}`, bytes: step + cached(shape.short) },
    'decode, long': { label: `decode at ${shape.long}`, bytes: step + cached(shape.long) },
    'one decode': { label: 'decode behind a picture', bytes: step + cached(shape.imageRows) },
    'eight decodes': { label: 'a step of eight decodes behind a picture', bytes: step + cached(shape.imageRows) }, // they share its blocks
    'eight questions': { label: `eight typed questions, ${questionRows} rows`, operations: 2 * questionRows * language },
  };
}

/** Of the matrices of the tower alone. */
export async function towerOperations(architecture) {
  const [{ matricesOf, towerBlocks }, { towerRows }] = await Promise.all([fromDist('package/block.js'), fromDist('package/manifest.js')]);
  return 2 * towerRows(architecture.vision) * weights(towerBlocks(architecture).flatMap(matricesOf));
}

/** Of a prefill as mipha-edge does it: of the last block only keys and values for rows whose logits nobody asks for. */
export async function ownPrefillOperations(architecture, rows, answers) {
  const { decoderBlocks, headMatrix, matricesOf } = await fromDist('package/block.js');
  const blocks = decoderBlocks(architecture);
  const last = blocks.at(-1);
  const answering = weights(matricesOf(last)) - weights([last.qkv]);
  return 2 * (rows * (weights(blocks.flatMap(matricesOf)) - answering) + answers * (answering + weights([headMatrix(architecture)])));
}

/** Of the INT8 matrices of one step, without a cache. */
export async function stepBytes(architecture) {
  const { decoderBlocks, headMatrix, matricesOf } = await fromDist('package/block.js');
  return weights([...decoderBlocks(architecture).flatMap(matricesOf), headMatrix(architecture)]);
}

function weights(matrices) {
  return matrices.reduce((sum, { rows, columns }) => sum + rows * columns, 0);
}

/** Milliseconds. */
export async function timed(work) {
  const begun = performance.now();
  await work();
  return performance.now() - begun;
}

/** Ids below `tokens`, the same every time. */
export function idsOf(count, tokens) {
  return Array.from({ length: count }, (_, i) => 1 + ((i * 7919) % (tokens - 2)));
}
