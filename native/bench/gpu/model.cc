// A whole model through the backend, opened as the product opens it: what a caller sees, copies and host included.
#include <algorithm>
#include <cstdio>
#include <memory>
#include <stdexcept>
#include <string>

#include "backend/backend.h"
#include "backend/cuda/cuda_backend.h"
#include "backend/cuda/library.h"
#include "bench/gpu/device.h"
#include "bench/gpu/random_package.h"
#include "bench/gpu/words.h"

namespace mipha::cuda::bench {
namespace {

constexpr int kQuestionRows = 30, kAnswerTokens = 4;  // of a typed answer
constexpr double kEnoughMs = 1000;                    // of answers, where a step takes long
constexpr int64_t kRoomy = int64_t{16} << 30;         // free bytes of a device that holds weights and eight full contexts
constexpr int64_t kGranule = int64_t{2} << 20;        // in which a driver takes memory

int64_t free_bytes() {
  return Library(default_library()).facts().free_bytes;
}

using Sequences = std::vector<int>;

/// How the tokens of an answer are chosen.
enum class By { kCandidates, kConstraint, kLogits };
constexpr const char* kBy[] = {"decode", "decode under a constraint", "decode, logits to the host"};

/// A model of random weights on the CUDA backend, and what callers do with it.
class Model {
 public:
  Model(Device& device, const Sizes& sizes)
      : device_(device),
        sizes_(sizes),
        language_(sizes.config.language),
        package_(std::make_shared<RandomPackage>(sizes.config)),
        words_(made_up_words(language_.tokens)),
        candidates_(std::make_shared<const std::vector<int32_t>>(words_.sorted)),
        constraint_(any_text()),
        answer_tokens_(device.how() == How::kSmall ? 8 : 32),
        repeats_(device.how() == How::kSmall   ? 2
                 : device.how() == How::kShort ? 20
                                               : 60) {
    each_matrix(package_->weights(), [&](int, const std::string& name, const Linear& linear) {
      if (name.rfind("language.", 0) == 0) weight_bytes_ += static_cast<double>(linear.out) * linear.in;
    });
    for (int i = 0; i < language_.context; ++i) ids_.push_back(i * 61 % language_.tokens);
    logits_.resize(static_cast<size_t>(Backend::kMaxBatch) * language_.vocab);
    cache_tokens_ = free_bytes() > kRoomy ? Backend::kMaxBatch * language_.context : 0;
  }

  void load(int times) {
    std::vector<double> loads;
    for (int i = 0; i < times; ++i) {
      backend_.reset();
      BackendOptions options;
      options.cache_tokens = cache_tokens_;
      const double began = now_ms();
      backend_ = create_backend("cuda", package_, options, {});
      loads.push_back(now_ms() - began);
    }
    backend_->set_vocabulary(words_.bytes, words_.sorted);
    device_.model(name("load"), 1, 0, taken(loads));
    for (const auto& [part, bytes] : backend_->memory().parts) device_.memory(name(part), bytes);
  }

  /// Answers of sequences that share no row and have `context` of them at first: each token is fed as it was chosen, as the engine does. What a step
  /// takes, on average over an answer.
  void decode(int batch, int context, By by = By::kCandidates) {
    const std::string what = name(kBy[static_cast<int>(by)]);
    Sequences sequences;
    for (int i = 0; i < batch; ++i) {
      sequences.push_back(backend_->sequence());
      if (backend_->room(sequences.back()) < context + answer_tokens_) {
        std::fprintf(stderr, "%s: %d sequences of %d rows do not fit into the cache of this device\n", what.c_str(), batch, context + answer_tokens_);
        release(sequences);
        return;
      }
      backend_->append(sequences.back(), {tokens(context)}, nullptr, {});
    }
    const StepCounts before = step_counts(*backend_);
    std::vector<double> steps;
    const double enough = now_ms() + kEnoughMs;
    for (int i = 0; i <= repeats_ && (i < 3 || now_ms() < enough); ++i) {
      const double began = now_ms();
      answer(sequences, answer_tokens_, by);
      if (i > 0) steps.push_back((now_ms() - began) / answer_tokens_);
      for (const int sequence : sequences) backend_->truncate(sequence, context);
    }
    const double rows = context + (answer_tokens_ + 1) / 2.0;  // on average
    const double cache = 4.0 * batch * rows * language_.layers * language_.kv_width();
    device_.model(what, batch, context, taken(steps), weight_bytes_ + cache, batch);
    if (by != By::kLogits) {
      const StepCounts after = step_counts(*backend_);
      const int64_t all = after.steps - before.steps, ahead = after.ahead - before.ahead;
      device_.expect(what + ", " + std::to_string(batch) + " x " + std::to_string(context) + ": most steps run ahead", 2 * ahead > all,
                     std::to_string(ahead) + " of " + std::to_string(all));
    }
    release(sequences);
  }

