// A backend for tests of the engine: rows are numbers, the next token is a function of all rows so far, and every call is written down. Tests hold it
// at a chosen point through `at`.
#pragma once

#include <atomic>
#include <functional>
#include <limits>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "backend/backend.h"
#include "core/error.h"
#include "test/support/blocks.h"

namespace mipha::testing {

constexpr int kToyVocab = 64;
constexpr int kToyImageTokens = 4;
constexpr int kToyLayers = 3;

/// What a toy backend did and how it shall behave; outlives it, because the engine owns the backend.
struct ToyWorld {
  int context = 1 << 24;
  int cache_rows = 1 << 28;  // appended rows of all live sequences together; a fork counts as empty
  /// Called before each layer ("encode", "append") and each step ("step"), on the worker thread. What it throws, the backend throws.
  std::function<void(const std::string& where)> at = [](const std::string&) {};
  /// The token after these rows.
  std::function<int32_t(const std::vector<int>& rows)> next = [](const std::vector<int>& rows) {
    uint32_t hash = 2166136261u;
    for (const int row : rows) hash = (hash ^ static_cast<uint32_t>(row)) * 16777619u;
    return static_cast<int32_t>(1 + hash % (kToyVocab - 1));
  };

  /// Where it is set, the backend chooses by itself: what it would give as logits of the sequences it chooses for is NaN.
  std::function<Choice(const std::vector<int>& rows, const Chooser& chooser)> choose;

  std::vector<std::string> log() const {
    const std::lock_guard<std::mutex> lock(mutex);
    return entries;
  }
  void write(const std::string& entry) {
    const std::lock_guard<std::mutex> lock(mutex);
    entries.push_back(entry);
  }

  std::atomic<int> live_sequences{0};
  std::atomic<int> live_rows{0};
  mutable std::mutex mutex;
  std::vector<std::string> entries;  // "encode", "append ROWS", "step COUNT", "choose COUNT"
};

class ToyBackend : public Backend {
 public:
  explicit ToyBackend(ToyWorld& world) : world_(world) {
    config_.vision.image_size = 8;
    config_.vision.patch_size = 4;
    config_.language.vocab = kToyVocab;
    config_.language.tokens = kToyVocab;
    config_.language.context = world.context;
    config_.language.layers = kToyLayers;
    static_cast<BlockConfig&>(config_.language) = test::phi_block(8, 8, 1, 1e-5f, 0, 10000);
  }
  ~ToyBackend() override { world_.live_sequences = 0; }

  std::string name() const override { return "toy"; }
  std::string detail() const override { return "for tests"; }
  Memory memory() const override { return {{{"weights", 7}}}; }
  const Config& config() const override { return config_; }

  bool encode(const Image& image, const Cancelled& cancelled, EncodeTimes* times) override {
    world_.write("encode");
    for (int layer = 0; layer < kToyLayers; ++layer) {
      world_.at("encode");
      if (cancelled()) return false;
    }
    picture_ = image.data[0];
    *times = {1, 2};
    return true;
  }

  int sequence() override {
    ++world_.live_sequences;
    sequences_[next_sequence_] = {};
    return next_sequence_++;
  }
  int fork(int parent) override {
    const int fork = sequence();
    sequences_[fork].rows = at(parent).rows;
    return fork;
  }
  void truncate(int sequence, int length) override {
    Table& table = at(sequence);
    if (length < 0 || length > static_cast<int>(table.rows.size())) throw Error(Code::kInternal, "truncate");
    table.rows.resize(static_cast<size_t>(length));
    const int own = std::min(table.own, length);
    world_.live_rows -= table.own - own;
    table.own = own;
  }
  void release(int sequence) override {
    world_.live_rows -= at(sequence).own;
    sequences_.erase(sequence);
    --world_.live_sequences;
  }
  int length(int sequence) const override { return static_cast<int>(at(sequence).rows.size()); }
  int room(int sequence) const override {
    return std::min(world_.context - length(sequence), world_.cache_rows - world_.live_rows.load() - promised_to_others(sequence));
  }
  bool reserve(int sequence, int rows) override {
    if (rows > world_.cache_rows - world_.live_rows.load() - promised_to_others(sequence)) return false;
    at(sequence).promised = rows;
    return true;
  }

