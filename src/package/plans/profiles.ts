/** The shapes that an engine is made for: one profile for prefill, one for decode, read off the names of the graph's dimensions. */
import type { TensorRtBuild, TensorRtRange } from '../../addon/addon.js';
import type { Dim, Model } from '../onnx/proto.js';
import type { PlanOptions } from './key.js';

const MOST_ANSWERS = 8; // questions in one batch
const USUAL_PAST = 832; // rows: a prompt and a picture of 27 × 27 patches, up to a whole tile

export function profilesOf(model: Model, { maxRows, cacheRows }: Pick<PlanOptions, 'maxRows' | 'cacheRows'>): TensorRtBuild['profiles'] {
  const isStatic = model.inputs.every(({ dims }) => dims.every((dim) => typeof dim === 'number'));
  const phases = [
    { rows: maxRows, usualRows: maxRows, usualPast: Math.min(32, cacheRows) },
    { rows: Math.min(maxRows, MOST_ANSWERS), usualRows: 1, usualPast: Math.min(USUAL_PAST, cacheRows) },
  ];
  return (isStatic ? phases.slice(0, 1) : phases).map(({ rows, usualRows, usualPast }) => {
    const sizes: Record<string, [least: number, usual: number, most: number]> = {
      rows: [1, usualRows, rows],
      past: [0, usualPast, cacheRows],
      columns: [1, usualPast + usualRows, cacheRows + rows],
      answers: [1, 1, MOST_ANSWERS],
    };
    return Object.fromEntries(model.inputs.map(({ name, dims }) => [name, rangeOf(dims, sizes)]));
  });
}

function rangeOf(dims: Dim[], sizes: Record<string, [number, number, number]>): TensorRtRange {
  const [least, usual, most] = [0, 1, 2].map((which) => dims.map((dim) => (typeof dim === 'number' ? dim : (sizes[dim]?.[which] as number))));
  return { least: least as number[], usual: usual as number[], most: most as number[] };
}
