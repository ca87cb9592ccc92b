// The CPU backend against the FP32 reference on the same weights, and against itself: streamed, forked, batched, chunked, cancelled.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdio>
#include <map>

#include "backend/backend.h"
#include "backend/cpu/kernels.h"
#include "core/error.h"
#include "support/tiny_model.h"

namespace mipha {
namespace {

using Layers = std::map<std::string, std::vector<float>>;

std::vector<uint8_t> picture(int side) {
  std::vector<uint8_t> pixels(static_cast<size_t>(side) * side * 3);
  for (size_t i = 0; i < pixels.size(); ++i) pixels[i] = static_cast<uint8_t>(i * 37 % 251 + i / 97 % 5);
  return pixels;
}

std::vector<int32_t> token_ids(int count, int first = 0) {
  std::vector<int32_t> ids;
  for (int i = 0; i < count; ++i) ids.push_back((first + 7 * i) % 90);
  return ids;
}

struct Loaded {
  explicit Loaded(const std::string& isa = "", bool streamed = false, int cache_tokens = 0, int threads = 2,
                  const std::shared_ptr<const Package>& package = std::make_shared<test::TinyModel>()) {
    BackendOptions options;
    options.cache_tokens = cache_tokens;
    options.cpu = {threads, isa, streamed};
    backend = create_backend("cpu", package, options, {});
    vocab = backend->config().language.vocab;
    const int side = backend->config().vision.image_size;
    pixels = picture(side);
    image = {pixels.data(), pixels.size(), side, side, side * 3, PixelFormat::kRgb};
  }
  std::vector<float> append(int sequence, const std::vector<Piece>& pieces) {
    std::vector<float> logits(vocab);
    EXPECT_TRUE(backend->append(sequence, pieces, logits.data(), {}));
    return logits;
  }
  std::vector<float> append(int sequence, const std::vector<int32_t>& ids) { return append(sequence, {{ids.data(), static_cast<int>(ids.size())}}); }

