// Kernels of decode in a step that nobody wants any more (Launch::live) leave everything as it is, on the machine without a GPU.
#include <gtest/gtest.h>

#include "test/machine/machine.h"
#include "test/support/cuda_matrix.h"

namespace mipha::test {
namespace {

class CudaLive : public testing::Test {
 protected:
  static constexpr int kRows = 2, kWidth = 64;
  void TearDown() override { EXPECT_EQ(machine::take_report(), ""); }

  /// `call(launch)` writes to `out` when the step is wanted, and only then.
  template <class Call>
  void check(const char* kernel, Call&& call) {
    for (const int32_t wanted : {0, 1}) {
      const Buffer<int32_t> live(std::vector<int32_t>{wanted});
      const std::vector<float> before = out.get();
      MACHINE_CHECK(call(cuda::Launch{nullptr, 2, live.data()}));
      MACHINE_CHECK(cudaDeviceSynchronize());
      if (wanted == 0)
        EXPECT_EQ(out.get(), before) << kernel;
      else
        EXPECT_NE(out.get(), before) << kernel;
    }
  }

  Numbers numbers{5};
  const Buffer<float> out{std::vector<float>(kRows * kWidth, -7)};
  const Buffer<float> x{numbers.floats(kRows * kWidth, -1, 1)}, gain{std::vector<float>(kWidth, 1)}, bias{std::vector<float>(kWidth, 0)};
  const Buffer<uint32_t> peak{std::vector<uint32_t>(kRows, 0x3f800000)}, out_peak{std::vector<uint32_t>(kRows, 0)};
  const DeviceMatrix matrix{PlainMatrix(numbers, cuda::Format::kS8, kWidth, kWidth)};
  const cuda::Normed normed{x.data(), kWidth, kRows, kWidth, NormKind::kLayer, 1e-5f, gain.data(), bias.data()};
  const cuda::Rows rows{x.data(), kWidth, kRows, kWidth, peak.data()};
};

TEST_F(CudaLive, Products) {
  check("decode_logits", [&](const cuda::Launch& launch) { return cuda::decode_logits(launch, normed, matrix.matrix, {out.data(), kWidth}); });
  check("decode_add", [&](const cuda::Launch& launch) { return cuda::decode_add(launch, rows, matrix.matrix, {out.data(), kWidth}); });
  check("decode_up", [&](const cuda::Launch& launch) {
    return cuda::decode_up(launch, normed, matrix.matrix, {Activation::kGeluTanh, nullptr, out.data(), kWidth, out_peak.data()});
  });
}

TEST_F(CudaLive, EmbeddingAndPick) {
  const Buffer<int32_t> ids(std::vector<int32_t>{1, 0});
  check("embed", [&](const cuda::Launch& launch) {
    return cuda::embed(launch, {DType::kF32, x.data(), nullptr, kWidth}, ids.data(), nullptr, kRows, out.data());
  });
  const Buffer<int32_t> id(std::vector<int32_t>{-5});
  const Buffer<cuda::Pick> picks(std::vector<cuda::Pick>{{x.data(), ids.data(), 2, id.data(), out.data()}});
  check("pick", [&](const cuda::Launch& launch) { return cuda::pick(launch, picks.data(), 1); });
}

TEST_F(CudaLive, Attention) {
  const int block = 2 * cuda::kBlockRows * kWidth;
  const Buffer<uint16_t> cache(std::vector<uint16_t>(block, 0x3800));
  const Buffer<int32_t> tables(std::vector<int32_t>{0, 0});
  const Buffer<cuda::Place> places(std::vector<cuda::Place>{{3, 0}, {5, 1}});
  const Buffer<float> partial(kRows * (kWidth + 2)), mlp(std::vector<float>(kRows * kWidth, 0));
  const Buffer<uint32_t> arrived(std::vector<uint32_t>(kRows, 0));
  cuda::DecodeAttention attention;
  attention.q = x.data(), attention.count = kRows, attention.heads = 1;
  attention.cache = {reinterpret_cast<__half*>(cache.data()), block, 1, kWidth};
  attention.tables = {tables.data(), 1};
  attention.places = places.data(), attention.partial = partial.data(), attention.arrived = arrived.data();
  attention.out = out.data(), attention.peak = out_peak.data();
  check("decode_attend", [&](const cuda::Launch& launch) { return cuda::decode_attend(launch, attention); });
  attention.out = mlp.data();
  check("decode_attend_and_down", [&](const cuda::Launch& launch) {
    return cuda::decode_attend_and_down(launch, attention, rows, matrix.matrix, {out.data(), kWidth});
  });
}

}  // namespace
}  // namespace mipha::test