  using Backend::append;
  bool append(const std::vector<Extension>& extensions, float* logits, const Cancelled& cancelled) override {
    std::vector<std::vector<int>> rows;
    std::string sizes;
    int all = 0;
    for (const Extension& extension : extensions) {
      rows.emplace_back();
      for (const Piece& piece : extension.pieces) {
        for (int i = 0; i < piece.count; ++i) rows.back().push_back(piece.ids ? piece.ids[i] : 1000 + 10 * picture_ + piece.first + i);
      }
      all += extension.rows();
      sizes += (sizes.empty() ? "" : "+") + std::to_string(extension.rows());
    }
    world_.write("append " + sizes);
    if (all > room(extensions.front().sequence)) throw Error(Code::kMemory, "toy cache");
    for (int layer = 0; layer < kToyLayers; ++layer) {
      world_.at("append");
      if (cancelled()) return false;
    }
    for (size_t i = 0; i < extensions.size(); ++i) {
      add(extensions[i].sequence, rows[i]);
      if (logits) predict(extensions[i].sequence, logits + i * kToyVocab);
    }
    return true;
  }

  void step(const int* sequences, const int32_t* ids, int count, float* logits) override {
    world_.write("step " + std::to_string(count));
    world_.at("step");
    if (count > world_.cache_rows - world_.live_rows.load()) throw Error(Code::kMemory, "toy cache");
    for (int i = 0; i < count; ++i) {
      add(sequences[i], {ids[i]});
      predict(sequences[i], logits + static_cast<size_t>(i) * kToyVocab);
    }
  }

  void decode(const int* sequences, const int32_t* ids, const Chooser* choosers, int count, float* logits, Choice* choices) override {
    if (!world_.choose) return Backend::decode(sequences, ids, choosers, count, logits, choices);
    step(sequences, ids, count, logits);
    int chosen = 0;
    for (int i = 0; i < count; ++i) {
      choices[i] = {Choice::kByCaller};
      if (!choosers[i].candidates && !choosers[i].constraint) continue;
      choices[i] = world_.choose(at(sequences[i]).rows, choosers[i]);
      if (choices[i].id == Choice::kByCaller) continue;
      std::fill_n(logits + static_cast<size_t>(i) * kToyVocab, kToyVocab, std::numeric_limits<float>::quiet_NaN());
      ++chosen;
    }
    world_.write("choose " + std::to_string(chosen));
  }

  void set_probe(Probe) override {}

 private:
  struct Table {
    std::vector<int> rows;
    int own = 0;  // rows that count against the cache
    int promised = 0;
  };
  Table& at(int sequence) { return sequences_.at(sequence); }
  const Table& at(int sequence) const { return sequences_.at(sequence); }

  int promised_to_others(int sequence) const {
    int promised = 0;
    for (const auto& [other, table] : sequences_) promised += other == sequence ? 0 : table.promised;
    return promised;
  }
  void add(int sequence, const std::vector<int>& rows) {
    Table& table = at(sequence);
    table.promised = std::max(0, table.promised - static_cast<int>(rows.size()));
    table.rows.insert(table.rows.end(), rows.begin(), rows.end());
    table.own += static_cast<int>(rows.size());
    world_.live_rows += static_cast<int>(rows.size());
  }
  void predict(int sequence, float* logits) const {
    std::fill_n(logits, kToyVocab, 0.0f);
    logits[world_.next(at(sequence).rows)] = 5;
  }

  ToyWorld& world_;
  Config config_;
  std::map<int, Table> sequences_;
  int next_sequence_ = 0;
  int picture_ = 0;
};

}  // namespace mipha::testing
