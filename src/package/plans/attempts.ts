/**
 * The ways to build one segment, in order: the usual one, then the known ways around engines that do not build or compute something else. The switches
 * are TensorRT's own, undocumented: they keep its compiler from fusing products that share an input, which gave wrong values at batch 1.
 */

export interface Attempt {
  name: string;
  level: number;
  switches: string | null;
  wide: boolean; // no input is quantized: FP16 products
}

const SWITCHES = '-peep:fc_h_fusion=off -peep:match_dual_gemm=off';

/** `level`: the optimization level asked for. `hasInt8`: whether the segment has anything to make wide. */
export function attemptsOf(level: number, hasInt8: boolean): Attempt[] {
  const lower = [2, 1, 0].filter((other) => other < level);
  return [
    { name: 'as asked', level, switches: null, wide: false },
    { name: 'without fusion of products', level, switches: SWITCHES, wide: false },
    ...lower.map((other) => ({ name: `without fusion, level ${other}`, level: other, switches: SWITCHES, wide: false })),
    ...(hasInt8 ? [{ name: 'in FP16', level, switches: null, wide: true }] : []),
  ];
}
