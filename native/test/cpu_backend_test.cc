// The CPU backend against the FP32 reference on the same weights, and against itself: streamed, on more threads; what every backend does is
// support/backend_contract.h.
#include <cstdio>

#include "backend/cpu/kernels.h"
#include "support/backend_contract.h"

namespace mipha {
namespace test {
INSTANTIATE_TEST_SUITE_P(Cpu, BackendContract, testing::Values("cpu"));
}  // namespace test
namespace {

using test::backend_layers;
using test::bound_after;
using test::Layers;
using test::products_before;
using test::reference_layers;
using test::relative_error;
using test::token_ids;

struct Loaded : test::Loaded {
  explicit Loaded(const std::string& isa = "", bool streamed = false, int threads = 2,
                  const std::shared_ptr<const Package>& package = std::make_shared<test::TinyModel>())
      : test::Loaded("cpu", {0, {threads, isa, streamed}, {}}, package) {}
};

std::vector<std::string> instruction_sets() {
  std::vector<std::string> names;
  const cpu::KernelList list = cpu::kernels();
  for (int i = 0; i < list.count; ++i) names.emplace_back(list.rows[i]->name);
  return names;
}

TEST(CpuBackend, EveryLayerIsInsideTheBoundOfItsPrecisionOnEveryInstructionSet) {
  for (const auto& [switches, config] : test::tiny_configs()) {
    const auto model = std::make_shared<test::TinyModel>(config);
    const Layers expected = reference_layers(*model);
    for (const std::string& isa : instruction_sets()) {
      Loaded loaded(isa, false, 2, model);
      const double share = test::fullest_share(loaded, config, expected, switches + " " + isa);
      std::printf("%-24s %-12s at most %.0f%% of the bound\n", switches.c_str(), isa.c_str(), 100 * share);
    }
  }
}

TEST(CpuBackend, SmoothedInputsStayInsideTheBound) {
  const auto model = std::make_shared<test::TinyModel>(test::tiny_config(), 1, std::set<std::string>{}, true);
  const Layers expected = reference_layers(*model);
  for (const std::string& isa : instruction_sets()) {
    Loaded loaded(isa, false, 2, model);
    Layers seen = backend_layers(loaded);
    // Random factors from 1/4 to 4 spread a row: its peak grows by up to 4 over an rms that grows by 1.6.
    for (const auto& [name, values] : expected)
      EXPECT_LE(relative_error(seen[name], values), 1e-5 + 2.5 * bound_after(products_before(name, test::tiny_config()))) << name;
  }
  EXPECT_GT(relative_error(reference_layers(test::TinyModel()).at("features"), expected.at("features")), 0.1) << "the vectors do something";
}

TEST(CpuBackend, AMatrixOfRecipeW8A16IsMultipliedWide) {
  for (const auto& [switches, config] : test::tiny_configs()) {
    const auto model = std::make_shared<test::TinyModel>(config, 1, test::int8_matrices(config));
    const Layers expected = reference_layers(*model);
    for (const bool streamed : {false, true}) {
      Loaded loaded("", streamed, 2, model);
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
  Loaded one("", false, 1), three("", false, 3);
  const std::vector<int32_t> ids = token_ids(70);
  EXPECT_EQ(one.append(one.backend->sequence(), ids), three.append(three.backend->sequence(), ids));
}

TEST(CpuBackend, AnUnknownInstructionSetIsRefused) {
  try {
    Loaded loaded("mmx");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code, Code::kBackend);
  }
}

}  // namespace
}  // namespace mipha
