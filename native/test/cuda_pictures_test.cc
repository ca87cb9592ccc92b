// What the tower does besides its blocks on the CUDA backend, equal to the CPU to the bit, on the machine without a GPU.
#include <gtest/gtest.h>

#include <algorithm>

#include "model/image.h"
#include "model/pooling.h"
#include "test/machine/machine.h"
#include "test/support/cuda_matrix.h"

namespace mipha::test {
namespace {

const cuda::Launch kLaunch{nullptr, 1};

class Pictures : public testing::Test {
 protected:
  Numbers numbers{13};
  void TearDown() override { EXPECT_EQ(machine::take_report(), ""); }
};

TEST_F(Pictures, AreCutIntoPatches) {
  for (const auto& [image, patch] : {std::pair{32, 16}, {45, 14}, {20, 4}}) {  // 45: three columns and rows are never read
    Config config;
    config.vision.image_size = image, config.vision.patch_size = patch;
    config.preprocessing.mean = {0.48f, 0.46f, 0.41f}, config.preprocessing.std = {0.27f, 0.26f, 0.28f};
    std::vector<uint8_t> pixels(image * image * 3);
    for (uint8_t& pixel : pixels) pixel = static_cast<uint8_t>(numbers.below(256));
    const int patches = config.vision.patches(), values = config.vision.patch_values(), depth = cuda::rounded_up(values, 32);
    const Buffer<uint8_t> device_pixels(pixels);
    const Buffer<uint16_t> out(std::vector<uint16_t>(patches * depth, 0x5555));
    const Buffer<float> scale(patches);
    MACHINE_CHECK(cuda::patchify(kLaunch, config, device_pixels.data(), cuda::Operand{out.data(), scale.data(), depth, true}));
    MACHINE_CHECK(cudaDeviceSynchronize());
    std::vector<float> cut(patches * values);
    patchify(config, pixels.data(), cut.data());
    const std::vector<uint16_t> got = out.get();
    for (int i = 0; i < patches * depth; ++i) {
      const uint16_t expected = i % depth < values ? to_half(cut[i / depth * values + i % depth]) : 0;
      ASSERT_EQ(got[i], expected) << "patch " << i / depth << ", value " << i % depth << " of " << values;
    }
    EXPECT_EQ(scale.get(), std::vector<float>(patches, 1));
  }
}

TEST_F(Pictures, PositionsAreAddedBehindThePrefix) {
  for (const int prefix_rows : {0, 1, 5}) {
    VisionConfig vision;
    vision.image_size = 28, vision.patch_size = 14, vision.hidden = 70, vision.prefix_rows = prefix_rows;
    const int prefix_count = prefix_rows * 70, count = vision.rows() * 70;
    const std::vector<float> prefix = numbers.floats(prefix_count, -1, 1), positions = numbers.floats(4 * 70, -1, 1);
    std::vector<float> x = numbers.floats(count, -1, 1);
    std::fill_n(x.begin(), prefix_count, NAN);
    const Buffer<float> device_prefix(prefix_rows == 0 ? std::vector<float>{NAN} : prefix), device_positions(positions), device_x(x);
    MACHINE_CHECK(cuda::add_positions(kLaunch, vision, prefix_rows == 0 ? nullptr : device_prefix.data(), device_positions.data(), device_x.data()));
    MACHINE_CHECK(cudaDeviceSynchronize());
    for (int i = 0; i < count; ++i) x[i] = i < prefix_count ? prefix[i] : x[i] + positions[i - prefix_count];
    EXPECT_EQ(device_x.get(), x);
  }
}

TEST_F(Pictures, FeaturesArePooled) {
  for (const auto& [grid, width] : {std::pair{2, 48}, {4, 33}, {10, 72}}) {
    Config config;
    config.vision.image_size = grid * 14, config.vision.patch_size = 14, config.language.hidden = width;
    const std::vector<float> weight = numbers.floats(width * 9, -1, 1), bias = numbers.floats(width, -1, 1);
    const std::vector<float> projected = numbers.floats(grid * grid * width, -3, 3);
    Weights weights;
    weights.pooling = weight.data(), weights.pooling_bias = bias.data();
    std::vector<float> expected(grid * grid / 4 * width);
    pool_features(config, weights, projected.data(), expected.data());
    const Buffer<float> device_weight(weight), device_bias(bias), device_projected(projected), features(expected.size());
    MACHINE_CHECK(cuda::pool(kLaunch, config, device_weight.data(), device_bias.data(), device_projected.data(), features.data()));
    MACHINE_CHECK(cudaDeviceSynchronize());
    EXPECT_EQ(features.get(), expected);
  }
}

/// A norm, a product and what follows it, captured and launched twice with other rows.
TEST_F(Pictures, WorkCanBeCaptured) {
  const int rows = 65, width = 96;
  const PlainMatrix w(numbers, cuda::Format::kS8, width, width);
  const DeviceMatrix matrix(w);
  std::vector<float> x = numbers.floats(rows * width, -1, 1);
  const Buffer<float> in(x), out(rows * width), again(rows * width), scale(rows);
  const Buffer<int8_t> bytes(rows * width);
  const machine::Stream stream;
  const auto work = [&](cudaStream_t on, float* to) {
    const cuda::Launch launch{on, 1};
    const cuda::Operand operand{bytes.data(), scale.data(), width, false};
    MACHINE_CHECK(cuda::prepare(launch, in.data(), width, rows, width, nullptr, operand));
    MACHINE_CHECK(cuda::matmul(launch, operand, rows, matrix.matrix, cuda::Store{to, width}));
  };
  cudaGraph_t graph;
  cudaGraphExec_t exec;
  MACHINE_CHECK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
  work(stream, out.data());
  MACHINE_CHECK(cudaStreamEndCapture(stream, &graph));
  MACHINE_CHECK(cudaGraphInstantiate(&exec, graph, 0));
  for (int round = 0; round < 2; ++round) {
    x = numbers.floats(rows * width, -1, 1);
    MACHINE_CHECK(cudaMemcpyAsync(in.data(), x.data(), x.size() * sizeof(float), cudaMemcpyHostToDevice, stream));
    MACHINE_CHECK(cudaGraphLaunch(exec, stream));
    work(stream, again.data());
    MACHINE_CHECK(cudaStreamSynchronize(stream));
    EXPECT_EQ(out.get(), again.get());
  }
  MACHINE_CHECK(cudaGraphExecDestroy(exec));
  MACHINE_CHECK(cudaGraphDestroy(graph));
}

}  // namespace
}  // namespace mipha::test