  std::unique_ptr<Backend> backend;
  std::vector<uint8_t> pixels;
  Image image;
  int vocab;
};

double rms(const std::vector<float>& x) {
  double sum = 0;
  for (float value : x) sum += static_cast<double>(value) * value;
  return std::sqrt(sum / static_cast<double>(x.size()));
}

double relative_error(const std::vector<float>& x, const std::vector<float>& y) {
  std::vector<float> difference(x.size());
  for (size_t i = 0; i < x.size(); ++i) difference[i] = x[i] - y[i];
  return rms(difference) / rms(y);
}

std::vector<std::string> instruction_sets() {
  std::vector<std::string> names;
  const cpu::KernelList list = cpu::kernels();
  for (int i = 0; i < list.count; ++i) names.emplace_back(list.rows[i]->name);
  return names;
}

/// An INT8 activation is off by at most max|x| / 254, uniformly: relative to its row's rms that is peak / (127 · √12), where peak = max / rms is
/// below 6 for the rows of this model. Products on the way to a layer add up like independent noise, four per layer and two per projector; a
/// factor of two covers that they are not independent.
double bound_after(int products) {
  return 2 * 6 / (127 * std::sqrt(12.0)) * std::sqrt(static_cast<double>(products));
}

const std::vector<int32_t> kBefore = token_ids(5), kAfter = token_ids(11, 40);

/// Every intermediate of the FP32 reference on a picture between two texts.
Layers reference_layers(const test::TinyModel& model) {
  const int side = model.config().vision.image_size;
  Reference reference(model.config(), model.weights());
  Layers layers;
  const Probe keep = [&](const std::string& name, const float* data, int rows, int columns) {
    layers[name].assign(data, data + static_cast<size_t>(rows) * columns);
  };
  const std::vector<float> features = reference.encode(picture(side).data(), keep);
  std::vector<float> rows;
  for (int32_t id : kBefore)
    for (float value : reference.embed(id)) rows.push_back(value);
  rows.insert(rows.end(), features.begin(), features.end());
  for (int32_t id : kAfter)
    for (float value : reference.embed(id)) rows.push_back(value);
  reference.append(rows, keep);
  return layers;
}

/// The same of a backend.
Layers backend_layers(Loaded& loaded) {
  Layers layers;
  loaded.backend->set_probe([&](const std::string& name, const float* data, int count, int columns) {
    layers[name].assign(data, data + static_cast<size_t>(count) * columns);
  });
  EXPECT_TRUE(loaded.backend->encode(loaded.image, {}, nullptr));
  loaded.append(loaded.backend->sequence(), {{kBefore.data(), 5}, {nullptr, loaded.backend->config().image_tokens()}, {kAfter.data(), 11}});
  return layers;
}

/// INT8 products on the way from the picture to an intermediate of a tiny model.
int products_before(const std::string& name, const Config& config) {
  const int layer = name.back() - '0', features = 4 * config.vision.layers + config.projector.layers;
  if (name.rfind("tower", 0) == 0) return 4 * layer;
  return name == "features" ? features : features + 4 * layer;
}

TEST(CpuBackend, EveryLayerIsInsideTheBoundOfItsPrecisionOnEveryInstructionSet) {
  for (const auto& [switches, config] : test::tiny_configs()) {
    const auto model = std::make_shared<test::TinyModel>(config);
    const Layers expected = reference_layers(*model);
    for (const std::string& isa : instruction_sets()) {
      Loaded loaded(isa, false, 0, 2, model);
      Layers seen = backend_layers(loaded);
      ASSERT_EQ(seen.size(), expected.size());
      double fullest = 0;
      for (const auto& [name, values] : expected) {
        ASSERT_EQ(seen[name].size(), values.size()) << name;
        const int products = products_before(name, config);
        const double error = relative_error(seen[name], values), bound = products == 0 ? 1e-5 : bound_after(products);
        EXPECT_LE(error, bound) << switches << " " << isa << " " << name;
        fullest = std::max(fullest, error / bound);
      }
      std::printf("%-24s %-12s at most %.0f%% of the bound\n", switches.c_str(), isa.c_str(), 100 * fullest);
    }
  }
}

TEST(CpuBackend, SmoothedInputsStayInsideTheBound) {
  const auto model = std::make_shared<test::TinyModel>(test::tiny_config(), 1, std::set<std::string>{}, true);
  const Layers expected = reference_layers(*model);
  for (const std::string& isa : instruction_sets()) {
    Loaded loaded(isa, false, 0, 2, model);
    Layers seen = backend_layers(loaded);
    // Random factors from 1/4 to 4 spread a row: its peak grows by up to 4 over an rms that grows by 1.6.
    for (const auto& [name, values] : expected)
      EXPECT_LE(relative_error(seen[name], values), 1e-5 + 2.5 * bound_after(products_before(name, test::tiny_config()))) << name;
  }
  EXPECT_GT(relative_error(reference_layers(test::TinyModel()).at("features"), expected.at("features")), 0.1) << "the vectors do something";
}

TEST(CpuBackend, AMatrixOfRecipeW8A16IsMultipliedWide) {
  for (const auto& [switches, config] : test::tiny_configs()) {
    std::set<std::string> all;
    const test::TinyModel plain(config);
    for (const auto& [name, tensor] : plain.tensors()) {
      const std::string suffix = ".weight";
      if (tensor.dtype == DType::kI8 && name != "language.embedding.weight") all.insert(name.substr(0, name.size() - suffix.size()));
    }
    const auto model = std::make_shared<test::TinyModel>(config, 1, all);
    const Layers expected = reference_layers(*model);
    for (const bool streamed : {false, true}) {
      Loaded loaded("", streamed, 0, 2, model);
      Layers seen = backend_layers(loaded);
      // Nothing but keys, values and the order of additions differs: FP16 keeps 11 bits, and a layer adds its own share.
      for (const auto& [name, values] : expected)
        EXPECT_LE(relative_error(seen[name], values), std::ldexp(1.0, -11) * products_before(name, config) + 1e-5) << switches << " " << name;
    }
  }
}

TEST(CpuBackend, StreamedWeightsGiveTheSameBits) {
  Loaded resident, streamed("", true);
  EXPECT_LT(streamed.backend->memory().parts[0].second, resident.backend->memory().parts[0].second);
  std::vector<std::vector<float>> logits;
  for (Loaded* loaded : {&resident, &streamed}) {
    ASSERT_TRUE(loaded->backend->encode(loaded->image, {}, nullptr));
    const int sequence = loaded->backend->sequence();
    logits.push_back(loaded->append(sequence, {{nullptr, 9}, {token_ids(4).data(), 4}}));
    const int32_t id = 17;
    logits.back().resize(2 * loaded->vocab);
    loaded->backend->step(&sequence, &id, 1, logits.back().data() + loaded->vocab);
  }
  EXPECT_EQ(logits[0], logits[1]);
}

TEST(CpuBackend, ThreadsDoNotChangeTheBits) {
  Loaded one("", false, 0, 1), three("", false, 0, 3);
  const std::vector<int32_t> ids = token_ids(70);
  EXPECT_EQ(one.append(one.backend->sequence(), ids), three.append(three.backend->sequence(), ids));
}

TEST(CpuBackend, BatchOfForksEqualsEachAlone) {
  Loaded loaded;
  Backend& backend = *loaded.backend;
  ASSERT_TRUE(backend.encode(loaded.image, {}, nullptr));
  const int view = backend.sequence();
  loaded.append(view, {{token_ids(30).data(), 30}, {nullptr, 9}});
  std::vector<int> forks;
  std::vector<int32_t> ids;
  std::vector<float> alone;
  for (int i = 0; i < Backend::kMaxBatch; ++i) {
    const int fork = backend.fork(view);
    loaded.append(fork, token_ids(3 + i, i));
    ids.push_back(11 * i);
    std::vector<float> logits(loaded.vocab);
    const int again = backend.fork(fork);
    backend.step(&again, &ids.back(), 1, logits.data());
    backend.release(again);
    alone.insert(alone.end(), logits.begin(), logits.end());
    forks.push_back(fork);
  }
  std::vector<float> together(alone.size());
  backend.step(forks.data(), ids.data(), static_cast<int>(forks.size()), together.data());
  EXPECT_EQ(together, alone);
}

TEST(CpuBackend, QuestionsAppendedTogetherEqualEachAlone) {
  Loaded loaded;
  Backend& backend = *loaded.backend;
  ASSERT_TRUE(backend.encode(loaded.image, {}, nullptr));
  const int view = backend.sequence();
  loaded.append(view, {{token_ids(30).data(), 30}, {nullptr, 9}});
  // Single rows and long spans side by side; 112 rows in all, more than one block of the cache.
  const int lengths[] = {1, 40, 1, 1, 33, 36};
  std::vector<std::vector<int32_t>> questions;
  for (int length : lengths) questions.push_back(token_ids(length, 3 * length + static_cast<int>(questions.size())));
  std::vector<Extension> together;
  std::vector<float> alone, next;
  for (const auto& question : questions) {
    const std::vector<float> logits = loaded.append(backend.fork(view), question);
    alone.insert(alone.end(), logits.begin(), logits.end());
    together.push_back({backend.fork(view), {{question.data(), static_cast<int>(question.size())}}});
  }
  next.resize(alone.size());
  ASSERT_TRUE(backend.append(together, next.data(), {}));
  EXPECT_EQ(next, alone);
  for (size_t i = 0; i < together.size(); ++i) EXPECT_EQ(backend.length(together[i].sequence), 39 + lengths[i]);
  EXPECT_FALSE(backend.append(together, nullptr, [] { return true; }));
  for (size_t i = 0; i < together.size(); ++i) EXPECT_EQ(backend.length(together[i].sequence), 39 + lengths[i]);
}

TEST(CpuBackend, MoreRowsThanOnePassHoldsAreTheSameRows) {
  Loaded loaded;
  Backend& backend = *loaded.backend;
  const std::vector<int32_t> a = token_ids(150), b = token_ids(150, 9), c = token_ids(33, 2);
  std::vector<float> alone;
  for (const auto* ids : {&a, &b, &c}) {
    const std::vector<float> logits = loaded.append(backend.sequence(), *ids);
    alone.insert(alone.end(), logits.begin(), logits.end());
  }
  std::vector<float> together(alone.size());
  const int x = backend.sequence(), y = backend.sequence(), z = backend.sequence();
  ASSERT_TRUE(backend.append({{x, {{a.data(), 150}}}, {y, {{b.data(), 150}}}, {z, {{c.data(), 33}}}}, together.data(), {}));
  for (int i = 0; i < 3; ++i) {  // a pass ends within the second: its tiles of attention begin elsewhere, so sums run in another order
    const std::vector<float> got(together.begin() + i * loaded.vocab, together.begin() + (i + 1) * loaded.vocab);
    const std::vector<float> want(alone.begin() + i * loaded.vocab, alone.begin() + (i + 1) * loaded.vocab);
    EXPECT_LE(relative_error(got, want), bound_after(1) / 2) << i;
  }
}

TEST(CpuBackend, TruncateGoesBackToTheSameAnswer) {
  Loaded loaded;
  const int sequence = loaded.backend->sequence();
  loaded.append(sequence, token_ids(37));
  const std::vector<float> first = loaded.append(sequence, token_ids(6, 50));
  loaded.append(sequence, token_ids(20, 3));
  loaded.backend->truncate(sequence, 37);
  EXPECT_EQ(loaded.append(sequence, token_ids(6, 50)), first);
}

TEST(CpuBackend, ChunksAndStepsEqualOnePrefill) {
  Loaded loaded;
  Backend& backend = *loaded.backend;
  ASSERT_TRUE(backend.encode(loaded.image, {}, nullptr));
  const std::vector<int32_t> ids = token_ids(100);
  const int whole = backend.sequence(), cut = backend.sequence();
  const std::vector<float> expected = loaded.append(whole, {{nullptr, 9}, {ids.data(), 100}});
  loaded.append(cut, {{nullptr, 4, 0}});
  loaded.append(cut, {{nullptr, 5, 4}, {ids.data(), 33}});
  loaded.append(cut, {{ids.data() + 33, 65}});
  std::vector<float> logits(loaded.vocab);
  for (int i = 98; i < 100; ++i) backend.step(&cut, &ids[i], 1, logits.data());
  // Sums run in another order, and a last bit may turn an INT8 rounding: far inside one layer's quantization noise.
  EXPECT_LE(relative_error(logits, expected), bound_after(1) / 2);
}

TEST(CpuBackend, CancelAtAnyLayerLeavesTheSequenceAsItWas) {
  Loaded loaded;
  Backend& backend = *loaded.backend;
  const int sequence = backend.sequence();
  loaded.append(sequence, token_ids(20));
  const int kept = backend.fork(sequence);
  const std::vector<float> expected = loaded.append(kept, token_ids(9, 5));
  const int layers = backend.config().language.layers;
  for (int at = 0; at < layers; ++at) {
    int asked = 0;
    const std::vector<int32_t> ids = token_ids(30, 60);
    EXPECT_FALSE(backend.append(sequence, {{ids.data(), 30}}, nullptr, [&] { return asked++ == at; }));
    EXPECT_EQ(backend.length(sequence), 20);
  }
  EXPECT_EQ(loaded.append(sequence, token_ids(9, 5)), expected);
  int asked = 0;
  EXPECT_FALSE(backend.encode(
      loaded.image, [&] { return asked++ == 1; }, nullptr));
  EXPECT_EQ(asked, 2);
}

TEST(CpuBackend, AStepThatDoesNotFitChangesNothing) {
  Loaded loaded("", false, 2 * 32);
  const int a = loaded.backend->sequence(), b = loaded.backend->sequence();
  loaded.append(a, token_ids(31));
  loaded.append(b, token_ids(32));
  const int both[] = {a, b};
  const int32_t ids[] = {1, 2};
  std::vector<float> logits(2 * loaded.vocab);
  EXPECT_THROW(loaded.backend->step(both, ids, 2, logits.data()), Error);
  EXPECT_EQ(loaded.backend->length(a), 31);
  EXPECT_EQ(loaded.backend->length(b), 32);
}

TEST(CpuBackend, TooLittleMemorySaysHowMuch) {
  BackendOptions options;
  options.cache_tokens = 2'000'000'000;
  try {
    create_backend("cpu", std::make_shared<test::TinyModel>(), options, {});
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code, Code::kMemory);
    ASSERT_EQ(error.details.size(), 2u);
    EXPECT_EQ(error.details[0].first, "neededBytes");
    EXPECT_GT(error.details[0].second, error.details[1].second);
  }
}

TEST(CpuBackend, BadNamesAndWeightsAreTypedErrors) {
  const auto code_of = [](auto&& action) {
    try {
      action();
    } catch (const Error& error) {
      return error.code;
    }
    return Code::kInternal;
  };
  BackendOptions options;
  options.cpu.isa = "mmx";
  EXPECT_EQ(code_of([&] { create_backend("cpu", std::make_shared<test::TinyModel>(), options, {}); }), Code::kBackend);
  auto model = std::make_shared<test::TinyModel>();
  model->int8_values("language.layers.1.up.weight")[1234] = -128;
  EXPECT_EQ(code_of([&] { create_backend("cpu", model, {}, {}); }), Code::kModelFormat);
}

}  // namespace
}  // namespace mipha
