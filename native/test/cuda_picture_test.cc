// Pictures resized on the machine without a GPU: byte for byte what resize() makes on the host.
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <string>

#include "backend/cuda/kernels/kernels.h"
#include "test/machine/buffer.h"
#include "test/machine/machine.h"
#include "test/support/preprocessing.h"

namespace mipha::cuda {
namespace {

using machine::Buffer;

constexpr PixelFormat kFormats[] = {PixelFormat::kRgb, PixelFormat::kRgba, PixelFormat::kBgr, PixelFormat::kGray, PixelFormat::kNv12};

struct Stored {
  std::vector<uint8_t> bytes;
  Image image;
};

/// Noise with edges of full contrast, so that sums leave 0..255; a stride `gap` bytes longer than the row, and no byte behind the last pixel.
Stored picture(int width, int height, PixelFormat format, int gap) {
  const int pixel = format == PixelFormat::kRgba ? 4 : format == PixelFormat::kRgb || format == PixelFormat::kBgr ? 3 : 1;
  const int stride = width * pixel + gap, rows = format == PixelFormat::kNv12 ? height * 3 / 2 : height;
  Stored stored{std::vector<uint8_t>(static_cast<size_t>(stride) * rows - gap), {}};
  std::mt19937 random(static_cast<unsigned>(width * 131 + height));
  for (uint8_t& byte : stored.bytes) byte = static_cast<uint8_t>(random() % 4 == 0 ? 0 : random() % 3 == 0 ? 255 : random());
  stored.image = {stored.bytes.data(), stored.bytes.size(), width, height, stride, format};
  return stored;
}

std::vector<uint8_t> on_device(const Image& image, int size, const Preprocessing& preprocessing) {
  const ResizePlan plan = plan_resize(image, size, preprocessing);
  const Buffer<int32_t> table(plan.table);
  const Buffer<uint8_t> bytes(std::vector<uint8_t>(image.data, image.data + image.bytes)), pixels(static_cast<size_t>(size) * size * 3),
      between(std::max<size_t>(plan.between_bytes(), 1));
  const machine::Stream stream;
  Launch launch;
  launch.stream = stream;
  MACHINE_CHECK(resize(launch, plan, table.data(), bytes.data(), between.data(), pixels.data()));
  EXPECT_EQ(cudaStreamSynchronize(stream), cudaSuccess);
  EXPECT_EQ(machine::take_report(), "");
  return pixels.get();
}

void check(const Stored& stored, int size, const Preprocessing& preprocessing) {
  const Image& image = stored.image;
  SCOPED_TRACE(std::to_string(image.width) + " x " + std::to_string(image.height) + ", format " + std::to_string(static_cast<int>(image.format)) +
               ", stride " + std::to_string(image.stride) + ", to " + std::to_string(size) + " of " + std::to_string(preprocessing.shortest_side) +
               ", aspect " + std::to_string(static_cast<int>(preprocessing.aspect)) + ", filter " +
               std::to_string(static_cast<int>(preprocessing.filter)));
  const std::vector<uint8_t> expected = mipha::resize(image, size, preprocessing), got = on_device(image, size, preprocessing);
  const auto [at, other] = std::mismatch(got.begin(), got.end(), expected.begin());
  if (at == got.end()) return;
  const size_t value = static_cast<size_t>(at - got.begin());
  ADD_FAILURE() << "row " << value / 3 / size << ", column " << value / 3 % size << ", channel " << value % 3 << ": " << int{*at} << ", expected "
                << int{*other};
}

/// A border of three colours.
Preprocessing with(Aspect aspect, int shortest_side, Filter filter) {
  Preprocessing preprocessing = test::siglip(shortest_side, aspect);
  preprocessing.filter = filter;
  preprocessing.background = {123, 16, 203};
  return preprocessing;
}

TEST(Pictures, OfEveryFormatShapeAspectAndFilter) {
  for (const auto& [width, height] : {std::pair{2, 2}, {2, 500}, {134, 88}, {98, 258}}) {
    for (const PixelFormat format : kFormats) {
      const Stored stored = picture(width, height, format, width % 5);
      for (const Aspect aspect : {Aspect::kPad, Aspect::kSquash, Aspect::kCrop}) {
        for (const Filter filter : {Filter::kBicubic, Filter::kBilinear}) check(stored, 43, with(aspect, 50, filter));
      }
    }
  }
}

TEST(Pictures, OfAwkwardSizes) {
  for (const auto& [width, height] : {std::pair{1, 1}, {1, 500}, {500, 1}, {3, 701}, {640, 480}, {97, 1023}}) {
    for (const int gap : {0, 1, 13}) {
      if (gap > 0 && width * height > 10'000) continue;
      const Stored stored = picture(width, height, PixelFormat::kRgb, gap);
      for (const Aspect aspect : {Aspect::kPad, Aspect::kSquash, Aspect::kCrop}) check(stored, 56, with(aspect, 64, Filter::kBicubic));
    }
  }
}

/// Columns before rows, only the picture's middle, and not a line less than a hundred times as high as wide.
TEST(Pictures, OfSliversGoTheOtherWayRound) {
  for (const Aspect aspect : {Aspect::kPad, Aspect::kSquash, Aspect::kCrop}) {
    EXPECT_EQ(plan_resize(picture(3, 301, PixelFormat::kRgb, 0).image, 56, with(aspect, 64, Filter::kBicubic)).columns_first,
              aspect == Aspect::kSquash);
    for (const int height : {300, 301, 3000}) check(picture(3, height, PixelFormat::kRgb, 2), 56, with(aspect, 64, Filter::kBicubic));
  }
  check(picture(70, 7001, PixelFormat::kGray, 1), 60, with(Aspect::kCrop, 64, Filter::kBilinear));
  check(picture(1, 65'535, PixelFormat::kGray, 0), 8, with(Aspect::kSquash, 8, Filter::kBicubic));
  check(picture(65'535, 1, PixelFormat::kGray, 0), 8, with(Aspect::kCrop, 9, Filter::kBicubic));
}

TEST(Pictures, OfACameraInFullSize) {
  check(picture(1920, 1080, PixelFormat::kNv12, 64), 384, test::siglip(384));
}

TEST(Pictures, ThatAreNotResizedAreKept) {
  const Stored stored = picture(56, 56, PixelFormat::kRgb, 0);
  EXPECT_EQ(on_device(stored.image, 56, test::siglip(56)), stored.bytes);
}

TEST(Pictures, CanBeCaptured) {
  const Stored stored = picture(64, 48, PixelFormat::kNv12, 0);
  const ResizePlan plan = plan_resize(stored.image, 32, test::siglip(32));
  const Buffer<int32_t> table(plan.table);
  const Buffer<uint8_t> bytes(stored.bytes), pixels(size_t{32} * 32 * 3), between(plan.between_bytes());
  const machine::Stream stream;
  Launch launch;
  launch.stream = stream;
  cudaGraph_t graph;
  cudaGraphExec_t ready;
  MACHINE_CHECK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
  MACHINE_CHECK(resize(launch, plan, table.data(), bytes.data(), between.data(), pixels.data()));
  MACHINE_CHECK(cudaStreamEndCapture(stream, &graph));
  MACHINE_CHECK(cudaGraphInstantiate(&ready, graph, 0));
  MACHINE_CHECK(cudaGraphLaunch(ready, stream));
  MACHINE_CHECK(cudaStreamSynchronize(stream));
  EXPECT_EQ(machine::take_report(), "");
  EXPECT_EQ(pixels.get(), mipha::resize(stored.image, 32, test::siglip(32)));
  MACHINE_CHECK(cudaGraphExecDestroy(ready));
  MACHINE_CHECK(cudaGraphDestroy(graph));
}

}  // namespace
}  // namespace mipha::cuda
