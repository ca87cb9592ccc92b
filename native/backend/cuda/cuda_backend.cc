#include "backend/cuda/cuda_backend.h"

#include <unistd.h>

#include <algorithm>
#include <utility>

#include "backend/block_tables.h"
#include "backend/cuda/choosers.h"
#include "backend/cuda/kernels/layout.h"
#include "backend/cuda/library.h"
#include "backend/cuda/supported.h"
#include "backend/model_backend.h"
#include "core/cpu_features.h"
#include "model/stages.h"

namespace mipha::cuda {
namespace {

static_assert(kMostSequences == Backend::kMaxBatch);

int blocks_for(int rows) {
  return (rows + kBlockRows - 1) / kBlockRows;
}

WeightsView view(const Weights& weights) {
  return {weights.patch_embedding,    weights.tower.data(), weights.projector.data(), weights.decoder.data(), weights.head,     weights.embedding,
          weights.position_embedding, weights.prefix,       weights.pooling,          weights.pooling_bias,   weights.pre_norm, weights.final_norm};
}

/// An engine of the library; closed with it.
class Handle {
 public:
  Handle(const Library& library, const Package& package, int cache_blocks, int max_rows, const Progress& progress) : table_(library.table()) {
    const LanguageConfig& language = package.config().language;
    const WeightsView weights = view(package.weights());
    const Angles turned = angles(language, 0, language.context);
    Callbacks callbacks;
    callbacks.progress = progress;
    callbacks.release = [&](const void* data, size_t bytes) { package.release(data, bytes); };
    const int64_t available = library.facts().integrated != 0 ? static_cast<int64_t>(available_memory_bytes()) : 0;
    const OpenRequest request{&package.config(), &weights,  turned.cosine.data(), turned.sine.data(),  cache_blocks,
                              max_rows,          available, Callbacks::told,      Callbacks::released, &callbacks};
    Failure failure = {};
    const Status status = table_.open(&request, &engine_, &failure);
    callbacks.rethrow();
    check(status, failure);
  }
  ~Handle() { table_.close(engine_); }
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;

  const Table& table() const { return table_; }
  Engine* get() const { return engine_; }

 private:
  const Table& table_;
  Engine* engine_ = nullptr;
};

class CudaBackend final : public SequenceBackend<BlockTables> {
 public:
  CudaBackend(std::shared_ptr<const Package> package, const Library& library, int cache_tokens, int max_rows, const Progress& progress)
      : SequenceBackend(std::move(package), sequences_),
        facts_(library.facts()),
        max_rows_(max_rows),
        table_width_(blocks_for(config().language.context)),
        engine_(library, *package_, blocks_for(cache_tokens), max_rows, progress),
        sequences_(
            blocks_for(cache_tokens), kBlockRows, config().language.context,
            [this](int from, int to) { call([&](Failure* failure) { return engine_.table().copy_block(engine_.get(), from, to, failure); }); }),
        choosers_(engine_.table(), engine_.get()) {}

  std::string name() const override { return "cuda"; }
  std::string detail() const override {
    return std::string(facts_.gpu) + ", compute capability " + std::to_string(facts_.compute_capability / 10) + "." +
           std::to_string(facts_.compute_capability % 10);
  }
  Memory memory() const override {
    Part parts[kMostParts] = {};
    const int count = engine_.table().memory(engine_.get(), parts);
    Memory memory;
    for (int i = 0; i < count; ++i) memory.parts.emplace_back(parts[i].name, parts[i].bytes);
    return memory;
  }

  void set_vocabulary(const std::vector<std::vector<uint8_t>>& bytes, const std::vector<int32_t>& sorted) override {
    choosers_.set_vocabulary(bytes, sorted, config().language.vocab);
  }

  // Steps have kernels of their own, which append() never takes: whatever a row is appended with, its bits are the same.
  void step(const int* sequences, const int32_t* ids, int count, float* logits) override {
    const std::vector<Chooser> none(count);
    std::vector<Choice> by_caller(count);
    decode(sequences, ids, none.data(), count, logits, by_caller.data());
  }
  void decode(const int* sequences, const int32_t* ids, const Chooser* choosers, int count, float* logits, Choice* choices) override {
    extend(as_extensions(sequences, ids, count), [&] {
      run_step(sequences, ids, choosers, count, logits, choices);
      return true;
    });
  }

  void set_probe(Probe probe) override {
    probe_.probe = std::move(probe);
    engine_.table().set_probe(engine_.get(), probe_.probe ? Callbacks::seen : nullptr, &probe_);
  }

  StepCounts step_counts() const {
    StepCounts counts = {};
    engine_.table().step_counts(engine_.get(), &counts);
    return counts;
  }

 private:
  /// A call of the table that may fail.
  template <class Function>
  void call(Function&& function) const {
    Failure failure = {};
    check(function(&failure), failure);
  }
  /// The same with a question whether to go on. False when the answer was no.
  template <class Function>
  bool call(const Cancelled& cancelled, Function&& function) {
    Callbacks callbacks;
    callbacks.cancelled = cancelled;
    Failure failure = {};
    const Status status = function(cancelled ? Callbacks::ask : nullptr, &callbacks, &failure);
    callbacks.rethrow();
    probe_.rethrow();
    if (status == status_of(Code::kDisposed)) return false;
    check(status, failure);
    return true;
  }

