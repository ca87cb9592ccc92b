#include "backend/cuda/runtime/forward.h"

#include <algorithm>

#include "backend/cuda/runtime/failure.h"

namespace mipha::cuda {
namespace {

int widest_operand(const Model& model) {
  int depth = 0;
  each_matrix(model.weights, [&](int, const std::string&, const Matrix& matrix) { depth = std::max(depth, matrix.depth); });
  return depth;
}

/// Cuts rows into runs of one table and at most kQueryRows; how many.
int cut(const int32_t* tables, const int32_t* positions, int count, QueryTile* tiles) {
  int tile_count = 0;
  for (int row = 0; row < count; ++row) {
    QueryTile* const last = tile_count == 0 ? nullptr : tiles + tile_count - 1;
    if (last != nullptr && last->table == tables[row] && last->rows < kQueryRows)
      ++last->rows;
    else
      tiles[tile_count++] = {row, 1, positions[row], tables[row]};
  }
  return tile_count;
}

}  // namespace

Pace::Pace(cudaStream_t stream, Ask cancelled, void* user) : stream_(stream), cancelled_(cancelled), user_(user) {
  for (cudaEvent_t& event : done_) check(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), "event");
}

Pace::~Pace() {
  for (const cudaEvent_t event : done_) cudaEventDestroy(event);
}

bool Pace::next() {
  if (cancelled_ == nullptr) return true;
  check(cudaEventSynchronize(done_[turn_]), "layer");
  check(cudaEventRecord(done_[turn_], stream_), "layer");
  turn_ = 1 - turn_;
  if (cancelled_(user_) == 0) return true;
  check(cudaStreamSynchronize(stream_), "layer");
  return false;
}

Forward::Forward(DeviceArena& arena, Model& model, const Launch& launch, int max_rows)
    : model_(model),
      launch_(launch),
      most_rows_(std::max(max_rows, model.config.vision.rows())),
      tower_cache_(arena, 1, (model.config.vision.rows() + kBlockRows - 1) / kBlockRows, model.config.vision.kv_heads, model.config.vision.head_size),
      ids_(max_rows),
      blocks_(static_cast<size_t>(max_rows) * model.table_width),
      places_(max_rows),
      tiles_(max_rows + kMostSequences) {
  const VisionConfig& vision = model.config.vision;
  const LanguageConfig& language = model.config.language;
  const size_t rows = most_rows_, image = static_cast<size_t>(vision.image_size) * vision.image_size;
  pixels_ = arena.take<uint8_t>(3 * image);
  x_ = arena.take<float>(rows * std::max(vision.hidden, language.hidden));
  q_ = arena.take<float>(rows * std::max(vision.attention_width(), language.attention_width()));
  attended_ = arena.take<float>(rows * std::max({vision.attention_width(), language.attention_width(), language.hidden}));
  inner_ = arena.take<float>(rows * std::max(vision.intermediate, language.intermediate));
  const size_t selected = vision.selected_rows();
  projected_ = arena.take<float>(selected * language.hidden);
  features_ = arena.take<float>(selected * language.hidden);
  operand_ = arena.take<uint8_t>(rows * widest_operand(model) * sizeof(__half));
  operand_scale_ = arena.take<float>(rows);
  const size_t inputs = max_rows;
  inputs_ = {arena.take<int32_t>(inputs), arena.take<Place>(inputs), arena.take<QueryTile>(inputs + kMostSequences),
             arena.take<int32_t>(inputs * model.table_width)};
  const size_t tower_rows = vision.rows(), tower_blocks = (tower_rows + kBlockRows - 1) / kBlockRows;
  tower_ = {nullptr, arena.take<Place>(tower_rows), arena.take<QueryTile>(tower_rows), arena.take<int32_t>(tower_blocks)};
  logits_ = arena.take<float>(size_t{kMostSequences} * language.vocab);
  arena.mark("activations");
}

/// The tower's rows lie in its cache one after the other, always.
void Forward::load() {
  const int rows = model_.config.vision.rows();
  std::vector<Place> places;
  std::vector<int32_t> positions, tables(rows, 0), blocks;
  for (int row = 0; row < rows; ++row) {
    places.push_back({row, 0});
    positions.push_back(row);
    if (row % kBlockRows == 0) blocks.push_back(row / kBlockRows);
  }
  std::vector<QueryTile> tiles(rows);
  tower_tiles_ = cut(tables.data(), positions.data(), rows, tiles.data());
  check(cudaMemcpy(tower_.places, places.data(), places.size() * sizeof(Place), cudaMemcpyHostToDevice), "copy");
  check(cudaMemcpy(tower_.tiles, tiles.data(), tower_tiles_ * sizeof(QueryTile), cudaMemcpyHostToDevice), "copy");
  check(cudaMemcpy(tower_.blocks, blocks.data(), blocks.size() * sizeof(int32_t), cudaMemcpyHostToDevice), "copy");
}

