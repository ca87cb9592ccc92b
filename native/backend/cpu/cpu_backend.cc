#include "backend/cpu/cpu_backend.h"

#include <algorithm>
#include <chrono>
#include <string>

#include "backend/cpu/cache.h"
#include "backend/cpu/forward.h"
#include "core/cpu_features.h"
#include "core/error.h"

namespace mipha::cpu {
namespace {

double since_ms(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
}

/// Everything that lives in the arena. Built twice: to count, then for real.
struct Model {
  Model(Arena& arena, const std::shared_ptr<const Package>& package, const BackendOptions& options, int threads, int cache_tokens, int max_rows)
      : weights(arena, package, options.stream_weights),
        cache(lay_out_cache(arena, package->config().language, cache_tokens)),
        forward(arena, *package, weights, cache, threads, max_rows) {
    arena.mark("activations");
  }

  PackedWeights weights;
  CacheBlocks cache;
  Forward forward;

 private:
  static CacheBlocks lay_out_cache(Arena& arena, const LanguageConfig& config, int tokens) {
    arena.mark("weights");
    CacheBlocks cache(arena, config.layers, (tokens + kBlockRows - 1) / kBlockRows, config.heads, config.head_size());
    arena.mark("cache");
    return cache;
  }
};

class CpuBackend final : public Backend {
 public:
  CpuBackend(std::shared_ptr<const Package> package, const BackendOptions& options, const Kernels& kernels, int threads, int cache_tokens,
             int max_rows, size_t bytes, const Progress& progress)
      : package_(std::move(package)),
        pool_(threads),
        team_{kernels, pool_},
        arena_(bytes),
        model_(arena_, package_, options, threads, cache_tokens, max_rows),
        sequences_(model_.cache, package_->config().language.context) {
    model_.weights.load(team_, progress);
    model_.forward.prepare();
  }

  std::string name() const override { return "cpu"; }
  std::string detail() const override { return std::string(team_.kernels.name) + ", " + std::to_string(pool_.threads()) + " threads"; }
  Memory memory() const override { return {arena_.parts()}; }
  const Config& config() const override { return package_->config(); }

  bool encode(const Image& image, const Cancelled& cancelled, EncodeTimes* times) override {
    const auto start = std::chrono::steady_clock::now();
    const std::vector<uint8_t> pixels = resize(image, config().vision.image_size, config().pad_to_square);
    if (times) times->preprocess_ms = since_ms(start);
    const auto resized = std::chrono::steady_clock::now();
    const bool finished = model_.forward.encode(team_, pixels.data(), cancelled);
    if (times) times->vision_ms = since_ms(resized);
    return finished;
  }

  int sequence() override { return sequences_.create(); }
  int fork(int sequence) override { return sequences_.fork(sequence); }
  void truncate(int sequence, int length) override { sequences_.truncate(sequence, length); }
  void release(int sequence) override { sequences_.release(sequence); }
  int length(int sequence) const override { return sequences_.length(sequence); }
  int room(int sequence) const override { return sequences_.room(sequence); }

  bool append(int sequence, const std::vector<Piece>& pieces, float* logits, const Cancelled& cancelled) override {
    int total = 0;
    for (const Piece& piece : pieces) total += piece.count;
    if (total == 0) return true;
    const int before = sequences_.length(sequence);
    sequences_.extend(sequence, total);

    size_t piece = 0;
    int in_piece = 0;
    for (int done = 0; done < total;) {
      const int rows = std::min(total - done, model_.forward.max_rows());
      for (int row = 0; row < rows; ++row, ++in_piece) {
        while (in_piece == pieces[piece].count) ++piece, in_piece = 0;
        const Piece& from = pieces[piece];
        if (from.ids != nullptr)
          model_.forward.embed_token(row, from.ids[in_piece]);
        else
          model_.forward.embed_feature(row, from.first + in_piece);
      }
      const Attended span{sequences_.blocks(sequence), before + done, rows, true};
      if (!model_.forward.layers(team_, &span, 1, cancelled)) {
        sequences_.truncate(sequence, before);
        return false;
      }
      done += rows;
      if (done == total && logits != nullptr) model_.forward.logits(team_, rows - 1, 1, logits);
    }
    return true;
  }

  void step(const int* sequences, const int32_t* ids, int count, float* logits) override {
    Attended spans[kMaxBatch];
    extend_all(sequences, count);
    for (int i = 0; i < count; ++i) model_.forward.embed_token(i, ids[i]);
    for (int i = 0; i < count; ++i) spans[i] = {sequences_.blocks(sequences[i]), sequences_.length(sequences[i]) - 1, 1, true};
    model_.forward.layers(team_, spans, count, {});
    model_.forward.logits(team_, 0, count, logits);
  }

  void set_probe(Probe probe) override { model_.forward.set_probe(std::move(probe)); }

 private:
  /// One row for each, or none for any of them.
  void extend_all(const int* sequences, int count) {
    int done = 0;
    try {
      for (; done < count; ++done) sequences_.extend(sequences[done], 1);
    } catch (const Error&) {
      while (done-- > 0) sequences_.truncate(sequences[done], sequences_.length(sequences[done]) - 1);
      throw;
    }
  }

  std::shared_ptr<const Package> package_;
  ThreadPool pool_;
  Team team_;
  Arena arena_;
  Model model_;
  Sequences sequences_;
};

}  // namespace

std::unique_ptr<Backend> create_cpu_backend(std::shared_ptr<const Package> package, const BackendOptions& options, const Progress& progress) {
  const Kernels* kernels = find_kernels(options.isa.empty() ? nullptr : options.isa.c_str());
  if (kernels == nullptr) {
    std::string runnable;
    const KernelList list = mipha::cpu::kernels();
    for (int i = 0; i < list.count; ++i) runnable += (i ? ", " : "") + std::string(list.rows[i]->name);
    throw Error(Code::kBackend, "cpu backend: expected one of " + runnable + " on this machine, received '" + options.isa + "'");
  }
  const LanguageConfig& language = package->config().language;
  const int threads = options.threads > 0 ? options.threads : physical_cores();
  const int cache_tokens = options.cache_tokens > 0 ? options.cache_tokens : language.context + 128 * Backend::kMaxBatch;
  // A whole picture and a question in one pass: every row of a prefill shares one read of the weights.
  const int max_rows = std::min(language.context, std::max(package->config().vision.tokens() + 64, 256));

  Arena plan;
  Model(plan, package, options, threads, cache_tokens, max_rows);
  return std::make_unique<CpuBackend>(std::move(package), options, *kernels, threads, cache_tokens, max_rows, plan.used(), progress);
}

}  // namespace mipha::cpu
