// The CUDA backend, its library running on the machine without a GPU, against the FP32 reference and the contract of all backends.
#include <cstdio>
#include <cstdlib>
#include <functional>

#include "backend/cuda/library.h"
#include "support/backend_contract.h"

namespace mipha {
namespace test {
INSTANTIATE_TEST_SUITE_P(Cuda, BackendContract, testing::Values("cuda"));
}  // namespace test
namespace {

using test::bound_after;
using test::Layers;
using test::Loaded;
using test::products_before;
using test::reference_layers;
using test::relative_error;

const int kNamed = setenv("MIPHA_CUDA", MIPHA_CUDA_LIBRARY, 0);

/// Patches are multiplied in FP16: inputs and weights of 11 bits.
const double kPatches = std::ldexp(1.0, -11);

/// Those of all backends, in sizes that kernels have; head sizes of 64, 72, 80, 128 and 256 between them.
std::map<std::string, Config> configs() {
  std::map<std::string, Config> all = test::tiny_configs();
  const auto resize = [&](const char* name, int head_size, int rotary) {
    LanguageConfig& language = all.at(name).language;
    language.head_size = head_size;
    language.rotary_dims = rotary;
  };
  resize("clip, gemma", 256, 256);
  resize("dinov2, llama", 64, 64);
  resize("one row skipped, neox", 128, 32);
  return all;
}

TEST(CudaBackend, EveryLayerIsInsideTheBoundOfItsPrecision) {
  for (const auto& [switches, config] : configs()) {
    const auto model = std::make_shared<test::TinyModel>(config);
    Loaded loaded("cuda", {}, model);
    const double share = test::fullest_share(loaded, config, reference_layers(*model), switches, kPatches);
    std::printf("%-24s at most %.0f%% of the bound\n", switches.c_str(), 100 * share);
  }
}

/// Token by token through the kernels of decode.
TEST(CudaBackend, EveryLayerOfAStepIsInsideTheBound) {
  for (const auto& [switches, config] : configs()) {
    const auto model = std::make_shared<test::TinyModel>(config);
    Reference reference(model->config(), model->weights());
    Loaded loaded("cuda", {}, model);
    const int sequence = loaded.backend->sequence();
    std::vector<float> logits(loaded.vocab);
    for (const int32_t id : test::token_ids(5)) {
      Layers expected, seen;
      const auto into = [](Layers& layers) {
        return [&](const std::string& name, const float* data, int rows, int columns) {
          layers[name].assign(data, data + static_cast<size_t>(rows) * columns);
        };
      };
      const std::vector<float> right = reference.append(reference.embed(id), into(expected));
      loaded.backend->set_probe(into(seen));
      loaded.backend->step(&sequence, &id, 1, logits.data());
      for (int i = 0; i < config.language.layers; ++i) {
        const std::string name = "language." + std::to_string(i);
        EXPECT_LE(relative_error(seen[name], expected[name]), i == 0 ? 1e-5 : bound_after(4 * i)) << switches << " " << name;
      }
      EXPECT_LE(relative_error(logits, right), bound_after(4 * config.language.layers + 1)) << switches;
    }
  }
}

TEST(CudaBackend, SmoothedInputsStayInsideTheBound) {
  const auto model = std::make_shared<test::TinyModel>(test::tiny_config(), 1, std::set<std::string>{}, true);
  Loaded loaded("cuda", {}, model);
  Layers seen = test::backend_layers(loaded);
  // Random factors from 1/4 to 4 spread a row: its peak grows by up to 4 over an rms that grows by 1.6.
  for (const auto& [name, values] : reference_layers(*model)) {
    EXPECT_LE(relative_error(seen[name], values), kPatches + 2.5 * bound_after(products_before(name, test::tiny_config()))) << name;
  }
}

TEST(CudaBackend, AMatrixOfRecipeW8A16IsMultipliedWide) {
  for (const auto& [switches, config] : configs()) {
    const auto model = std::make_shared<test::TinyModel>(config, 1, test::int8_matrices(config));
    Loaded loaded("cuda", {}, model);
    Layers seen = test::backend_layers(loaded);
    // Inputs of products, queries, keys, values and weights of attention are halves: 11 bits, six roundings a layer.
    for (const auto& [name, values] : reference_layers(*model)) {
      EXPECT_LE(relative_error(seen[name], values), std::ldexp(6.0, -11) * (products_before(name, config) + 1)) << switches << " " << name;
    }
  }
}

TEST(CudaBackend, SizesThatNoKernelHasAreNamed) {
  const auto refusal = [](const std::function<void(Config&)>& change) -> std::string {
    Config config = test::tiny_config();
    change(config);
    try {
      create_backend("cuda", std::make_shared<test::TinyModel>(config), {}, {});
    } catch (const Error& error) {
      EXPECT_EQ(error.code, Code::kBackend);
      return error.what();
    }
    return "none";
  };
  EXPECT_EQ(refusal([](Config& c) { c.language.head_size = 88; }), "CUDA: language.headSize 88: expected 64, 72, 80, 128 or 256");
  EXPECT_EQ(refusal([](Config& c) { c.language.rotary_dims = 24; }), "CUDA: language.rotaryDims 24 of headSize 80: expected multiples of 16");
  EXPECT_EQ(refusal([](Config& c) { c.vision.intermediate = 202; }), "CUDA: vision.intermediate 202: expected a multiple of 4");
}

/// Whatever a picture is resized by, the tower sees the same pixels: on the device where it fits the memory taken at load, else on the host.
TEST(CudaBackend, PicturesAreResizedWhereverTheyFit) {
  Loaded loaded("cuda");
  const Config& config = loaded.backend->config();
  const int side = config.vision.image_size;
  const auto features = [&](const Image& image) {
    std::vector<float> seen;
    loaded.backend->set_probe([&](const std::string& name, const float* data, int rows, int columns) {
      if (name == "features") seen.assign(data, data + static_cast<size_t>(rows) * columns);
    });
    EXPECT_TRUE(loaded.backend->encode(image, {}, nullptr));
    return seen;
  };
  for (const int width : {61, 3840, 4000}) {  // 26 MiB hold 3840 × 2160 in RGB
    const int height = width == 61 ? 47 : width == 3840 ? 2160 : 2500;
    std::vector<uint8_t> pixels(static_cast<size_t>(width) * height * 3);
    for (size_t i = 0; i < pixels.size(); ++i) pixels[i] = static_cast<uint8_t>((i / 3 % width / 7 + i / 3 / width / 5) * 13 + i % 3 * 80);
    const Image image{pixels.data(), pixels.size(), width, height, width * 3, PixelFormat::kRgb};
    const std::vector<uint8_t> resized = resize(image, side, config.preprocessing);
    EXPECT_EQ(features(image), features({resized.data(), resized.size(), side, side, side * 3, PixelFormat::kRgb})) << width;
  }
}

/// A step chooses on the device what the host would choose of its logits.
TEST(CudaBackend, ChoicesAreThoseOfTheLogits) {
  Loaded loaded("cuda");
  Backend& backend = *loaded.backend;
  const auto rising = std::make_shared<const std::vector<int32_t>>(test::token_ids(40)),
             few = std::make_shared<const std::vector<int32_t>>(std::vector<int32_t>{5, 3, 88});
  const auto none = std::make_shared<const std::vector<int32_t>>();
  std::vector<int> sequences;
  std::vector<int32_t> ids;
  Chooser choosers[5];
  choosers[0].candidates = choosers[4].candidates = rising;
  choosers[2].candidates = few;
  choosers[3].candidates = none;
  for (int i = 0; i < 5; ++i) {
    sequences.push_back(backend.sequence());
    loaded.append(sequences.back(), test::token_ids(3 + i, i));
    ids.push_back(7 * i);
  }
  std::vector<float> expected(5 * loaded.vocab), logits(5 * loaded.vocab, NAN);
  std::vector<int> again;
  for (const int sequence : sequences) again.push_back(backend.fork(sequence));
  backend.step(again.data(), ids.data(), 5, expected.data());
  Choice choices[5];
  backend.decode(sequences.data(), ids.data(), choosers, 5, logits.data(), choices);
  for (int i = 0; i < 5; ++i) {
    const float* const row = expected.data() + i * loaded.vocab;
    if (i == 1) {
      EXPECT_EQ(choices[i].id, Choice::kByCaller);
      EXPECT_TRUE(std::equal(row, row + loaded.vocab, logits.data() + i * loaded.vocab));
      continue;
    }
    const Choice choice = likeliest(row, *choosers[i].candidates);
    EXPECT_EQ(choices[i].id, choice.id) << i;
    EXPECT_EQ(choices[i].margin, choice.margin) << i;
  }
}

}  // namespace
}  // namespace mipha
