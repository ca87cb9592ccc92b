#include "backend/tensorrt/tensorrt_backend.h"

#include <unistd.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "backend/library_file.h"
#include "backend/model_backend.h"
#include "backend/tensorrt/engines.h"
#include "backend/tensorrt/forward.h"
#include "core/error.h"

namespace mipha::tensorrt {
namespace {

/// Rows of the cache: as many as are asked for, at most those that the engines were built for.
int cache_rows(const Engines& engines, const LanguageConfig& config, int tokens) {
  const int most = engines.cache_rows();
  if (tokens == 0) return most;
  const int rows = tokens + Cache::step(config) - 1;  // some are lost where runs have to begin
  if (rows <= most) return rows;
  throw Error(Code::kBackend, "TensorRT: cacheTokens: expected at most " + std::to_string(most - Cache::step(config) + 1) +
                                  ", for which the engines were built, received " + std::to_string(tokens));
}

class TensorRtBackend final : public ModelBackend {
 public:
  TensorRtBackend(std::shared_ptr<const Package> package, int cache_tokens, const Options& options, const Progress& progress)
      : ModelBackend(std::move(package)),
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

  int sequence() override { return sequences_.create(); }
  int fork(int sequence) override { return sequences_.fork(sequence); }
  void truncate(int sequence, int length) override { sequences_.truncate(sequence, length); }
  void release(int sequence) override { sequences_.release(sequence); }
  int length(int sequence) const override { return sequences_.length(sequence); }
  int room(int sequence) const override { return sequences_.room(sequence); }
  bool reserve(int sequence, int rows) override { return sequences_.reserve(sequence, rows); }

  bool append(const std::vector<Extension>& extensions, float* logits, const Cancelled& cancelled) override {
    const std::vector<NewRow> rows = list_rows(extensions);
    std::vector<RowTables::State> before;
    const auto take_back = [&] {
      for (size_t i = 0; i < before.size(); ++i) sequences_.restore(extensions[i].sequence, before[i]);
    };
    try {
      for (const Extension& extension : extensions) before.push_back(sequences_.extend(extension.sequence, extension.rows()));
      for (size_t first = 0; first < rows.size();) {
        const auto [count, answers] = chunk(rows, first);
        if (!forward_.run(rows.data() + first, count, sequences_, logits, cancelled)) {
          take_back();
          return false;
        }
        if (logits != nullptr) logits += static_cast<size_t>(answers) * config().language.vocab;
        first += count;
      }
    } catch (...) {
      take_back();
      throw;
    }
    return true;
  }

  void set_probe(Probe probe) override { forward_.set_probe(std::move(probe)); }

 private:
  bool encode_pixels(const uint8_t* pixels, const Cancelled& cancelled) override { return forward_.encode(pixels, cancelled); }

  /// How many rows from `first` on go into one run, and how many of them are the last of their extension.
  std::pair<int, int> chunk(const std::vector<NewRow>& rows, size_t first) const {
    const size_t most = std::min(rows.size() - first, static_cast<size_t>(engines_.max_rows()));
    int count = 0, answers = 0;
    while (count < static_cast<int>(most) && answers < kMostAnswers) answers += rows[first + count++].last ? 1 : 0;
    return {count, answers};
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
