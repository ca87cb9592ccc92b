/**
 * Faults to plant in the example kernels of native/test/machine, and in the instructions of the backend that they use: how code of this kind goes
 * wrong. Each must be found by at least one example.
 */
export interface Fault {
  name: string;
  folder: string; // of native
  file: string;
  from: string; // once in the file, however its white space lies
  to: string;
  examples: string; // how the names of those begin that have it
}

export const EXAMPLES = 'test/machine/kernels';

type Row = [name: string, from: string, to: string];
const table = (file: string, examples: string, rows: Row[]): Fault[] => {
  const folder = file === 'device.cuh' ? 'backend/cuda/kernels' : EXAMPLES;
  return rows.map(([name, from, to]) => ({ name, folder, file, from, to, examples }));
};

export const FAULTS: Fault[] = [
  ...table('gemv_s8.cu', 'gemv', [
    ['gemv: no barrier between staging and reading', '__syncthreads(); int c[4]', 'int c[4]'],
    [
      'gemv: no barrier before the sum over warps',
      '__syncthreads(); for (int i = threadIdx.x; i < 16 * kTokens',
      'for (int i = threadIdx.x; i < 16 * kTokens',
    ],
    ['gemv: a tile past the weights is read', 'if (done + kAhead + i < mine) a[i]', 'a[i]'],
    [
      'gemv: shared memory one row short',
      'unsigned(tokens * columns + kWarps * 16 * 8 * 4)',
      'unsigned(tokens * columns + kWarps * 16 * 8 * 4 - 16)',
    ],
    ['gemv: word order of the activations', '(i % 4) * 2 + (i & 4) / 4', 'i % 8'],
    ['gemv: a tile that is not there is added', 'if (done + i < mine) step(i)', 'step(i)'],
    ['gemv: the main loop runs one group too long', 'done + 2 * kAhead <= mine', 'done + kAhead <= mine'],
  ]),
  ...table('gemm_s8.cu', 'gemm', [
    ['gemm: no wait', 'cp_async_wait<kGemmStages - 2>();', ''],
    ['gemm: the wait leaves one group too many', 'cp_async_wait<kGemmStages - 2>', 'cp_async_wait<kGemmStages - 1>'],
    ['gemm: no barrier in the main loop', '__syncthreads(); // the stage has arrived for all', '//'],
    ['gemm: no commit in the loop', 'fill(step + kGemmStages - 1); cp_async_commit();', 'fill(step + kGemmStages - 1);'],
    [
      'gemm: the stage being read is filled',
      'fill(step + kGemmStages - 1); cp_async',
      'fill(step + kGemmStages - 1), fill(step + kGemmStages); cp_async',
    ],
    ['gemm: no barrier before the stages are reused', 'if (kQuantize) __syncthreads();', ''],
    ['gemm: no barrier before the tile is stored', 'if (!kQuantize) return; __syncthreads();', 'if (!kQuantize) return;'],
    ['gemm: a row behind the last token', 'token0 + token < tokens && column < w.k', 'token0 + token <= tokens && column < w.k'],
    ['gemm: output without a guard', '} else if (in_rows && token < tokens) {', '} else if (in_rows) {'],
    ['gemm: a misaligned copy', 'w.k + column : 0;', 'w.k + column + 4 : 0;'],
    [
      'gemm: reads are swizzled otherwise than writes',
      'ldmatrix_x4(d, shared<char>(stage + kGemmW + unsigned(token * 64 + (chunk ^ (token >> 1 & 3)) * 16)))',
      'ldmatrix_x4(d, shared<char>(stage + kGemmW + unsigned(token * 64 + (chunk ^ (token & 3)) * 16)))',
    ],
    ['gemm: fragments of B are swapped', 'b[2 * j][1] = d[1], b[2 * j + 1][0] = d[2]', 'b[2 * j][1] = d[2], b[2 * j + 1][0] = d[1]'],
    ['gemm: two blocks write the same rows', 'row0 = blockIdx.x * kGemmRows,', 'row0 = blockIdx.x / 2 * kGemmRows,'],
    ['gemm: threads leave before a barrier', 'int c[2][4][4];', 'if (token0 + threadIdx.x / 4 >= tokens) return; int c[2][4][4];'],
    ['gemm: more shared memory than a block may have', 'kGemmStages = 4', 'kGemmStages = 14'],
  ]),
  ...table('attention.cu', 'attention', [
    ['attention: no __syncwarp behind the wait', 'cp_async_wait<1>(); __syncwarp();', 'cp_async_wait<1>();'],
    ['attention: no __syncwarp before the refill', '__syncwarp(); // all lanes have read this stage', '//'],
    ['attention: the tail is copied (NaN behind the cache)', 'const bool inside = token < visible;', 'const bool inside = true;'],
    ['attention: a shuffle in a branch', 'half < 2; ++half) { sum[half] +=', 'half < 2; ++half) if (t < 2) { sum[half] +='],
    ['attention: no barrier before the results', '__syncthreads(); // the tiles become', '//'],
    ['attention: queries are read before the barrier', '__syncthreads(); uint32_t qf', 'uint32_t qf'],
    ['attention: rows not a multiple of 16 bytes apart', 'kPitch = 88', 'kPitch = 84'],
    ['attention: a load is not transposed', 'ldmatrix_x4_trans(v', 'ldmatrix_x4(v'],
    ['attention: the causal limit is one short', '+ e <= limit', '+ e < limit'],
    ['attention: splits are joined in another stream', 'kHeadSize, 0, stream, partial', 'kHeadSize, 0, nullptr, partial'],
  ]),
  ...table('device.cuh', '', [
    ['asm: ldmatrix is not transposed', 'm8n8.x4.trans.shared', 'm8n8.x4.shared'],
    [
      'asm: two registers of A are swapped',
      'm16n8k32.row.col.s32.s8.s8.s32 {%0,%1,%2,%3}, {%4,%5,%6,%7}',
      'm16n8k32.row.col.s32.s8.s8.s32 {%0,%1,%2,%3}, {%4,%6,%5,%7}',
    ],
    [
      'asm: sums start at those of other columns',
      'm16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3}',
      'm16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%1,%0,%2,%3}',
    ],
    [
      'asm: cp.async without the number of bytes',
      '[%0], [%1], 16, %2;" ::"r"(shared_address(to)), "l"(from), "r"(bytes)',
      '[%0], [%1], 16;" ::"r"(shared_address(to)), "l"(from)',
    ],
    ['asm: the wait leaves one group more', '"n"(kOpen)', '"n"(kOpen + 1)'],
    ['asm: no commit', 'asm volatile("cp.async.commit_group;" ::: "memory");', ''],
    ['asm: halves the wrong way round', '__floats2half2_rn(low, high)', '__floats2half2_rn(high, low)'],
    ['asm: a load without its last word', '"=r"(v.w) : "l"(from));', '"=r"(v.w) : "l"(from)); v.w = v.z;'],
  ]),
  ...table('examples.cc', '', [
    [
      'host: a result is read without waiting',
      'MACHINE_CHECK(cudaStreamSynchronize(stream)); const std::vector<float> got = out.get(); return compare',
      'const std::vector<float> got = out.get(); return compare',
    ],
    [
      'host: device memory is read',
      'const std::vector<float> got = out.get(); return compare',
      'const std::vector<float> got(out.data(), out.data() + out.size()); return compare',
    ],
    ['host: memory is freed before its use', 'MACHINE_CHECK(gemv(tokens, w.view()', 'cudaFree(device_x.data()); MACHINE_CHECK(gemv(tokens, w.view()'],
    ['graph: a fork is not joined', 'MACHINE_CHECK(cudaStreamWaitEvent(stream, join, 0));', ''],
    [
      'graph: a branch does not wait for the copy',
      'MACHINE_CHECK(cudaStreamWaitEvent(side, fork, 0)); MACHINE_CHECK(gemv(1, a.view(), staged.data()',
      'MACHINE_CHECK(gemv(1, a.view(), device_x.data()',
    ],
    [
      'graph: allocation during capture',
      'MACHINE_CHECK(cudaEventRecord(fork, stream));',
      'MACHINE_CHECK(cudaEventRecord(fork, stream)); const Buffer<float> more(1);',
    ],
  ]),
];
