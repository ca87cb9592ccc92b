#include "backend/tensorrt/check.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "backend/tensorrt/mask.h"
#include "core/error.h"
#include "core/half.h"
#include "model/stages.h"
#include "package/safetensors.h"

namespace mipha::tensorrt {
namespace {

/// A buffer with these floats in it.
DeviceBuffer upload(const Device& device, const float* values, size_t count) {
  DeviceBuffer buffer(device, count * sizeof(float), "self-test");
  device.copy_in(buffer.data(), values, buffer.bytes());
  device.wait();
  return buffer;
}

std::vector<float> download(const Device& device, const void* memory, size_t count) {
  std::vector<float> values(count);
  device.copy_out(values.data(), memory, count * sizeof(float));
  device.wait();
  return values;
}

template <typename Get>
double deviation_of(size_t count, Get&& pair) {
  double difference = 0, size = 0;
  for (size_t i = 0; i < count; ++i) {
    const auto [got, want] = pair(i);
    difference += (static_cast<double>(got) - want) * (static_cast<double>(got) - want);
    size += static_cast<double>(want) * want;
  }
  return difference == 0 ? 0 : std::sqrt(difference / size);
}

double deviation_of(const std::vector<float>& got, const float* want) {
  return deviation_of(got.size(), [&](size_t i) { return std::pair(got[i], want[i]); });
}

/// 1.5 times what quantization does to these layers by itself, and some FP16.
double limit_of(double squared_noise, int layers) {
  return 1.5 * std::sqrt(squared_noise) + std::ldexp(std::sqrt(static_cast<double>(layers)), -10);
}

/// The stored rows through the layers of one engine.
class LanguageCheck {
 public:
  LanguageCheck(const Device& device, const SelfTest& stored, const LanguageEngine& engine)
      : device_(device),
        stored_(stored),
        config_(stored.config().language),
        engine_(engine),
        step_(Cache::step(config_)),
        past_((SelfTest::kRows + step_ - 1) / step_ * step_),
        cache_(device, config_, engine.first(), engine.end(), past_ + 1),
        scratch_(device, engine.engine().scratch_bytes(), "self-test") {
    const float* noise = stored.floats("language.noise", {config_.layers + 1});
    double squares = 0;
    for (int layer = engine.first(); layer < engine.end(); ++layer) squares += double{noise[layer]} * noise[layer];
    const int layers = engine.end() - engine.first();
    cache_limit_ = 2 * limit_of(squares, layers);
    out_limit_ = engine.last() ? limit_of(squares + double{noise[config_.layers]} * noise[config_.layers], layers + 1) : limit_of(squares, layers);
  }

  std::vector<Deviation> run() {
    if (engine_.max_rows() < SelfTest::kRows) {
      throw Error(Code::kBackend, "TensorRT: engine " + engine_.engine().name() + ": expected room for " + std::to_string(SelfTest::kRows) +
                                      " rows in a run, received " + std::to_string(engine_.max_rows()));
    }
    phase("language.prefill.", 0, 0, SelfTest::kRows);
    // What follows stands on the stored keys and values, so that one fault is not counted twice.
    for (int layer = engine_.first(); layer < engine_.end(); ++layer) {
      device_.copy_in(cache_.keys(layer, 0), rows_of("language.prefill.", layer, "keys", SelfTest::kRows), bytes(SelfTest::kRows));
      device_.copy_in(cache_.values(layer, 0), rows_of("language.prefill.", layer, "values", SelfTest::kRows), bytes(SelfTest::kRows));
    }
    phase("language.decode.", SelfTest::kRows, past_, 1);
    return std::move(deviations_);
  }

 private:
  size_t bytes(int rows) const { return rows * Cache::row_bytes(config_); }

  const uint16_t* rows_of(const std::string& phase, int layer, const char* what, int rows) const {
    const std::string name = phase + std::to_string(layer) + "." + what;
    return static_cast<const uint16_t*>(stored_.tensor(name, DType::kF16, {rows, config_.kv_heads, config_.head_size}).data);
  }

  void phase(const std::string& name, int position, int past, int rows) {
    const Angles at = angles(config_, position, rows);
    std::vector<float> mask(static_cast<size_t>(rows) * (past + rows), kHidden);
    for (int row = 0; row < rows; ++row) {
      float* const seen = mask.data() + static_cast<size_t>(row) * (past + rows);
      std::fill_n(seen, position, 0.0f);
      std::fill_n(seen + past, row + 1, 0.0f);
    }
    const int32_t last = rows - 1;
    DeviceBuffer answered(device_, sizeof last, "self-test");
    device_.copy_in(answered.data(), &last, sizeof last);
    const float* in = stored_.floats(name + std::to_string(engine_.first()), {rows, config_.hidden});
    const DeviceBuffer hidden = upload(device_, in, static_cast<size_t>(rows) * config_.hidden);
    const DeviceBuffer cosine = upload(device_, at.cosine.data(), at.cosine.size()), sine = upload(device_, at.sine.data(), at.sine.size());
    const DeviceBuffer masked = upload(device_, mask.data(), mask.size());
    const size_t count = engine_.last() ? config_.vocab : static_cast<size_t>(rows) * config_.hidden;
    const DeviceBuffer out(device_, count * sizeof(float), "self-test");
    engine_.run({rows, past, hidden.data(), cosine.data(), sine.data(), masked.data(), answered.data(), 1, out.data()}, cache_, scratch_);

    const std::string result = engine_.last() ? name + "logits" : name + std::to_string(engine_.end());
    const float* want = engine_.last() ? stored_.floats(result, {1, config_.vocab}) : stored_.floats(result, {rows, config_.hidden});
    deviations_.push_back({result, deviation_of(download(device_, out.data(), count), want), out_limit_});
    for (int layer = engine_.first(); layer < engine_.end(); ++layer) {
      compare(name, layer, "keys", cache_.keys(layer, past), rows);
      compare(name, layer, "values", cache_.values(layer, past), rows);
    }
  }