  void prefill(int rows) {
    const int sequence = backend_->sequence();
    const Taken time = repeated([&] { backend_->append(sequence, {tokens(rows)}, logits_.data(), {}); }, [&] { backend_->truncate(sequence, 0); });
    device_.model(name("prefill"), 1, rows, time);
    backend_->release(sequence);
  }

  void picture(const std::string& kind, PixelFormat format, int width, int height) {
    const int stride = format == PixelFormat::kNv12 ? width : 3 * width;
    std::vector<uint8_t> pixels(static_cast<size_t>(stride) * (format == PixelFormat::kNv12 ? height * 3 / 2 : height));
    for (size_t i = 0; i < pixels.size(); ++i) pixels[i] = static_cast<uint8_t>(i * 2654435761u >> 24);
    const Image image{pixels.data(), pixels.size(), width, height, stride, format};
    const std::string what = name("picture ") + kind + " " + std::to_string(width) + " x " + std::to_string(height);
    std::vector<double> preprocess, vision;
    const Taken whole = repeated([&] {
      EncodeTimes times;
      backend_->encode(image, {}, &times);
      preprocess.push_back(times.preprocess_ms);
      vision.push_back(times.vision_ms);
    });
    preprocess.erase(preprocess.begin());  // of the time that does not count
    vision.erase(vision.begin());
    device_.model(what, 1, 0, whole);
    device_.model(what + ": preprocessing", 1, 0, taken(preprocess));
    device_.model(what + ": tower", 1, 0, taken(vision));
    const int sequence = backend_->sequence(), shown = sizes_.config.image_tokens();
    const Taken first = repeated(
        [&] {
          backend_->encode(image, {}, nullptr);
          backend_->append(sequence, {{nullptr, shown}, tokens(kQuestionRows)}, logits_.data(), {});
        },
        [&] { backend_->truncate(sequence, 0); });
    device_.model(what + " and " + std::to_string(kQuestionRows) + " tokens: first token", 1, shown + kQuestionRows, first);
    backend_->release(sequence);
  }

  /// Forks of one view that are asked and answered together, in words that a constraint allows. The host's choice of the first token is left out.
  void questions(int count) {
    const int view = backend_->sequence(), shown = sizes_.config.image_tokens();
    backend_->append(view, {{nullptr, shown}}, nullptr, {});
    Sequences forks;
    const Taken time = repeated(
        [&] {
          std::vector<Extension> asked;
          for (int i = 0; i < count; ++i) {
            forks.push_back(backend_->fork(view));
            asked.push_back({forks.back(), {tokens(kQuestionRows)}});
          }
          backend_->append(asked, logits_.data(), {});
          answer(forks, kAnswerTokens - 1, By::kConstraint);
        },
        [&] { release(forks); });
    device_.model(name("questions on one view, answers of ") + std::to_string(kAnswerTokens) + " tokens", count, shown, time);
    backend_->release(view);
  }

  /// Prefills that end at one layer or another; at most `seconds` of them.
  void cancelled(int count, double seconds) {
    const int sequence = backend_->sequence(), room = backend_->room(sequence);
    const int64_t before = free_bytes();
    const double end = now_ms() + seconds * 1e3;
    int done = 0, finished = 0;
    for (; done < count && now_ms() < end; ++done) {
      int layer = done % language_.layers;
      finished += backend_->append(sequence, {tokens(kQuestionRows)}, logits_.data(), [&] { return layer-- == 0; }) ? 1 : 0;
    }
    const int64_t lost = before - free_bytes();
    device_.expect(name("cancelled prefills: ") + std::to_string(done), lost < kGranule && finished == 0 && backend_->room(sequence) == room,
                   std::to_string(lost) + " bytes of the device and " + std::to_string(room - backend_->room(sequence)) + " rows less than before, " +
                       std::to_string(finished) + " not cancelled");
    backend_->release(sequence);
  }

 private:
  std::string name(const std::string& what) const { return std::string(sizes_.model) + " " + what; }
  Piece tokens(int count) const { return {ids_.data(), count}; }