  bool resize_inside(const Image& image) override {
    if (engine_.table().fits(engine_.get(), &image) == 0) return false;
    call([&](Failure* failure) { return engine_.table().resize(engine_.get(), &image, failure); });
    return true;
  }

  bool encode_pixels(const uint8_t* pixels, const Cancelled& cancelled) override {
    if (pixels != nullptr) call([&](Failure* failure) { return engine_.table().set_pixels(engine_.get(), pixels, failure); });
    return call(cancelled, [&](Ask ask, void* user, Failure* failure) { return engine_.table().encode(engine_.get(), ask, user, failure); });
  }

  int max_rows() const override { return max_rows_; }
  bool run(const NewRow* rows, int count, float* logits, const Cancelled& cancelled) override {
    std::vector<int32_t> ids, positions, tables, answer;
    std::vector<int> sequences;
    for (int i = 0; i < count; ++i) {
      const NewRow& row = rows[i];
      if (sequences.empty() || sequences.back() != row.sequence) sequences.push_back(row.sequence);
      ids.push_back(row.id >= 0 ? row.id : -1 - row.feature);
      positions.push_back(row.position);
      tables.push_back(static_cast<int32_t>(sequences.size()) - 1);
      if (row.last) answer.push_back(i);
    }
    const std::vector<int32_t> blocks = block_rows(sequences.data(), static_cast<int>(sequences.size()));
    const Batch batch{count,
                      ids.data(),
                      positions.data(),
                      tables.data(),
                      static_cast<int32_t>(sequences.size()),
                      blocks.data(),
                      logits == nullptr ? 0 : static_cast<int32_t>(answer.size()),
                      answer.data(),
                      logits};
    return call(cancelled, [&](Ask ask, void* user, Failure* failure) { return engine_.table().append(engine_.get(), &batch, ask, user, failure); });
  }

  /// Sequences have been extended by the row that is computed.
  void run_step(const int* sequences, const int32_t* ids, const Chooser* choosers, int count, float* logits, Choice* choices) {
    int32_t positions[kMostSequences];
    StepChooser named[kMostSequences];
    choosers_.name(choosers, count, named);
    for (int i = 0; i < count; ++i) positions[i] = sequences_.length(sequences[i]) - 1;
    const std::vector<int32_t> blocks = block_rows(sequences, count);
    Chosen chosen[kMostSequences] = {};
    const Step step{count, ids, positions, blocks.data(), named, ahead(positions, named, count), logits, chosen};
    call([&](Failure* failure) { return engine_.table().step(engine_.get(), &step, failure); });
    probe_.rethrow();
    for (int i = 0; i < count; ++i) {
      const Chosen& one = chosen[i];
      if (named[i].list >= 0)
        choices[i] = {one.id, one.margin};
      else if (named[i].constraint >= 0)
        choices[i] = {one.id, one.margin, one.state, one.share, one.last != 0};
      else
        choices[i] = {Choice::kByCaller};
    }
  }

  /// Steps that may be computed before they are asked for: their rows lie in blocks that the sequences hold alone, which the last ones do when they
  /// have just been extended, and no answer is known to be over.
  int ahead(const int32_t* positions, const StepChooser* choosers, int count) const {
    int steps = kBlockRows;
    for (int i = 0; i < count; ++i) {
      const int of_block = kBlockRows - 1 - positions[i] % kBlockRows, of_context = config().language.context - 1 - positions[i];
      steps = std::min({steps, of_block, of_context, choosers[i].tokens_left - 1});
    }
    return std::max(steps, 0);
  }

  /// [count, table_width_], what no row reads is −1.
  std::vector<int32_t> block_rows(const int* sequences, int count) const {
    std::vector<int32_t> blocks(static_cast<size_t>(count) * table_width_, -1);
    for (int i = 0; i < count; ++i) {
      const int held = blocks_for(sequences_.length(sequences[i]));
      std::copy_n(sequences_.blocks(sequences[i]), held, blocks.begin() + static_cast<std::ptrdiff_t>(i) * table_width_);
    }
    return blocks;
  }

  const Facts facts_;
  const int max_rows_, table_width_;
  Handle engine_;
  BlockTables sequences_;
  Callbacks probe_;
  Choosers choosers_;
};

}  // namespace

StepCounts step_counts(const Backend& backend) {
  return dynamic_cast<const CudaBackend&>(backend).step_counts();
}

std::string missing() {
  const std::string library = default_library();
  if (access(library.c_str(), R_OK) == 0) return "";
  return "there is no " + library + ", compiled where nvcc and a CUDA device are by: npm run build:cuda";
}

std::unique_ptr<Backend> create_cuda_backend(std::shared_ptr<const Package> package, int cache_tokens, const Progress& progress) {
  const std::string problem = unsupported(package->config(), package->weights());
  if (!problem.empty()) throw Error(Code::kBackend, "CUDA: " + problem);
  const Library library(default_library());
  const LanguageConfig& language = package->config().language;
  if (cache_tokens == 0) cache_tokens = language.context + 128 * Backend::kMaxBatch;
  // A whole picture and a question in one pass.
  const int max_rows = std::min(language.context, std::max(package->config().image_tokens() + 64, 256));
  return std::make_unique<CudaBackend>(std::move(package), library, cache_tokens, max_rows, progress);
}

}  // namespace mipha::cuda
