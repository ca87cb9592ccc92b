// Cuts of published models at their real widths, two layers each with random weights: the CUDA backend on the machine without a GPU beside the CPU
// backend and the FP32 reference.
#include <cstdio>
#include <cstdlib>

#include "support/backend_layers.h"

namespace mipha {
namespace {

using test::bound_after;
using test::Layers;
using test::Loaded;
using test::relative_error;
using test::token_ids;

const int kNamed = setenv("MIPHA_CUDA", MIPHA_CUDA_LIBRARY, 0);

/// The tower of SigLIP-so400m-patch14-384 and the projector into Phi-2, on 9 × 9 of its 27 × 27 patches; hardly a decoder.
Config siglip_so400m() {
  Config config = test::tiny_config();
  config.vision = {test::siglip_block(1152, 4304, 16, 1e-6f), 126, 14, 2};
  config.preprocessing = test::siglip(config.vision.image_size);
  config.language = {test::phi_block(2560, 64, 32, 1e-5f, 32, 10000), 1, 96, 90, 160};
  return config;
}

/// A decoder behind hardly a tower.
Config decoder(const LanguageConfig& language) {
  Config config = test::tiny_config();
  config.vision = {test::siglip_block(72, 16, 1, 1e-6f), 14, 14, 1};
  config.preprocessing = test::siglip(config.vision.image_size);
  config.projector = {1};
  config.language = language;
  return config;
}
LanguageConfig phi_2(int layers, int vocab) {
  return {test::phi_block(2560, 10240, 32, 1e-5f, 32, 10000), layers, vocab, vocab, 160};
}
LanguageConfig gemma_2b() {
  LanguageConfig language{test::phi_block(2048, 16384, 8, 1e-6f, 256, 10000), 2, 96, 90, 160};
  language.kv_heads = 1;
  language.norm = NormKind::kRms;
  language.gated = true;
  language.residual = Residual::kSequential;
  return language;
}

Probe into(Layers& layers) {
  return [&layers](const std::string& name, const float* data, int rows, int columns) {
    layers[name].assign(data, data + static_cast<size_t>(rows) * columns);
  };
}

/// What a decoder computes: layers and logits of a prefill, then of a step. Kernels of a step keep the final norm to themselves.
struct Answers {
  Layers prefill, step;
};
constexpr int32_t kNext[] = {17, 50, 88};  // of three forks
constexpr int kForks = 3;

/// The first fork's step only.
Answers of_reference(const test::TinyModel& model, int rows) {
  Answers answers;
  Reference reference(model.config(), model.weights());
  std::vector<float> embedded;
  for (const int32_t id : token_ids(rows)) {
    for (const float value : reference.embed(id)) embedded.push_back(value);
  }
  const std::vector<float> logits = reference.append(embedded, into(answers.prefill));
  answers.prefill["logits"].assign(logits.end() - model.config().language.vocab, logits.end());
  answers.step["logits"] = reference.append(reference.embed(kNext[0]), into(answers.step));
  answers.step.erase("language." + std::to_string(model.config().language.layers));
  return answers;
}

Answers of_backend(const std::string& name, const std::shared_ptr<const Package>& model, int rows) {
  Answers answers;
  Loaded loaded(name, {}, model);
  Backend& backend = *loaded.backend;
  const int sequence = backend.sequence();
  backend.set_probe(into(answers.prefill));
  answers.prefill["logits"] = loaded.append(sequence, token_ids(rows));
  const int forks[kForks] = {sequence, backend.fork(sequence), backend.fork(sequence)};
  backend.set_probe(into(answers.step));
  answers.step["logits"].resize(static_cast<size_t>(kForks) * loaded.vocab);
  backend.step(forks, kNext, kForks, answers.step["logits"].data());
  answers.step.erase("language." + std::to_string(backend.config().language.layers));
  return answers;
}

Layers first_rows(Layers of_step) {
  for (auto& [name, values] : of_step) values.resize(values.size() / kForks);
  return of_step;
}

/// Products of INT8 on the way to an intermediate of a decoder.
int products_before(const std::string& name, int layers) {
  return name == "logits" ? 4 * layers + 1 : 4 * (name.back() - '0');
}

/// The largest share of the bound that one of `seen` takes.
double compare(const Layers& seen, const Layers& expected, int layers, const std::string& what) {
  EXPECT_EQ(seen.size(), expected.size()) << what;
  double fullest = 0;
  for (const auto& [name, values] : expected) {
    const auto found = seen.find(name);
    if (found == seen.end() || found->second.size() != values.size()) {
      ADD_FAILURE() << what << ": " << name << " is missing or of another size";
      continue;
    }
    const int products = products_before(name, layers);
    const double error = relative_error(found->second, values), bound = products == 0 ? 1e-5 : bound_after(products);
    EXPECT_LE(error, bound) << what << ": " << name;
    fullest = std::max(fullest, error / bound);
  }
  return fullest;
}

void expect_inside(const Config& config, int rows, const std::string& name) {
  const auto model = std::make_shared<test::TinyModel>(config);
  const Answers expected = of_reference(*model, rows), cpu = of_backend("cpu", model, rows), cuda = of_backend("cuda", model, rows);
  const int layers = config.language.layers;
  const double prefill = compare(cuda.prefill, expected.prefill, layers, "prefill beside the reference"),
               step = compare(first_rows(cuda.step), expected.step, layers, "step beside the reference"),
               prefill_cpu = compare(cuda.prefill, cpu.prefill, layers, "prefill beside the CPU"),
               step_cpu = compare(cuda.step, cpu.step, layers, "step beside the CPU");
  std::printf("%-14s prefill and step at most %2.0f%% and %2.0f%% of the bound from the reference, %2.0f%% and %2.0f%% from the CPU\n", name.c_str(),
              100 * prefill, 100 * step, 100 * prefill_cpu, 100 * step_cpu);
}

TEST(CudaWidths, Phi2) {
  expect_inside(decoder(phi_2(2, 96)), 60, "Phi-2");
}

TEST(CudaWidths, HeadOfPhi2) {
  Config config = decoder(phi_2(1, 51200));
  config.language.intermediate = 64;
  expect_inside(config, 3, "head of Phi-2");
}

TEST(CudaWidths, Gemma2B) {
  expect_inside(decoder(gemma_2b()), 60, "Gemma-2B");
}

TEST(CudaWidths, SigLip) {
  const Config config = siglip_so400m();
  const auto model = std::make_shared<test::TinyModel>(config);
  Layers expected, cpu, cuda;
  Reference(model->config(), model->weights()).encode(test::picture(config.vision.image_size).data(), into(expected));
  for (const auto& [name, layers] : {std::make_pair("cpu", &cpu), {"cuda", &cuda}}) {
    Loaded loaded(name, {}, model);
    loaded.backend->set_probe(into(*layers));
    ASSERT_TRUE(loaded.backend->encode(loaded.image, {}, nullptr));
  }
  const auto share = [&](const Layers& right, const char* what) {
    EXPECT_EQ(cuda.size(), right.size());
    double fullest = 0;
    for (const auto& [name, values] : right) {
      EXPECT_EQ(cuda[name].size(), values.size()) << name;
      const int products = test::products_before(name, config);
      // Patches are multiplied in FP16: inputs and weights of 11 bits.
      const double error = relative_error(cuda[name], values), bound = products == 0 ? std::ldexp(1.0, -11) : bound_after(products);
      EXPECT_LE(error, bound) << name << " beside " << what;
      fullest = std::max(fullest, error / bound);
    }
    return fullest;
  };
  const double of_reference = share(expected, "the reference"), of_cpu = share(cpu, "the CPU");
  std::printf("%-14s at most %2.0f%% of the bound from the reference, %2.0f%% from the CPU\n", "SigLIP-so400m", 100 * of_reference, 100 * of_cpu);
}

}  // namespace
}  // namespace mipha
