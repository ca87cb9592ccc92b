// Prefill and the layers of the vision tower: each kernel alone at the rows of a picture and a question, then all of them in order.
#include <algorithm>
#include <string>

#include "bench/gpu/device.h"

namespace mipha::cuda::bench {
namespace {

/// `rows` rows of one sequence through blocks of one configuration, and what they need but for weights.
struct Rows {
  Rows(Device& device, const BlockConfig& config, int rows) : config(config), rows(rows) {
    std::vector<int32_t> table;
    std::vector<Place> at;
    std::vector<QueryTile> cut;
    for (int row = 0; row < rows; ++row) {
      at.push_back({row, 0});
      if (row % kBlockRows == 0) table.push_back(row / kBlockRows);
      if (row % kQueryRows == 0) cut.push_back({row, std::min(kQueryRows, rows - row), row, 0});
    }
    blocks = static_cast<int>(table.size()), tile_count = static_cast<int>(cut.size());
    tables = {device.copy(table), blocks};
    places = device.copy(at);
    tiles = device.copy(cut);
    const size_t count = rows;
    x = device.floats(count * config.hidden, 1);
    q = device.floats(count * config.attention_width(), 1);
    attended = device.floats(count * config.attention_width(), 1);
    inner = device.floats(count * config.intermediate, 1);
    gain = device.floats(config.hidden, 1);
    bias = device.floats(config.hidden, 1);
    cosine = device.floats(std::max<size_t>(1, count * config.rotary_dims / 2), 1);
    sine = device.floats(std::max<size_t>(1, count * config.rotary_dims / 2), 1);
    const int widest = rounded_up(std::max(config.hidden, config.intermediate), kTileDepth);
    values = device.bytes(count * widest * sizeof(__half));
    scale = device.floats(count, 1);
  }

  Operand operand(int width, Format format) const { return {values, scale, rounded_up(width, kTileDepth), format != Format::kS8}; }
  Normed normed() const { return {x, config.hidden, rows, config.hidden, config.norm, config.epsilon, gain, bias}; }
  Heads heads(const CacheLayer& cache) const {
    return {q, cache, places, tables, config.heads, config.kv_heads, config.head_size, config.rotary_dims, cosine, sine};
  }
  int visible() const { return config.causal ? 0 : rows; }
  double attention_operations() const { return 4.0 * rows * rows * config.attention_width() / (config.causal ? 2 : 1); }