/// The one buffer for what goes into a product, as this one wants it.
Operand Forward::operand(const Matrix& matrix) const {
  return {operand_, operand_scale_, matrix.depth, matrix.format != Format::kS8};
}

bool Forward::encode(Ask cancelled, void* user) {
  const VisionConfig& c = model_.config.vision;
  const DeviceWeights& w = model_.weights;
  const Operand patches = operand(w.patch_embedding);
  check(patchify(launch_, model_.config, pixels_, patches), "patches");
  const Store store{x_ + static_cast<size_t>(c.prefix_rows) * c.hidden, c.hidden};
  check(matmul(launch_, patches, c.patches(), w.patch_embedding, store), "patch embedding");
  check(add_positions(launch_, c, w.prefix, w.position_embedding, x_), "positions");
  if (c.pre_norm) check(normalize(launch_, normed(c, w.pre_norm, x_, c.rows()), x_, c.hidden), "norm");
  show(model_, launch_, "tower", 0, x_, c.rows(), c.hidden);

  Pace pace(launch_.stream, cancelled, user);
  const Sight all{tower_cache_.layer(0), tower_.places, {tower_.blocks, 0}, tower_.tiles, tower_tiles_, c.rows()};
  for (int layer = 0; layer < c.layers; ++layer) {
    if (!pace.next()) return false;
    block(c, w.tower[layer], all, c.rows());
    show(model_, launch_, "tower", layer + 1, x_, c.rows(), c.hidden);
  }
  project();
  show(model_, launch_, "features", -1, features_, model_.config.image_tokens(), model_.config.language.hidden);
  check(cudaStreamSynchronize(launch_.stream), "vision tower");
  return true;
}

/// x_ [vision.rows, vision.hidden] → features_. Erf GELU between the linear layers, none after the last.
void Forward::project() {
  const Config& config = model_.config;
  const int rows = config.vision.selected_rows(), width = config.language.hidden;
  float* const end = config.projector.pooled ? projected_ : features_;
  const float* in = x_ + static_cast<size_t>(config.vision.skipped_rows) * config.vision.hidden;
  if (model_.weights.projector.empty()) {
    check(cudaMemcpyAsync(end, in, static_cast<size_t>(rows) * width * sizeof(float), cudaMemcpyDeviceToDevice, launch_.stream), "projector");
  }
  for (size_t i = 0; i < model_.weights.projector.size(); ++i) {
    const Matrix& matrix = model_.weights.projector[i];
    const Operand from = operand(matrix);
    check(prepare(launch_, in, matrix.in, rows, matrix.in, matrix.smooth, from), "projector");
    if (i + 1 == model_.weights.projector.size())
      check(matmul(launch_, from, rows, matrix, Store{end, width}), "projector");
    else
      check(matmul(launch_, from, rows, matrix, Activate{Activation::kGeluErf, nullptr, projected_, width}), "projector");
    in = projected_;
  }
  if (config.projector.pooled) {
    check(pool(launch_, config, model_.weights.pooling, model_.weights.pooling_bias, projected_, features_), "pooling");
  }
}

/// One block over the first `rows` rows of x_, in place.
void Forward::block(const BlockConfig& config, const DeviceBlock& w, const Sight& sight, int rows) {
  enter_block(config, w, sight, rows);
  leave_block(config, w, sight, rows);
}

Operand Forward::normed_for(const BlockConfig& config, const Norm& norm, const Matrix& matrix, int rows) {
  const Operand from = operand(matrix);
  check(normalize(launch_, normed(config, norm, x_, rows), from), "norm");
  return from;
}

/// Up to keys and values, which are in the cache then; q in q_.
void Forward::enter_block(const BlockConfig& config, const DeviceBlock& w, const Sight& sight, int rows) {
  const Operand from = normed_for(config, w.norm1, w.qkv, rows);
  check(matmul(launch_, from, rows, w.qkv, heads(config, model_.weights, sight.cache, sight.places, sight.tables, q_)), "matmul");
}

/// The rest, from x_ and q_.
void Forward::leave_block(const BlockConfig& config, const DeviceBlock& w, const Sight& sight, int rows) {
  const auto add = [&](const float* from, const Matrix& matrix) {
    const Operand in = operand(matrix);
    check(prepare(launch_, from, matrix.in, rows, matrix.in, matrix.smooth, in), "quantization");
    check(matmul(launch_, in, rows, matrix, Add{x_, config.hidden}), "matmul");
  };
  const auto expand = [&] {
    const Operand from = normed_for(config, config.has_norm2() ? w.norm2 : w.norm1, w.up, rows);
    check(matmul(launch_, from, rows, w.up, Activate{config.activation, nullptr, inner_, config.intermediate}), "matmul");
  };

  if (config.parallel()) expand();  // before attention is added
  check(attend(launch_, q_, config.heads, sight.cache, sight.tables, sight.tiles, sight.tile_count, sight.visible, attended_), "attention");
  add(attended_, w.out);
  if (!config.parallel()) expand();
  add(inner_, w.down);
}

