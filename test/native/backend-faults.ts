/**
 * Faults to plant in the CUDA backend: in its kernels, in the steps that run ahead, in what is kept of choosers. Each must be found by the machine's
 * report or by the values that its tests expect.
 */
export interface Fault {
  name: string;
  folder: string; // of native/backend/cuda
  file: string;
  from: string; // once in the file, however its white space lies
  to: string;
  source: string; // compiled again
  program: string; // which tests: native/test/PROGRAM.cc
  filter: string; // and which of these are enough
}

type Row = [name: string, from: string, to: string, filter: string, source?: string];
const table = (file: string, program: string, rows: Row[], folder = 'kernels'): Fault[] =>
  rows.map(([name, from, to, filter, source = file]) => ({ name, folder, file, from, to, source, program, filter }));
const steps = (program: string, rows: Row[]) => table('steps.cc', program, rows, 'runtime');

const LIVE = 'if (!is_live(live)) return;';
const CHOOSE = 'CudaChoose.WhatGeneration*:CudaChoose.The*';

export const FAULTS: Fault[] = [
  ...table('matmul.cuh', 'cuda_matmul_test', [
    ['products: no wait', 'cp_async_wait<kStages - 2>();', '', '*Stores*s8_small*', 'matmul_store.cu'],
    ['products: one group too many under way', 'cp_async_wait<kStages - 2>();', 'cp_async_wait<kStages - 1>();', '*Stores*', 'matmul_store.cu'],
    ['products: no barrier in the main loop', '__syncthreads(); // the stage', '// the stage', '*Stores*', 'matmul_store.cu'],
    [
      'products: stages reused without a barrier',
      '__syncthreads(); #pragma unroll for (int i = threadIdx.x; i < Block::kRows',
      '#pragma unroll\nfor (int i = threadIdx.x; i < Block::kRows',
      '*Stores*',
      'matmul_store.cu',
    ],
    [
      'products: a row behind the last is read',
      'row_count - own_row + kRowsAtOnce - 1',
      'row_count - own_row + kRowsAtOnce',
      '*Stores*',
      'matmul_store.cu',
    ],
    ['products: rows are written without a guard', 'if (row < row_count) { const Row to', 'if (true) { const Row to', '*Stores*', 'matmul_store.cu'],
    [
      'products: one stage of shared memory short',
      'constexpr unsigned kShared = kStages *',
      'constexpr unsigned kShared = (kStages - 1) *',
      '*Stores*',
      'matmul_store.cu',
    ],
    ['products: the scale of the place beside', 'w.scale[place + 8 * e]', 'w.scale[place + 7 * e]', '*Adds*', 'matmul_add.cu'],
    [
      'products: the peak of half the lanes',
      'for (int mask = 4; mask < kLanes; mask *= 2)',
      'for (int mask = 4; mask < kLanes / 2; mask *= 2)',
      '*Activates*',
      'matmul_activate.cu',
    ],
  ]),
  ...table('matmul_store.cu', 'cuda_matmul_test', [['store: padding is written', 'if (pair.second >= 0)', 'if (true)', '*Stores*']]),
  ...table('matmul_add.cu', 'cuda_matmul_test', [
    ['add: the second of two sums goes to the first', 'to.more[pair.second]', 'to.more[pair.first]', '*Adds*'],
  ]),
  ...table('matmul_activate.cu', 'cuda_matmul_test', [
    [
      'activate: a peak is set, not raised',
      'atomicMax(to.peak + row, __float_as_uint(largest))',
      'to.peak[row] = __float_as_uint(largest)',
      '*Activates*',
    ],
    ['activate: the gate is not activated', 'if (pair.gated) value *= second;', 'if (pair.gated) value = y * activation(second);', '*Activates*'],
  ]),
  ...table('matmul_heads.cu', 'cuda_matmul_test', [
    [
      'heads: values are rotated',
      'place < w.order.rotated_rows && place % head_size < rotary',
      'rotary > 0 && place % head_size < rotary',
      '*Rotates*',
    ],
    ['heads: the wrong row of a block', 'place.position % kBlockRows * head_size', 'place.position % (kBlockRows / 2) * head_size', '*Rotates*'],
    ['heads: the table of another sequence', 'int64_t{place.table} * tables.stride', '0', '*Rotates*'],
  ]),
  ...table('rows.cu', 'cuda_rows_test', [
    [
      'rows: sums are read before a barrier',
      'partial[threadIdx.x / kLanes] = value; __syncthreads();',
      'partial[threadIdx.x / kLanes] = value;',
      '*',
    ],
    ['rows: sums are overwritten before a barrier', '__syncthreads(); // nobody reads', '// nobody reads', '*'],
    ['rows: columns behind the width are not zeros', 'if (i >= source.width) row[i] = 0;', '', '*'],
    ['rows: one value more than a row has', 'i < source.width; i += kThreads) sum +=', 'i <= source.width; i += kThreads) sum +=', '*'],
    ['rows: epsilon outside the mean', '/ width + source.epsilon', '+ source.epsilon', '*'],
  ]),
  ...table('pictures.cu', 'cuda_pictures_test', [
    ['patches: channels from the end', '* 3 + channel];', '* 3 + 2 - channel];', '*'],
    ['patches: padding is read', 'if (i < cut.values) {', 'if (true) {', '*'],
    ['positions: one thread too many', 'if (i >= count) return;', '', '*'],
    ['pooling: neighbours beyond the edge', 'row < half && column >= 0 && column < half', 'row < half && column < half', '*'],
  ]),
  ...table('resize.cu', 'cuda_picture_test', [
    ['resize: sums begin at zero', 'sum[c] = kRoundingHalf + border', 'sum[c] = border', '*Awkward*'],
    ['resize: colours of the pixel beside', '(x & ~1)', 'x', '*EveryFormat*'],
    ['resize: a thread too many', 'if (o >= in.size) return;', '', '*Awkward*'],
    ['resize: rows a byte too close', 'in.image + y * in.stride;', 'in.image + y * (in.stride - 1);', '*Awkward*'],
  ]),
  ...table('attend.cu', 'cuda_attention_test', [
    ['attention: no barrier in the loop', 'cp_async_wait<0>(); __syncthreads();', 'cp_async_wait<0>();', '*EveryHeadSize*'],
    ['attention: the wait leaves a group', 'cp_async_wait<0>', 'cp_async_wait<1>', '*EveryHeadSize*'],
    ['attention: a row behind the last is read', 'row < count ?', 'row <= count ?', '*EveryHeadSize*'],
    ['attention: sums of an older top are kept', 'sum[half] *= keep;', '', '*LargestScore*'],
    ['attention: values are not transposed', 'ldmatrix_x4_trans(', 'ldmatrix_x4(', '*EveryHeadSize*'],
    ['attention: a block of the cache twice', 'next = block[1]; }', 'next = block[0]; }', '*EveryHeadSize*'],
    ['attention: rows that are not there are written', 'if (r >= tile.rows) continue;', '', '*EveryHeadSize*'],
  ]),
  ...table('decode_product.cuh', 'cuda_decode_test', [
    [
      'decode: no barrier behind the rows',
      'stage<kWide>(in, depth); __syncthreads();',
      'stage<kWide>(in, depth);',
      '*OverAwkward*',
      'decode_products.cu',
    ],
    ['decode: one place for the sums of two tiles', 'turn % 2 * kSumBytes', '0', '*OverAwkward*', 'decode_products.cu'],
    ['decode: a step that is not there is added', 'if (i >= rest_) break;', '', '*OverAwkward*', 'decode_products.cu'],
  ]),
  ...table('decode_launch.cuh', 'cuda_decode_test', [
    ['decode: shared memory one row short', 'rows * row_pitch', '(rows - 1) * row_pitch', '*OverAwkward*', 'decode_products.cu'],
  ]),
  ...table('decode_rows.cuh', 'cuda_decode_test', [
    ['decode: words of a row in another order', 'j % 4 * 2 + j % 8 / 4', 'j % 8', '*OverAwkward*', 'decode_products.cu'],
    [
      'decode: no barrier between passes of the norm',
      '__syncthreads(); #pragma unroll 1 for (int r = 0; r < in.count; ++r) { const float4* from = row_of(in.values, in.stride, r); const Moments of = moments_of(in, r); float peak = 0;',
      '#pragma unroll 1\nfor (int r = 0; r < in.count; ++r) { const float4* from = row_of(in.values, in.stride, r); const Moments of = moments_of(in, r); float peak = 0;',
      '*Logits.OfNormed*',
      'decode_products.cu',
    ],
  ]),
  ...table('decode_epilogues.cuh', 'cuda_decode_test', [
    [
      'decode: peaks are read before a barrier',
      '* kMostSequences + row] = largest; __syncthreads();',
      '* kMostSequences + row] = largest;',
      '*Up.*',
      'decode_products.cu',
    ],
    ['decode: rotated backwards', 'y0 * c - y1 * s', 'y0 * c + y1 * s', '*Heads.*', 'decode_products.cu'],
  ]),
  ...table('decode_attention.cuh', 'cuda_decode_attention_test', [
    ['decode: rows behind the last are read', 'has_chunk && at < end', 'has_chunk', '*LengthsAround*', 'decode_attention.cu'],
    [
      'decode: no fence before a split arrives',
      '__threadfence(); __syncthreads(); if (threadIdx.x == 0) {',
      '__syncthreads(); if (threadIdx.x == 0) {',
      '*LengthsAround*',
      'decode_attention.cu',
    ],
    [
      'decode: splits arrive at what the last step left',
      'if (*before == static_cast<uint32_t>(used - 1)) *arrived = 0;',
      '',
      '*LengthsAround*',
      'decode_attention.cu',
    ],
  ]),
  ...table('pick.cu', 'cuda_pick_test', [
    ['pick: warps are read before a barrier', '= best; __syncthreads();', '= best;', 'Pick.*'],
    ['pick: of equal logits the last', 'other.at < at', 'other.at > at', 'Pick.*'],
  ]),
  ...table('embed.cu', 'cuda_pick_test', [['embed: the feature beside', '-1 - id', '-id', 'Embed.*']]),
  ...table('choose.cu', 'cuda_choose_test', [
    [
      'walk: columns are read before a barrier',
      'column[threadIdx.x] = automaton.column[threadIdx.x]; __syncthreads();',
      'column[threadIdx.x] = automaton.column[threadIdx.x];',
      CHOOSE,
    ],
    ['choose: warps are read before a barrier', '= value; __syncthreads(); value = of_warps', '= value; value = of_warps', CHOOSE],
    [
      'choose: what warps read is overwritten',
      '__syncthreads(); if (threadIdx.x % kLanes == 0) of_warps',
      'if (threadIdx.x % kLanes == 0) of_warps',
      CHOOSE,
    ],
    ['choose: sums of a group without an atomic', 'atomicAdd(mass + group, sum);', 'mass[group] += sum;', CHOOSE],
    ['choose: of equal groups the last', 'other.mass == mass && other.order < order', 'other.mass == mass && other.order > order', CHOOSE],
  ]),
  ...table('choose.cu', 'cuda_settle_test', [
    ['settle: a token more than wanted', 'answer.tokens_left <= 1', 'answer.tokens_left < 1', 'CudaSettle.*'],
    ['settle: nobody wants the step', `int count) { ${LIVE}`, 'int count) {', '*NotWanted*'],
    ['walk: nobody wants the step', `const Answer* answers) { ${LIVE}`, 'const Answer* answers) {', '*NotWanted*'],
    ['choose: nobody wants the step', `Chosen* chosen) { ${LIVE}`, 'Chosen* chosen) {', '*NotWanted*'],
  ]),
  ...table('embed.cu', 'cuda_live_test', [['embed: nobody wants the step', LIVE, '', '*']]),
  ...table('pick.cu', 'cuda_live_test', [['pick: nobody wants the step', LIVE, '', '*']]),
  ...table('decode_product.cuh', 'cuda_live_test', [['decode: nobody wants the product', LIVE, '', '*', 'decode_products.cu']]),
  ...table('decode_attention.cuh', 'cuda_live_test', [['decode: nobody wants the attention', LIVE, '', '*', 'decode_attention.cu']]),
  ...steps('cuda_backend_ahead_test', [
    ['steps: another token was chosen', 'std::equal(step.ids, step.ids + step.count, next_.ids) &&', '', '*WhoAsks*'],
    ['steps: the next row is elsewhere', 'std::equal(step.positions, step.positions + step.count, next_.positions) &&', '', '*AreNobodys*'],
    ['steps: something else is chosen by', 'std::equal(step.choosers, step.choosers + step.count, next_.choosers, same);', 'true;', '*WhoAsks*'],
    ['steps: a block has come', 'from_host = !going_on || !same_blocks(step);', 'from_host = !going_on;', '*ALongAnswer'],
    ['steps: more ahead than rows are there', 'std::min({step.ahead, in_a_row_, kMostAhead})', 'std::min(in_a_row_, kMostAhead)', '*ALongAnswer'],
    ['steps: one place for the results of all', 'const int at = (oldest_ + launched_) % kRing;', 'const int at = oldest_;', '*ALongAnswer'],
    ['steps: results are read before they are there', 'check(cudaEventSynchronize(done_[oldest_]), "decode");', '', '*ALongAnswer'],
    ['steps: what is forgotten is collected', 'launched_ = 0; next_.there = false;', 'next_.there = false;', '*ShrinkAndGrow'],
    ['steps: the turn that begins has ended', '(ended_[0]) = turn_;', '(ended_[0]) = turn_ + 1;', '*ALongAnswer'],
    ['steps: tokens left are not counted', '--next_.choosers[i].tokens_left;', '', '*ALongAnswer'],
  ]),
  ...steps('cuda_backend_constraint_test', [
    [
      'steps: a constraint stays where it was',
      'if (step.choosers[i].constraint >= 0) next_.choosers[i].state = results.chosen[i].state;',
      '',
      '*BatchesRunAhead',
    ],
  ]),
  ...table(
    'choosers.cc',
    'choosers_test',
    [
      ['choosers: any list will do', 'return list.candidates == candidates;', 'return list.candidates != nullptr;', '*AListIs*'],
      ['choosers: the latest list gives up its place', 'std::min_element(lists_', 'std::max_element(lists_', '*TheListThat*'],
      ['choosers: nobody knows when a list was wanted', 'list->used = ++clock_;', '++clock_;', '*AListIs*'],
      ['choosers: a list that did not arrive is there', 'list->candidates = nullptr;', '', '*DidNotArrive*'],
      ['choosers: a constraint that did not arrive is there', 'places_.drop(slot);', '', '*DidNotArrive*'],
      ['choosers: constraints without words', 'if (!has_vocabulary_) return -1;', '', '*AConstraintNeeds*'],
      ['choosers: words without end', 'all.size() <= kWordBytes * vocab;', 'true;', '*AConstraintNeeds*'],
      ['choosers: a stop too many', 'chooser.stop_ids->size() > kMostStops', 'chooser.stop_ids->size() > kMostStops + 1', '*StopsAnd*'],
      ['choosers: what a step needs gives up its place', 'held.used <= step_ &&', '', '*OfOneStep*'],
      ['choosers: constraints on top of each other', '*begin = held->begin + held->bytes;', '*begin = held->begin;', '*OfOneStep*'],
      ['choosers: groups of one number', 'static_cast<int32_t>(numbers.size()))', 'int32_t{1})', 'NumberGroups.*'],
    ],
    '',
  ),
];