  const BlockConfig& config;
  const int rows;
  int blocks, tile_count;
  Tables tables;
  const Place* places;
  const QueryTile* tiles;
  float *x, *q, *attended, *inner, *gain, *bias, *cosine, *sine, *scale;
  void* values;
};

struct Block {
  Block(Device& device, const BlockConfig& c, Format format, int blocks)
      : qkv(device.matrix(c.qkv_width(), c.hidden, format, order(c))),
        up(device.matrix(c.up_width(), c.hidden, format)),
        down(device.matrix(c.hidden, c.intermediate, format)),
        out(device.matrix(c.hidden, c.attention_width(), format)),
        cache(device.cache(c, blocks)) {}
  static RowOrder order(const BlockConfig& c) {
    if (c.rotary_dims == 0) return {};
    return {0, c.head_size, c.rotary_dims, c.attention_width() + c.kv_width()};
  }
  const Matrix qkv, up, down, out;
  const CacheLayer cache;
};

Work product(const Matrix& matrix, int rows) {
  return {static_cast<double>(matrix.out) * matrix.in * (matrix.format == Format::kF16 ? 2 : 1), 2.0 * rows * matrix.out * matrix.in, matrix.format};
}

void kernels(Device& device, const std::string& model, const BlockConfig& c, int count, Format format) {
  const Launch& launch = device.launch();
  const Rows rows(device, c, count);
  const int n = device.sets(double(c.hidden) * c.intermediate);
  std::vector<Block> blocks;
  for (int i = 0; i < n; ++i) blocks.emplace_back(device, c, format, rows.blocks);
  const std::string how = format == Format::kS8 ? "" : format == Format::kF16 ? ", FP16" : ", INT8 x FP16";
  const auto one = [&](const char* name, const Matrix& matrix, const std::function<cudaError_t(int)>& run) {
    device.kernel((model + " " + name + how).c_str(), shape(count, matrix.out, matrix.in), product(matrix, count), run);
  };
  const Operand hidden = rows.operand(c.hidden, format), inner = rows.operand(c.intermediate, format),
                attended = rows.operand(c.attention_width(), format);
  const std::string size = std::to_string(count) + " x " + std::to_string(c.hidden);
  const double values = double(count) * c.hidden, bytes = format == Format::kS8 ? 1 : 2;
  device.kernel((model + " norm" + how).c_str(), size, {values * (4 + bytes), 0, format},
                [&](int) { return normalize(launch, rows.normed(), hidden); });
  one("qkv", blocks[0].qkv, [&](int i) { return matmul(launch, hidden, count, blocks[i % n].qkv, rows.heads(blocks[i % n].cache)); });
  one("up", blocks[0].up, [&](int i) {
    return matmul(launch, hidden, count, blocks[i % n].up, Activate{c.activation, nullptr, rows.inner, c.intermediate});
  });
  if (format == Format::kS8) {
    device.kernel((model + " attention").c_str(), std::to_string(count) + " rows", {0, rows.attention_operations(), Format::kF16}, [&](int i) {
      return attend(launch, rows.q, c.heads, blocks[i % n].cache, rows.tables, rows.tiles, rows.tile_count, rows.visible(), rows.attended);
    });
  }
  one("out", blocks[0].out, [&](int i) { return matmul(launch, attended, count, blocks[i % n].out, Add{rows.x, c.hidden}); });
  device.kernel((model + " quantization" + how).c_str(), std::to_string(count) + " x " + std::to_string(c.intermediate),
                {double(count) * c.intermediate * (4 + bytes), 0, format},
                [&](int) { return prepare(launch, rows.inner, c.intermediate, count, c.intermediate, nullptr, inner); });
  one("down", blocks[0].down, [&](int i) { return matmul(launch, inner, count, blocks[i % n].down, Add{rows.x, c.hidden}); });
  device.release();
}

void all_layers(Device& device, const std::string& name, const BlockConfig& c, int layers, int count) {
  const Launch& launch = device.launch();
  const Rows rows(device, c, count);
  std::vector<Block> blocks;
  double bytes = 0;
  for (int i = 0; i < layers; ++i) {
    blocks.emplace_back(device, c, Format::kS8, rows.blocks);
    for (const Matrix* matrix : {&blocks.back().qkv, &blocks.back().up, &blocks.back().down, &blocks.back().out}) {
      bytes += product(*matrix, count).bytes;
    }
  }
  const Operand hidden = rows.operand(c.hidden, Format::kS8), inner = rows.operand(c.intermediate, Format::kS8),
                attended = rows.operand(c.attention_width(), Format::kS8);
  device.model(name + ", kernels alone", 1, count, 0, bytes, [&] {
    for (const Block& block : blocks) {
      const auto expand = [&] {
        if (c.has_norm2()) check(normalize(launch, rows.normed(), hidden), "norm");
        check(matmul(launch, hidden, count, block.up, Activate{c.activation, nullptr, rows.inner, c.intermediate}), "up");
      };
      check(normalize(launch, rows.normed(), hidden), "norm");
      check(matmul(launch, hidden, count, block.qkv, rows.heads(block.cache)), "qkv");
      if (c.parallel()) expand();
      check(attend(launch, rows.q, c.heads, block.cache, rows.tables, rows.tiles, rows.tile_count, rows.visible(), rows.attended), "attention");
      check(prepare(launch, rows.attended, c.attention_width(), count, c.attention_width(), nullptr, attended), "quantization");
      check(matmul(launch, attended, count, block.out, Add{rows.x, c.hidden}), "out");
      if (!c.parallel()) expand();
      check(prepare(launch, rows.inner, c.intermediate, count, c.intermediate, nullptr, inner), "quantization");
      check(matmul(launch, inner, count, block.down, Add{rows.x, c.hidden}), "down");
    }
  });
  device.release();
}

}  // namespace

void measure_prefill(Device& device) {
  const Sizes& sizes = device.sizes();
  const LanguageConfig& language = sizes.config.language;
  const VisionConfig& vision = sizes.config.vision;
  const std::string decoder = std::string(sizes.decoder) + " prefill", tower = sizes.tower;
  if (device.how() != How::kOnce) {
    all_layers(device, tower, vision, vision.layers, vision.rows());
    all_layers(device, decoder, language, language.layers, sizes.prompt_rows);
  }
  kernels(device, decoder, language, sizes.prompt_rows, Format::kS8);
  kernels(device, tower, vision, vision.rows(), Format::kS8);
  if (device.all()) {
    kernels(device, decoder, language, sizes.prompt_rows, Format::kS8Wide);
    kernels(device, tower, vision, vision.rows(), Format::kF16);
  }
}

}  // namespace mipha::cuda::bench
