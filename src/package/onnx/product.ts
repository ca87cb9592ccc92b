/** y = (x ∘ smooth) · Wᵀ + b in the precision that the recipe says, FP16 between INT8 products. */
import { formatError } from '../format.js';
import type { Graph, Value } from './graph.js';
import type { GraphSource } from './source.js';

const SMALLEST_SCALE = 2 ** -14; // the smallest FP16 value with all its bits

export class Products {
  readonly #quantized = new Map<string, Value>(); // by input and scale: products that share an input share its quantization

  /** `wide`: no input is quantized, whatever the recipe says; the way out for a segment that TensorRT gets wrong in INT8. */
  constructor(
    readonly graph: Graph,
    readonly source: GraphSource,
    readonly wide: boolean,
  ) {}

  /** x f16 [rows, in] → f16 [rows, out] */
  linear(x: Value, matrix: string): Value {
    const { graph, source } = this;
    return graph.within(matrix.split('.').at(-1) as string, () => {
      const weight = this.#weight(matrix, x.dims[1] as number);
      const y = graph.matmul(this.#input(x, matrix), graph.transpose(weight, [1, 0]));
      const bias = source.floats(`${matrix}.bias`);
      return graph.add(y, graph.halves(`${matrix}.bias`, bias, [bias.length]));
    });
  }

  #input(x: Value, matrix: string): Value {
    const { graph, source } = this;
    let input = x;
    if (source.has(`${matrix}.smooth`)) {
      const smooth = source.floats(`${matrix}.smooth`);
      input = graph.multiply(x, graph.halves(`${matrix}.smooth`, smooth, [smooth.length]));
    }
    if (this.wide || source.precision(matrix) !== 'w8a8') return input;

    const scale = source.calibration.matrices[matrix]?.inputScale;
    if (scale === undefined) throw formatError(`${source.folder}: calibration.json: matrices`, `an entry ${matrix}`, undefined);
    const key = `${input.name} ${scale}`;
    const known = this.#quantized.get(key);
    if (known !== undefined) return known;
    const half = graph.scalar('f16', scale);
    const quantized = graph.dequantize(graph.quantize(input, half), half);
    this.#quantized.set(key, quantized);
    return quantized;
  }

  /** f16 [out, in]; INT8 weights straight out of the package, one scale per row. */
  #weight(matrix: string, columns: number): Value {
    const { graph, source } = this;
    const name = `${matrix}.weight`;
    const { dtype, ...place } = source.place(name);
    const rows = place.length / columns / (dtype === 'I8' ? 1 : 2);
    const stored = graph.external(name, dtype === 'I8' ? 'i8' : 'f16', [rows, columns], place);
    if (dtype === 'F16') return stored;
    // A row of zeros has scale 0, which TensorRT refuses; any other is as good.
    const scales = source.floats(`${matrix}.scale`).map((scale) => scale || SMALLEST_SCALE);
    return graph.dequantize(stored, graph.halves(`${matrix}.scale`, scales, [rows]), 0);
  }
}
