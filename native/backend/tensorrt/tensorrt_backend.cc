#include "backend/tensorrt/tensorrt_backend.h"

#include <unistd.h>

#include <utility>

#include "backend/library_file.h"
#include "backend/model_backend.h"
#include "backend/tensorrt/engines.h"
#include "backend/tensorrt/forward.h"
#include "core/error.h"

namespace mipha::tensorrt {
namespace {

static_assert(kMostAnswers == Backend::kMaxBatch);

/// Rows of the cache: as many as are asked for, at most those that the engines were built for.
int cache_rows(const Engines& engines, const LanguageConfig& config, int tokens) {
  const int most = engines.cache_rows();
  if (tokens == 0) return most;
  const int rows = tokens + Cache::step(config) - 1;  // some are lost where runs have to begin
  if (rows <= most) return rows;
  throw Error(Code::kBackend, "TensorRT: cacheTokens: expected at most " + std::to_string(most - Cache::step(config) + 1) +
                                  ", for which the engines were built, received " + std::to_string(tokens));
}

class TensorRtBackend final : public SequenceBackend<RowTables> {
 public:
  TensorRtBackend(std::shared_ptr<const Package> package, int cache_tokens, const Options& options, const Progress& progress)
      : SequenceBackend(std::move(package), sequences_),
        library_(options.library.empty() ? default_library() : options.library),
        engines_(library_, options.plans, *package_, progress),
        cache_rows_(cache_rows(engines_, config().language, cache_tokens)),
        forward_(library_, engines_, *package_, cache_rows_),
        sequences_(cache_rows_, Cache::step(config().language), config().language.context) {}

  std::string name() const override { return "tensorrt"; }
  std::string detail() const override {
    const mipha_trt_facts facts = library_.library_facts();
    const size_t segments = engines_.language().size();
    return "TensorRT " + std::string(facts.tensorrt) + ", " + facts.gpu + ", " + std::to_string(segments) +
           (segments == 1 ? " segment" : " segments");
  }
  Memory memory() const override { return forward_.memory(); }

  void set_probe(Probe probe) override { forward_.set_probe(std::move(probe)); }

 private:
  bool encode_pixels(const uint8_t* pixels, const Cancelled& cancelled) override { return forward_.encode(pixels, cancelled); }

  int max_rows() const override { return engines_.max_rows(); }
  bool run(const NewRow* rows, int count, float* logits, const Cancelled& cancelled) override {
    return forward_.run(rows, count, sequences_, logits, cancelled);
  }

  const Library library_;
  const Engines engines_;
  const int cache_rows_;
  Forward forward_;
  RowTables sequences_;
};

}  // namespace

std::string default_library() {
  return library_file("MIPHA_TENSORRT", "mipha_tensorrt.so");
}

std::string missing() {
  const std::string library = default_library();
  if (access(library.c_str(), R_OK) == 0) return "";
  return "there is no " + library + ", compiled where TensorRT is installed by: npm rebuild mipha-edge (in a clone: npm run setup)";
}

std::unique_ptr<Backend> create_tensorrt_backend(std::shared_ptr<const Package> package, int cache_tokens, const Options& options,
                                                 const Progress& progress) {
  return std::make_unique<TensorRtBackend>(std::move(package), cache_tokens, options, progress);
}

}  // namespace mipha::tensorrt
