// What the device computes: one function per kernel, each queued on a stream. All pointers but those of `Launch` are memory of the device. Sizes
// that no kernel has are refused before (../supported.h), so nothing here returns but what CUDA says.
#pragma once

#include <cuda_fp16.h>
#include <cuda_runtime_api.h>

#include <array>
#include <cstdint>
#include <vector>

#include "backend/cuda/kernels/layout.h"
#include "model/config.h"
#include "model/image.h"
#include "model/weights.h"

namespace mipha::cuda {

struct Launch {
  cudaStream_t stream = nullptr;
  int processors = 0;             // multiprocessors of the device
  const int32_t* live = nullptr;  // kernels of decode do nothing where it is 0: their step was launched before it was known that none follows
};

// ---- operands

enum class Format {
  kS8,      // INT8 weights, INT8 input
  kS8Wide,  // INT8 weights, FP16 input: recipe w8a16
  kF16,     // FP16 weights, FP16 input
};

/// A Linear on the device. `places` and `depth` are out and in with their padding, whose weights are zero.
struct Matrix {
  Format format = Format::kS8;
  const void* tiles = nullptr;    // [places / 16][depth / 32][tile], layout.h
  const float* scale = nullptr;   // [places], by place; null with kF16
  const float* bias = nullptr;    // [places], by place; zeros where the matrix has none
  const float* smooth = nullptr;  // [in], a factor of each input; null: none
  int out = 0, in = 0, places = 0, depth = 0;
  RowOrder order;
};

/// Rows as a product takes them, made by normalize() and prepare(). With FP16 a row is divided by a power of two first, which keeps any row of
/// finite floats in range and rounds nothing.
struct Operand {
  void* values = nullptr;  // [rows][depth] int8 or half, zeros from the width on
  float* scale = nullptr;  // [rows]
  int depth = 0;           // multiple of 32
  bool wide = false;       // half
};

/// FP32 rows, and the largest |value| of each as the bits of a float, which order as integers do.
struct Rows {
  const float* values = nullptr;  // [count][stride]
  int64_t stride = 0;
  int count = 0, width = 0;
  const uint32_t* peak = nullptr;  // [count]
};

/// Rows that a norm is applied to.
struct Normed {
  const float* values = nullptr;  // [count][stride]
  int64_t stride = 0;
  int count = 0, width = 0;
  NormKind kind = NormKind::kLayer;
  float epsilon = 0;
  const float *gain = nullptr, *bias = nullptr;  // [width]; bias null with kRms
};

/// Keys and values of one layer: block b, part 0 (k) or 1 (v), head h begins at base + b * block_stride + (part * kv_heads + h) * 32 * head_size;
/// 32 rows of head_size follow.
struct CacheLayer {
  __half* base = nullptr;
  int64_t block_stride = 0;  // halves
  int kv_heads = 0, head_size = 0;
};

/// Where a new row belongs.
struct Place {
  int32_t position;
  int32_t table;  // row of the block tables
};

/// Block tables: the block of row `position` is tables[table * stride + position / 32].
struct Tables {
  const int32_t* blocks = nullptr;
  int stride = 0;
};

// ---- what becomes of a product y = x · Wᵀ · scales + bias, row by row

struct Store {  // out[row][n] = y
  float* out = nullptr;
  int64_t stride = 0;
};
struct Add {  // out[row][n] += y (+ more[row][n] where there is more)
  float* out = nullptr;
  int64_t stride = 0;
  const float* more = nullptr;  // same stride
};
struct Activate {  // out[row][n] = activation(y) (· what it gates) · smooth[n]
  Activation activation = Activation::kGeluTanh;
  const float* smooth = nullptr;  // [width of out] or null
  float* out = nullptr;
  int64_t stride = 0;
  uint32_t* peak = nullptr;  // [rows], raised to the largest |out|; null: not wanted
};
struct Heads {         // of qkv: q and k are rotated; k and v go into the cache
  float* q = nullptr;  // [rows][heads * head_size]
  CacheLayer cache;
  const Place* places = nullptr;  // [rows]
  Tables tables;
  int heads = 0, kv_heads = 0, head_size = 0, rotary = 0;
  const float *cosine = nullptr, *sine = nullptr;  // [positions][rotary / 2]
};

// ---- rows

/// Rows of the embedding as stored.
struct Embedding {
  DType dtype = DType::kI8;
  const void* rows = nullptr;    // [vocab][width]
  const float* scale = nullptr;  // [vocab], with int8
  int width = 0;
};
/// x[row] = embedding of ids[row], or, where ids[row] < 0, feature −1 − ids[row] of features [.., width].
cudaError_t embed(const Launch&, const Embedding&, const int32_t* ids, const float* features, int rows, float* x);

/// out[row] = norm of a row; may be in place.
cudaError_t normalize(const Launch&, const Normed& in, float* out, int64_t stride);
/// The same, quantized (or halved, out.wide) for a product.
cudaError_t normalize(const Launch&, const Normed& in, const Operand& out);
/// values [count][stride] of `width`, times smooth [width] where it is not null, quantized (or halved).
cudaError_t prepare(const Launch&, const float* values, int64_t stride, int count, int width, const float* smooth, const Operand& out);

// ---- prefill and vision: any number of rows

cudaError_t matmul(const Launch&, const Operand& in, int rows, const Matrix&, const Store&);
cudaError_t matmul(const Launch&, const Operand& in, int rows, const Matrix&, const Add&);
cudaError_t matmul(const Launch&, const Operand& in, int rows, const Matrix&, const Activate&);
cudaError_t matmul(const Launch&, const Operand& in, int rows, const Matrix&, const Heads&);

/// Up to kQueryRows rows of one sequence that look at it together.
constexpr int kQueryRows = 64;
struct QueryTile {
  int32_t row;       // first of them, in q and out
  int32_t rows;      // 1..kQueryRows
  int32_t position;  // of the first
  int32_t table;
};
/// out [rows][heads * head_size] = softmax(q · kᵀ / √head_size) · v. A row sees the rows of its sequence up to its own position, or, with
/// `visible` > 0, all of the first `visible`. Head sizes 64, 72, 80, 128, 256. Heads that share keys stand together.
cudaError_t attend(const Launch&, const float* q, int heads, const CacheLayer&, const Tables&, const QueryTile* tiles, int tile_count, int visible,
                   float* out);

/// resize() of model/image.h for pictures of one format and size. Serves until one of these changes; made on the host.
struct ResizePlan {
  PixelFormat format = PixelFormat::kRgb;
  int height = 0, stride = 0;  // of the picture
  int size = 0;                // of the result
  std::array<uint8_t, 3> background{};
  bool columns_first = false;
  int first_line = 0, lines = 0;  // rows, or columns where these come first, that lie between the two passes
  std::vector<int32_t> table;     // both axes, to be copied to the device
  size_t second_axis = 0;         // where it begins in the table

