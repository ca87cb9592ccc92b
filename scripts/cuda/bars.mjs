// Which kernel must hold what, by the first pattern that its file and name match, as the report prints them: `decode_products.cu: product<…>`.
//   kind    which of its loops is the main one: decode: that which streams most; others: that with most products of a tensor core
//   shared  bytes of dynamic shared memory a block is launched with at Phi-2's and SigLIP's widths: not in the machine code, counts for resident warps
//   most    { perBytes: instructions per 16 bytes streamed, perProduct: instructions per tensor-core instruction }
//   least   { load: bytes of the narrowest load of global memory in the main loop, warps: resident per multiprocessor, flight: KiB on their way per
//           multiprocessor: 21 keep the memory of an H200 busy (4.3 TB/s for 650 ns, 132 of them), 6 that of an AGX Orin }
// Every kernel, whatever its kind: no stack, no local memory. Shared memory of decode is that of one sequence: 9 KiB and a row of
// Phi-2's, 2560 wide, 10240 before `down`.

// kS8Wide: 16 weights become halves first. 27 instructions for 512 bytes of a warp are 76 bytes a clock, four times what an H200's memory gives.
const WIDE = { kind: 'decode', most: { perBytes: 27 }, least: { load: 16, flight: 21 } };
const NARROW = { kind: 'decode', most: { perBytes: 5 }, least: { load: 16, flight: 21 } };

export const BARS = [
  { pattern: /^decode_attention.*product<\(Format\)1/, shared: 29632, ...WIDE },
  { pattern: /^decode_attention.*product<\(Format\)2/, shared: 29632, ...NARROW },
  { pattern: /^decode_attention.*product</, shared: 19392, ...NARROW },
  { pattern: /^decode_products.*\(Format\)1/, shared: 14272, ...WIDE },
  { pattern: /^decode_products.*\(Format\)2/, shared: 14272, ...NARROW },
  { pattern: /^decode_products/, shared: 11712, ...NARROW },
  { pattern: /^gemv/, ...NARROW },
  { pattern: /^attention|attend/, kind: 'attention' },
  { pattern: /^matmul.*\(Format\)1, BlockShape<1,/, kind: 'matmul', shared: 24576 },
  { pattern: /^matmul.*\(Format\)1/, kind: 'matmul', shared: 49152 },
  { pattern: /^matmul.*BlockShape<1,/, kind: 'matmul', shared: 32768 },
  { pattern: /^matmul/, kind: 'matmul', shared: 65536 },
  { pattern: /^gemm/, kind: 'matmul' },
  { pattern: /^/, kind: 'other' },
];

export function barsOf({ file, kernel }) {
  return BARS.find(({ pattern }) => pattern.test(`${file}: ${kernel}`));
}