  void compare(const std::string& phase, int layer, const char* what, const void* device, int rows) {
    const uint16_t* want = rows_of(phase, layer, what, rows);
    std::vector<uint16_t> got(static_cast<size_t>(rows) * config_.kv_width());
    device_.copy_out(got.data(), device, bytes(rows));
    device_.wait();
    const double deviation = deviation_of(got.size(), [&](size_t i) { return std::pair(from_half(got[i]), from_half(want[i])); });
    deviations_.push_back({phase + std::to_string(layer) + "." + what, deviation, cache_limit_});
  }

  const Device& device_;
  const SelfTest& stored_;
  const LanguageConfig& config_;
  const LanguageEngine& engine_;
  const int step_, past_;  // decode's new row lies behind a gap when rows may not begin anywhere
  const Cache cache_;
  const DeviceBuffer scratch_;
  double cache_limit_ = 0, out_limit_ = 0;
  std::vector<Deviation> deviations_;
};

}  // namespace

SelfTest::SelfTest(const std::string& folder, const Config& config)
    : config_(config), file_(folder + "/self-test.safetensors"), tensors_(read_safetensors(file_.data(), file_.bytes(), file_.path())) {}

const Tensor& SelfTest::tensor(const std::string& name, DType dtype, const std::vector<int64_t>& shape) const {
  const auto found = tensors_.find(name);
  if (found == tensors_.end()) throw Error(Code::kModelFormat, file_.path() + ": tensor " + name + " is missing");
  if (found->second.dtype == dtype && found->second.shape == shape) return found->second;
  throw Error(Code::kModelFormat, file_.path() + ": tensor " + name + ": expected another type or shape for this model");
}

const float* SelfTest::floats(const std::string& name, const std::vector<int64_t>& shape) const {
  return static_cast<const float*>(tensor(name, DType::kF32, shape).data);
}

std::vector<Deviation> check_vision(const Device& device, const SelfTest& stored, const Engine& engine) {
  const VisionConfig& vision = stored.config().vision;
  const int64_t side = vision.image_size, tokens = stored.config().image_tokens(), hidden = stored.config().language.hidden;
  const DeviceBuffer pixels = upload(device, stored.floats("vision.pixels", {3, side, side}), static_cast<size_t>(3 * side * side));
  const size_t count = static_cast<size_t>(tokens * hidden);
  const DeviceBuffer features(device, count * sizeof(float), "self-test"), scratch(device, engine.scratch_bytes(), "self-test");
  engine.bind_input(0, "pixels", {1, 3, side, side}, pixels.data());
  engine.bind_output(0, "features", features.data());
  engine.run(0, scratch);
  const double noise = stored.floats("vision.noise", {1})[0];
  const double deviation = deviation_of(download(device, features.data(), count), stored.floats("vision.features", {tokens, hidden}));
  return {{"vision.features", deviation, limit_of(noise * noise, vision.layers)}};
}

std::vector<Deviation> check_language(const Device& device, const SelfTest& stored, const LanguageEngine& engine) {
  return LanguageCheck(device, stored, engine).run();
}

std::vector<Deviation> check_plan(const Library& library, const SelfTest& stored, const std::string& plan) {
  const auto engine = std::make_shared<const Engine>(library, plan);
  if (engine->find("pixels") != nullptr) return check_vision(library, stored, *engine);
  return check_language(library, stored, LanguageEngine(engine, stored.config()));
}

void require(const std::string& engine, const std::vector<Deviation>& deviations) {
  const auto worst = std::find_if(deviations.begin(), deviations.end(), [](const Deviation& deviation) { return !deviation.passes(); });
  if (worst == deviations.end()) return;
  char numbers[80];
  std::snprintf(numbers, sizeof numbers, "deviates by %.3g, expected at most %.3g", worst->deviation, worst->limit);
  throw Error(Code::kSelfTest, "TensorRT: engine " + engine + ": " + worst->tensor + " " + numbers + "; build it again: mipha build",
              {{"deviation", worst->deviation}, {"limit", worst->limit}});
}

}  // namespace mipha::tensorrt