/// The last block: of rows that nobody asks for only keys and values are needed. The others come to the top.
void Forward::last_block(const DeviceBlock& w, const Sight& sight, const Batch& batch) {
  const LanguageConfig& c = model_.config.language;
  enter_block(c, w, sight, batch.count);
  gather(batch, x_, c.hidden);
  gather(batch, q_, c.attention_width());
  if (batch.answers > 0) {
    leave_block(c, w, {sight.cache, sight.places, sight.tables, sight.tiles + sight.tile_count, batch.answers, sight.visible}, batch.answers);
  }
}

/// The answering rows, which ascend, to the top.
void Forward::gather(const Batch& batch, float* rows, size_t width) {
  for (int i = 0; i < batch.answers; ++i) {
    if (batch.answer[i] == i) continue;
    check(cudaMemcpyAsync(rows + i * width, rows + batch.answer[i] * width, width * sizeof(float), cudaMemcpyDeviceToDevice, launch_.stream),
          "copy of rows");
  }
}

bool Forward::append(const Batch& batch, Ask cancelled, void* user) {
  const LanguageConfig& c = model_.config.language;
  upload(batch);
  check(embed(launch_, model_.weights.embedding, inputs_.ids, features_, batch.count, x_), "embedding");
  show(model_, launch_, "language", 0, x_, batch.count, c.hidden);
  Pace pace(launch_.stream, cancelled, user);
  for (int layer = 0; layer < c.layers; ++layer) {
    if (!pace.next()) return false;
    const DeviceBlock& w = model_.weights.decoder[layer];
    const Sight sight{model_.cache.layer(layer), inputs_.places, {inputs_.blocks, model_.table_width}, inputs_.tiles, tile_count_, 0};
    const bool last = layer + 1 == c.layers;
    if (last && model_.probe.seen == nullptr) {
      last_block(w, sight, batch);
    } else {
      block(c, w, sight, batch.count);
      if (!last) show(model_, launch_, "language", layer + 1, x_, batch.count, c.hidden);
    }
  }
  if (model_.probe.seen != nullptr) {
    check(normalize(launch_, normed(c, model_.weights.final_norm, x_, batch.count), attended_, c.hidden), "norm");
    show(model_, launch_, "language", c.layers, attended_, batch.count, c.hidden);
    gather(batch, x_, c.hidden);
  }
  if (batch.answers > 0) answer(batch);
  check(cudaStreamSynchronize(launch_.stream), "prefill");
  return true;
}

void Forward::upload(const Batch& batch) {
  std::copy_n(batch.ids, batch.count, ids_.data());
  std::copy_n(batch.blocks, static_cast<size_t>(batch.table_count) * model_.table_width, blocks_.data());
  for (int row = 0; row < batch.count; ++row) places_[row] = {batch.positions[row], batch.tables[row]};
  tile_count_ = cut(batch.tables, batch.positions, batch.count, tiles_.data());
  for (int i = 0; i < batch.answers; ++i) tiles_[tile_count_ + i] = {i, 1, batch.positions[batch.answer[i]], batch.tables[batch.answer[i]]};
  const auto copy = [&](void* to, const void* from, size_t bytes) {
    check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyHostToDevice, launch_.stream), "copy of rows");
  };
  copy(inputs_.ids, ids_.data(), batch.count * sizeof(int32_t));
  copy(inputs_.places, places_.data(), batch.count * sizeof(Place));
  copy(inputs_.tiles, tiles_.data(), (tile_count_ + batch.answers) * sizeof(QueryTile));
  copy(inputs_.blocks, blocks_.data(), static_cast<size_t>(batch.table_count) * model_.table_width * sizeof(int32_t));
}

/// Logits by the kernel of decode: a token's logits do not depend on how its row came to be.
void Forward::answer(const Batch& batch) {
  const LanguageConfig& c = model_.config.language;
  check(decode_logits(launch_, normed(c, model_.weights.final_norm, x_, batch.answers), model_.weights.head, Store{logits_, c.vocab}), "logits");
  check(cudaMemcpyAsync(batch.logits, logits_, static_cast<size_t>(batch.answers) * c.vocab * sizeof(float), cudaMemcpyDeviceToHost, launch_.stream),
        "copy of logits");
}

}  // namespace mipha::cuda