  size_t between_bytes() const { return static_cast<size_t>(lines) * size * 3; }
};
/// `image` has passed check(); its pixels are not looked at.
ResizePlan plan_resize(const Image& image, int size, const Preprocessing&);
/// image [as planned] → pixels uint8 [size, size, 3], byte for byte those of the host. `between` has room for between_bytes().
cudaError_t resize(const Launch&, const ResizePlan&, const int32_t* table, const uint8_t* image, uint8_t* between, uint8_t* pixels);
/// pixels uint8 [size, size, 3], normalized and cut into patches [patches][depth], FP16, scale 1.
cudaError_t patchify(const Launch&, const Config&, const uint8_t* pixels, const Operand& out);
/// x [rows, hidden]: the prefix rows, then what is there plus the position embedding [patches, hidden].
cudaError_t add_positions(const Launch&, const VisionConfig&, const float* prefix, const float* positions, float* x);
/// LDPv2 (model/pooling.h) over projected [patches, hidden] → features [patches / 4, hidden]; weight [hidden, 9], bias [hidden].
cudaError_t pool(const Launch&, const Config&, const float* weight, const float* bias, const float* projected, float* features);

// ---- decode: 1..kMostSequences rows, each of another sequence. Widths and strides of what is multiplied divide by 4; qkv and up have one format

/// Norm, quantization and product in one. Heads, and, where `up` is not null, the MLP's first half of the same normed rows beside it.
cudaError_t decode_heads(const Launch&, const Normed&, const Matrix& qkv, const Heads&, const Matrix* up, const Activate* inner);
cudaError_t decode_up(const Launch&, const Normed&, const Matrix& up, const Activate&);
cudaError_t decode_logits(const Launch&, const Normed&, const Matrix& head, const Store&);
/// Rows whose peak is known times a matrix.
cudaError_t decode_add(const Launch&, const Rows&, const Matrix&, const Add&);

struct DecodeAttention {
  const float* q = nullptr;  // [count][heads * head_size]
  int count = 0, heads = 0;
  CacheLayer cache;
  Tables tables;
  const Place* places = nullptr;  // [count]; a row sees positions up to its own
  int splits = 1;                 // of each cache, joined by the block that comes last
  float* partial = nullptr;       // [count][heads][splits][head_size + 2]
  uint32_t* arrived = nullptr;    // [count][kv_heads], zero before and after
  const float* smooth = nullptr;  // of the product that follows; null: none
  float* out = nullptr;           // [count][heads * head_size]
  uint32_t* peak = nullptr;       // [count], raised to the largest |out|
};
/// Splits that fill a device, for a cache of `context` rows; does not depend on the number of sequences, so that neither do the bits of a row.
int decode_splits(int kv_heads, int context, int processors);
cudaError_t decode_attend(const Launch&, const DecodeAttention&);
/// Beside it: inner rows times `down`, which do not wait for attention (parallel residuals).
cudaError_t decode_attend_and_down(const Launch&, const DecodeAttention&, const Rows& inner, const Matrix& down, const Store&);

/// The likeliest of candidates [candidate_count] by logits [vocab], as backend.h's likeliest() of the same.
struct Pick {
  const float* logits = nullptr;
  const int32_t* candidates = nullptr;
  int candidate_count = 0;
  int32_t* id = nullptr;    // −1: none has a logit that counts
  float* margin = nullptr;  // to the second; +infinity when there is none
};
/// One for each sequence. `picks` [count] on the device.
cudaError_t pick(const Launch&, const Pick* picks, int count);

}  // namespace mipha::cuda
