#include "backend/cpu/cpu_backend.h"

#include <algorithm>
#include <string>

#include "backend/block_tables.h"
#include "backend/cpu/cache.h"
#include "backend/cpu/forward.h"
#include "backend/model_backend.h"
#include "core/cpu_features.h"
#include "core/error.h"

namespace mipha::cpu {
namespace {

/// Everything that lives in the arena. Built twice: to count, then for real.
struct Model {
  Model(Arena& arena, const std::shared_ptr<const Package>& package, const Options& options, int threads, int cache_tokens, int max_rows)
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
    CacheBlocks cache(arena, config.layers, (tokens + kBlockRows - 1) / kBlockRows, config.kv_heads, config.head_size);
    arena.mark("cache");
    return cache;
  }
};

class CpuBackend final : public SequenceBackend<BlockTables> {
 public:
  CpuBackend(std::shared_ptr<const Package> package, const Options& options, const Kernels& kernels, int threads, int cache_tokens, int max_rows,
             size_t bytes, const Progress& progress)
      : SequenceBackend(std::move(package), sequences_),
        pool_(threads),
        team_{kernels, pool_},
        arena_(bytes),
        model_(arena_, package_, options, threads, cache_tokens, max_rows),
        sequences_(model_.cache.blocks(), kBlockRows, config().language.context, [this](int from, int to) { model_.cache.copy(from, to); }) {
    model_.weights.load(team_, progress);
    model_.forward.prepare();
  }

  std::string name() const override { return "cpu"; }
  std::string detail() const override { return std::string(team_.kernels.name) + ", " + std::to_string(pool_.threads()) + " threads"; }
  Memory memory() const override { return {arena_.parts()}; }

  void set_probe(Probe probe) override { model_.forward.set_probe(std::move(probe)); }

 private:
  bool encode_pixels(const uint8_t* pixels, const Cancelled& cancelled) override { return model_.forward.encode(team_, pixels, cancelled); }

  int max_rows() const override { return model_.forward.max_rows(); }
  bool run(const NewRow* rows, int count, float* logits, const Cancelled& cancelled) override {
    std::vector<Attended> spans;
    std::vector<int> wanted;
    for (int i = 0; i < count; ++i) {
      const NewRow& row = rows[i];
      if (row.id >= 0)
        model_.forward.embed_token(i, row.id);
      else
        model_.forward.embed_feature(i, row.feature);
      if (i == 0 || row.sequence != rows[i - 1].sequence) spans.push_back({sequences_.blocks(row.sequence), row.position, 0, true});
      ++spans.back().count;
      if (row.last && logits != nullptr) wanted.push_back(i);
    }
    if (!model_.forward.layers(team_, spans.data(), static_cast<int>(spans.size()), wanted, cancelled)) return false;
    if (!wanted.empty()) model_.forward.logits(team_, static_cast<int>(wanted.size()), logits);
    return true;
  }

  ThreadPool pool_;
  Team team_;
  Arena arena_;
  Model model_;
  BlockTables sequences_;
};

}  // namespace

std::unique_ptr<Backend> create_cpu_backend(std::shared_ptr<const Package> package, int cache_tokens, const Options& options,
                                            const Progress& progress) {
  const Kernels* kernels = find_kernels(options.isa.empty() ? nullptr : options.isa.c_str());
  if (kernels == nullptr) {
    std::string runnable;
    const KernelList list = mipha::cpu::kernels();
    for (int i = 0; i < list.count; ++i) runnable += (i ? ", " : "") + std::string(list.rows[i]->name);
    throw Error(Code::kBackend, "cpu backend: expected one of " + runnable + " on this machine, received '" + options.isa + "'");
  }
  const LanguageConfig& language = package->config().language;
  const int threads = options.threads > 0 ? options.threads : physical_cores();
  if (cache_tokens == 0) cache_tokens = language.context + 128 * Backend::kMaxBatch;
  // A whole picture and a question in one pass: every row of a prefill shares one read of the weights.
  const int max_rows = std::min(language.context, std::max(package->config().image_tokens() + 64, 256));

  Arena plan;
  Model(plan, package, options, threads, cache_tokens, max_rows);
  return std::make_unique<CpuBackend>(std::move(package), options, *kernels, threads, cache_tokens, max_rows, plan.used(), progress);
}

}  // namespace mipha::cpu