  /// So many steps of all sequences.
  void answer(const Sequences& sequences, int count, By by) {
    const int batch = static_cast<int>(sequences.size());
    int32_t ids[Backend::kMaxBatch], states[Backend::kMaxBatch] = {};
    std::copy_n(ids_.begin(), batch, ids);
    for (int left = count; left > 0; --left) {
      Chooser choosers[Backend::kMaxBatch];
      Choice choices[Backend::kMaxBatch];
      for (int i = 0; i < batch; ++i) {
        if (by == By::kCandidates) choosers[i].candidates = candidates_;
        if (by == By::kConstraint) choosers[i].constraint = constraint_;
        choosers[i].state = states[i];
        choosers[i].tokens_left = left;
      }
      backend_->decode(sequences.data(), ids, choosers, batch, logits_.data(), choices);
      if (by == By::kLogits) continue;
      for (int i = 0; i < batch; ++i) {
        if (choices[i].id < 0) throw std::runtime_error(name("decode: choice ") + std::to_string(choices[i].id));
        ids[i] = choices[i].id, states[i] = choices[i].state;
      }
    }
  }
  void release(Sequences& sequences) {
    for (const int sequence : sequences) backend_->release(sequence);
    sequences.clear();
  }

  /// run() is timed, undo() is not; the first time does not count.
  template <class Run, class Undo>
  Taken repeated(Run&& run, Undo&& undo) const {
    std::vector<double> times;
    for (int i = 0; i <= repeats_; ++i) {
      const double began = now_ms();
      run();
      if (i > 0) times.push_back(now_ms() - began);
      undo();
    }
    return taken(times);
  }
  template <class Run>
  Taken repeated(Run&& run) const {
    return repeated(run, [] {});
  }

  Device& device_;
  const Sizes sizes_;
  const LanguageConfig& language_;
  const std::shared_ptr<const RandomPackage> package_;
  const MadeUpWords words_;
  const Candidates candidates_;
  const std::shared_ptr<const Constraint> constraint_;
  const int answer_tokens_, repeats_;
  int cache_tokens_ = 0;
  double weight_bytes_ = 0;  // of the decoder and the head
  std::vector<int32_t> ids_;
  std::vector<float> logits_;
  std::unique_ptr<Backend> backend_;
};

/// A small model: what a load leaves behind does not depend on its size.
void loads(Device& device, int count, double seconds) {
  const auto package = std::make_shared<RandomPackage>(small().config);
  const auto load = [&] { create_backend("cuda", package, {}, {}); };
  load();
  const int64_t before = free_bytes();
  const double end = now_ms() + seconds * 1e3;
  int done = 0;
  for (; done < count && now_ms() < end; ++done) load();
  const int64_t lost = before - free_bytes();
  device.expect("loads of a small model: " + std::to_string(done), lost < kGranule, std::to_string(lost) + " bytes of the device less than before");
}

void run_small(Device& device) {
  Model model(device, device.sizes());
  model.load(1);
  model.decode(1, 31);
  model.decode(8, 31, By::kConstraint);
  model.decode(1, 31, By::kLogits);
  model.prefill(30);
  model.picture("RGB", PixelFormat::kRgb, 160, 120);
  model.picture("NV12", PixelFormat::kNv12, 240, 136);
  model.questions(2);
  model.cancelled(3, 60);
  loads(device, 2, 60);
}

/// The figures that gates are about.
void run_short(Device& device) {
  Model model(device, device.sizes());
  model.load(1);
  model.decode(1, 64);
  model.decode(8, 64);
  model.decode(1, 900);
  model.decode(1, 2000);
  model.decode(1, 64, By::kConstraint);
  model.decode(1, 64, By::kLogits);
  model.picture("RGB", PixelFormat::kRgb, 640, 480);
  for (const int rows : {30, 760}) model.prefill(rows);
  for (const int count : {1, 8}) model.questions(count);
  model.cancelled(1000, 5);
  loads(device, 20, 5);
}

void run_long(Device& device) {
  {
    Model model(device, device.sizes());
    model.load(3);
    for (const int context : {64, 900, 2000})
      for (const int batch : {1, 2, 4, 8}) model.decode(batch, context);
    for (const By by : {By::kConstraint, By::kLogits})
      for (const int batch : {1, 8}) model.decode(batch, 64, by);
    for (const int rows : {30, 760}) model.prefill(rows);
    model.picture("RGB", PixelFormat::kRgb, 640, 480);
    model.picture("NV12", PixelFormat::kNv12, 1920, 1080);
    for (const int count : {1, 2, 4, 8}) model.questions(count);
    model.cancelled(10000, 15);
  }
  loads(device, 1000, 15);
  Model model(device, gemma());
  model.load(1);
  for (const int batch : {1, 8}) model.decode(batch, 64);
  model.picture("RGB", PixelFormat::kRgb, 640, 480);
}

}  // namespace

void measure_model(Device& device) {
  if (device.how() == How::kSmall) run_small(device);
  if (device.how() == How::kShort) run_short(device);
  if (device.how() == How::kLong) run_long(device);
}

}  // namespace mipha::cuda::bench
