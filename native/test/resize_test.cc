#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <numeric>
#include <string>

#include "core/error.h"
#include "model/image.h"
#include "test/support/preprocessing.h"

namespace mipha {
namespace {

using test::siglip;

/// R = 3x + y, G = x + 2y, B = x · y, each modulo 256: the picture whose resized values are known from Pillow 12.3.
std::vector<uint8_t> formula_picture(int width, int height) {
  std::vector<uint8_t> pixels;
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      for (const int value : {3 * x + y, x + 2 * y, x * y}) pixels.push_back(static_cast<uint8_t>(value));
    }
  }
  return pixels;
}

Image rgb(const std::vector<uint8_t>& pixels, int width, int height) {
  return {pixels.data(), pixels.size(), width, height, width * 3, PixelFormat::kRgb};
}

std::array<int, 3> at(const std::vector<uint8_t>& pixels, int size, int row, int column) {
  const uint8_t* pixel = pixels.data() + (static_cast<size_t>(row) * size + column) * 3;
  return {pixel[0], pixel[1], pixel[2]};
}

std::array<long, 3> channel_sums(const std::vector<uint8_t>& pixels) {
  std::array<long, 3> sums{};
  for (size_t i = 0; i < pixels.size(); ++i) sums[i % 3] += pixels[i];
  return sums;
}

using Pixel = std::array<int, 3>;
using Sums = std::array<long, 3>;

TEST(Resize, PadsTheFormulaPictureAsPillowDoes) {
  const auto out = resize(rgb(formula_picture(640, 480), 640, 480), 384, siglip(384));
  EXPECT_EQ(channel_sums(out), (Sums{18805035, 18827905, 18545649}));
  EXPECT_EQ(at(out, 384, 0, 0), (Pixel{127, 127, 127}));
  EXPECT_EQ(at(out, 384, 48, 0), (Pixel{9, 8, 7}));
  EXPECT_EQ(at(out, 384, 100, 200), (Pixel{64, 255, 121}));
  EXPECT_EQ(at(out, 384, 200, 100), (Pixel{243, 162, 106}));
}

TEST(Patchify, NormalisesTheFormulaPictureAsTheTowerExpects) {
  Config config;
  config.preprocessing = siglip(384);
  config.vision.image_size = 384;
  config.vision.patch_size = 384;
  std::vector<float> planes(config.vision.patch_values());
  patchify(config, resize(rgb(formula_picture(640, 480), 640, 480), 384, siglip(384)).data(), planes.data());
  const double expected[] = {-0.4980392, 1.0, -0.05098039};
  for (int c = 0; c < 3; ++c) EXPECT_NEAR(planes[(c * 384 + 100) * 384 + 200], expected[c], 1e-7);
}

TEST(Resize, SquashesTheFormulaPictureAsPillowDoes) {
  const auto out = resize(rgb(formula_picture(640, 480), 640, 480), 384, siglip(384, Aspect::kSquash));
  EXPECT_EQ(channel_sums(out), (Sums{18831030, 18861410, 18486624}));
  EXPECT_EQ(at(out, 384, 0, 0), (Pixel{1, 0, 0}));
  EXPECT_EQ(at(out, 384, 100, 200), (Pixel{102, 72, 103}));
  EXPECT_EQ(at(out, 384, 383, 383), (Pixel{91, 61, 148}));
}

/// What a tower's processor does, mean and std aside, and what Pillow and transformers' rules make of a formula picture.
struct Processed {
  const char* name;
  int size;
  Preprocessing preprocessing;
  int width, height;
  Sums sums;
  Pixel first, middle, last;  // at 0, 0; at 100, 200; at 223, 223
};

TEST(Resize, TreatsTheFormulaPictureAsTheTowersProcessorsDo) {
  const std::array<uint8_t, 3> clip{122, 116, 104}, imagenet{123, 116, 103}, half{127, 127, 127};
  const Preprocessing clip_own{Aspect::kCrop, 336, Filter::kBicubic, clip}, clip_padded{Aspect::kPad, 336, Filter::kBicubic, clip};
  const Preprocessing dinov2_own{Aspect::kCrop, 256, Filter::kBicubic, imagenet}, dinov2_padded{Aspect::kPad, 256, Filter::kBicubic, imagenet};
  const Preprocessing vit{Aspect::kSquash, 224, Filter::kBilinear, half};
  const Processed cases[] = {
      {"CLIP", 336, clip_own, 640, 480, {14402425, 14346805, 14161606}, {241, 81, 20}, {217, 140, 127}, {235, 13, 134}},
      {"CLIP", 336, clip_own, 333, 500, {14407331, 14295703, 14148141}, {83, 167, 0}, {10, 51, 154}, {200, 62, 92}},
      {"CLIP, padded", 336, clip_padded, 640, 480, {14260264, 14106603, 13550602}, {122, 116, 104}, {231, 91, 108}, {85, 91, 112}},
      {"CLIP, padded", 336, clip_padded, 333, 500, {14191798, 13985253, 13330614}, {122, 116, 104}, {26, 31, 111}, {55, 145, 186}},
      {"DINOv2", 224, dinov2_own, 640, 480, {6385338, 6369360, 6293902}, {102, 170, 133}, {136, 153, 64}, {241, 145, 65}},
      {"DINOv2", 224, dinov2_own, 333, 500, {6418511, 6350481, 6298905}, {167, 230, 124}, {54, 238, 235}, {48, 76, 162}},
      {"DINOv2, padded", 224, dinov2_padded, 640, 480, {6354037, 6332483, 6135178}, {123, 116, 103}, {41, 194, 147}, {123, 116, 103}},
      {"DINOv2, padded", 224, dinov2_padded, 333, 500, {6351270, 6287079, 6022439}, {123, 116, 103}, {123, 116, 103}, {123, 116, 103}},
      {"SigLIP, a sliver", 224, siglip(224, Aspect::kSquash), 3, 701, {5985701, 6099619, 4055787}, {1, 2, 0}, {64, 118, 120}, {193, 120, 109}},
      {"DINOv2, a sliver", 224, dinov2_own, 257, 25701, {6445479, 6371319, 6315005}, {242, 148, 39}, {177, 38, 28}, {114, 52, 222}},
      {"ViT", 224, vit, 640, 480, {6411194, 6421767, 6294612}, {5, 3, 1}, {140, 234, 122}, {87, 58, 132}},
      {"ViT", 224, vit, 333, 500, {6400732, 6413928, 6283625}, {2, 2, 0}, {93, 234, 169}, {213, 48, 139}},
  };
  for (const Processed& one : cases) {
    SCOPED_TRACE(std::string(one.name) + ", " + std::to_string(one.width) + " x " + std::to_string(one.height));
    const auto picture = formula_picture(one.width, one.height);
    const auto out = resize(rgb(picture, one.width, one.height), one.size, one.preprocessing);
    EXPECT_EQ(channel_sums(out), one.sums);
    EXPECT_EQ(at(out, one.size, 0, 0), one.first);
    EXPECT_EQ(at(out, one.size, 100, 200), one.middle);
    EXPECT_EQ(at(out, one.size, 223, 223), one.last);
  }
}

TEST(Resize, ACropIsTheMiddleOfTheWhole) {
  for (const Aspect aspect : {Aspect::kPad, Aspect::kSquash, Aspect::kCrop}) {
    for (const int size : {1, 44, 45, 63, 64}) {
      const auto picture = formula_picture(101, 101);
      const auto whole = resize(rgb(picture, 101, 101), 64, siglip(64, aspect));
      const auto part = resize(rgb(picture, 101, 101), size, siglip(64, aspect));
      const int start = (64 - size) / 2;
      for (int y = 0; y < size; ++y) {
        for (int x = 0; x < size; ++x) ASSERT_EQ(at(part, size, y, x), at(whole, 64, start + y, start + x)) << size << ": " << y << ", " << x;
      }
    }
  }
}

TEST(Resize, ACropOfASliverIsItsMiddle) {
  std::vector<uint8_t> ends(65'535 * 3, 10);
  for (int x = 32'667; x < 32'868; ++x) std::fill_n(ends.begin() + x * 3, 3, uint8_t{200});
  const std::vector<uint8_t> expected(224 * 224 * 3, 200);
  EXPECT_EQ(resize(rgb(ends, 65'535, 1), 224, siglip(256, Aspect::kCrop)), expected);
  EXPECT_EQ(resize(rgb(ends, 1, 65'535), 224, siglip(256, Aspect::kCrop)), expected);
}

TEST(Resize, KeepsAPictureOfTheRightSize) {
  const auto picture = formula_picture(56, 56);
  EXPECT_EQ(resize(rgb(picture, 56, 56), 56, siglip(56)), picture);
  EXPECT_EQ(resize(rgb(picture, 56, 56), 56, siglip(56, Aspect::kSquash)), picture);
  EXPECT_EQ(resize(rgb(picture, 56, 56), 56, siglip(56, Aspect::kCrop)), picture);
  Preprocessing bilinear = siglip(56);
  bilinear.filter = Filter::kBilinear;
  EXPECT_EQ(resize(rgb(picture, 56, 56), 56, bilinear), picture);
}

TEST(Resize, KeepsAConstantPictureConstant) {
  for (const auto& [width, height] : {std::pair{1, 1}, {7, 500}, {500, 7}, {113, 112}, {30, 40}}) {
    const std::vector<uint8_t> picture(static_cast<size_t>(width) * height * 3, 203);
    EXPECT_EQ(resize(rgb(picture, width, height), 112, siglip(112, Aspect::kSquash)), std::vector<uint8_t>(112 * 112 * 3, 203))
        << width << " x " << height;
  }
}

TEST(Resize, PaddingIsTheMeanColour) {
  for (const auto& [width, height] : {std::pair{3, 700}, {700, 3}, {333, 500}, {501, 332}}) {
    const std::vector<uint8_t> picture(static_cast<size_t>(width) * height * 3, 127);
    EXPECT_EQ(resize(rgb(picture, width, height), 112, siglip(112)), std::vector<uint8_t>(112 * 112 * 3, 127)) << width << " x " << height;
  }
}

TEST(Resize, PaddingEqualsAPictureThatWasPaddedBefore) {
  for (const auto& [width, height] : {std::pair{1, 1}, {3, 700}, {701, 4}, {100, 101}, {385, 384}}) {
    const auto picture = formula_picture(width, height);
    const int side = std::max(width, height);
    std::vector<uint8_t> canvas(static_cast<size_t>(side) * side * 3, 127);
    for (int y = 0; y < height; ++y) {
      std::copy_n(picture.begin() + static_cast<size_t>(y) * width * 3, width * 3,
                  canvas.begin() + (static_cast<size_t>(y + (side - height) / 2) * side + (side - width) / 2) * 3);
    }
    EXPECT_EQ(resize(rgb(picture, width, height), 64, siglip(64)), resize(rgb(canvas, side, side), 64, siglip(64, Aspect::kSquash)))
        << width << " x " << height;
  }
}

/// `pixels` rewritten with `bytes` per pixel by `write`, rows `stride` apart, the gap filled with junk.
template <typename Write>
std::vector<uint8_t> rewrite(const std::vector<uint8_t>& pixels, int width, int height, int bytes, int stride, Write&& write) {
  std::vector<uint8_t> out(static_cast<size_t>(stride) * (height - 1) + static_cast<size_t>(width) * bytes, 0xee);
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) write(&pixels[(static_cast<size_t>(y) * width + x) * 3], &out[static_cast<size_t>(y) * stride + x * bytes]);
  }
  return out;
}

TEST(Resize, EveryFormatAndStrideGivesTheSamePicture) {
  const int width = 37, height = 23;
  const auto picture = formula_picture(width, height);
  const auto expected = resize(rgb(picture, width, height), 28, siglip(28));
  const auto check_equal = [&](const std::vector<uint8_t>& data, int stride, PixelFormat format) {
    EXPECT_EQ(resize({data.data(), data.size(), width, height, stride, format}, 28, siglip(28)), expected);
  };
  for (const int gap : {0, 1, 13}) {
    check_equal(rewrite(picture, width, height, 3, width * 3 + gap, [](const uint8_t* from, uint8_t* to) { std::copy_n(from, 3, to); }),
                width * 3 + gap, PixelFormat::kRgb);
    check_equal(rewrite(picture, width, height, 3, width * 3 + gap, [](const uint8_t* from, uint8_t* to) { std::reverse_copy(from, from + 3, to); }),
                width * 3 + gap, PixelFormat::kBgr);
    check_equal(rewrite(picture, width, height, 4, width * 4 + gap, [](const uint8_t* from, uint8_t* to) { std::copy_n(from, 3, to); }),
                width * 4 + gap, PixelFormat::kRgba);
  }
}

TEST(Resize, GrayIsTheSameInEveryChannel) {
  const int width = 19, height = 31, stride = 24;
  std::vector<uint8_t> gray(stride * height), picture;
  for (size_t i = 0; i < gray.size(); ++i) gray[i] = static_cast<uint8_t>(i * 37);
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) picture.insert(picture.end(), 3, gray[y * stride + x]);
  }
  EXPECT_EQ(resize({gray.data(), gray.size(), width, height, stride, PixelFormat::kGray}, 28, siglip(28)),
            resize(rgb(picture, width, height), 28, siglip(28)));
}

TEST(RgbRow, Nv12FollowsBt601LimitedRange) {
  // Every luma with a spread of chroma, one 2 × 2 block each.
  const int blocks = 256, width = 2 * blocks, height = 4, stride = width + 6;
  for (int shift = 0; shift < 256; shift += 17) {
    std::vector<uint8_t> data(stride * (height + height / 2) - 6);
    const auto luma = [&](int x, int y) { return (x / 2 + y) % 256; };
    const auto cb = [&](int x, int y) { return (x / 2 * 3 + shift + y / 2) % 256; };
    const auto cr = [&](int x, int y) { return (x / 2 * 7 + 2 * shift + y / 2 * 5) % 256; };
    for (int y = 0; y < height; ++y) {
      for (int x = 0; x < width; ++x) {
        data[y * stride + x] = static_cast<uint8_t>(luma(x, y));
        data[(height + y / 2) * stride + x] = static_cast<uint8_t>(x % 2 == 0 ? cb(x, y) : cr(x, y));
      }
    }
    std::vector<uint8_t> row(width * 3);
    for (int y = 0; y < height; ++y) {
      rgb_row({data.data(), data.size(), width, height, stride, PixelFormat::kNv12}, y, row.data());
      for (int x = 0; x < width; ++x) {
        const double l = 1.164383 * (luma(x, y) - 16), b = cb(x, y) - 128, r = cr(x, y) - 128;
        const double expected[] = {l + 1.596027 * r, l - 0.391762 * b - 0.812968 * r, l + 2.017232 * b};
        for (int c = 0; c < 3; ++c) ASSERT_NEAR(row[x * 3 + c], std::min(std::max(expected[c], 0.0), 255.0), 0.502) << x << ", " << y << ", " << c;
      }
    }
  }
}

TEST(Check, NamesEveryNumberOfABadImage) {
  const std::vector<uint8_t> data(1000);
  const auto expect = [&](Image image, const std::string& part) {
    try {
      check(image);
      FAIL() << "accepted: " << part;
    } catch (const Error& error) {
      EXPECT_EQ(error.code, Code::kImage);
      const std::string message = error.what();
      EXPECT_NE(message.find(part), std::string::npos) << message;
      EXPECT_NE(message.find(std::to_string(image.width) + " x " + std::to_string(image.height)), std::string::npos) << message;
      EXPECT_NE(message.find("stride " + std::to_string(image.stride)), std::string::npos) << message;
      EXPECT_NE(message.find(std::to_string(image.bytes) + " bytes"), std::string::npos) << message;
      ASSERT_EQ(error.details.size(), 5u);
      EXPECT_EQ(error.details[4].second, static_cast<double>(image.bytes));
    }
  };
  const uint8_t* p = data.data();
  expect({p, 1000, 0, 4, 12, PixelFormat::kRgb}, "at least 1");
  expect({p, 1000, 4, -1, 12, PixelFormat::kRgb}, "at least 1");
  expect({p, 1000, 10'000, 10'000, 30'000, PixelFormat::kRgb}, "64000000 pixels");
  expect({p, 1000, 1, 70'000, 3, PixelFormat::kRgb}, "65535");
  expect({p, 1000, 4, 4, 11, PixelFormat::kRgb}, "stride of at least 12");
  expect({p, 1000, 4, 4, 15, PixelFormat::kRgba}, "stride of at least 16");
  expect({p, 46, 4, 4, 12, PixelFormat::kBgr}, "at least 48 bytes");
  expect({p, 59, 4, 4, 16, PixelFormat::kRgb}, "at least 60 bytes");
  expect({nullptr, 1000, 4, 4, 12, PixelFormat::kRgb}, "at least 48 bytes");
  expect({p, 1000, 5, 4, 6, PixelFormat::kNv12}, "even");
  expect({p, 1000, 4, 5, 4, PixelFormat::kNv12}, "even");
  expect({p, 43, 4, 6, 5, PixelFormat::kNv12}, "at least 44 bytes");
  expect({p, 1000, 60'000, 1, 2'000'000'000, PixelFormat::kGray}, "at least 60000 bytes");

  EXPECT_NO_THROW(check({p, 60, 4, 4, 16, PixelFormat::kRgb}));
  EXPECT_NO_THROW(check({p, 44, 4, 6, 5, PixelFormat::kNv12}));
}

TEST(Patchify, OrdersByTokenChannelRowColumn) {
  Config config;
  config.preprocessing = siglip(8);
  config.vision.image_size = 8;  // the last two rows and columns belong to no patch
  config.vision.patch_size = 3;
  std::vector<uint8_t> pixels(8 * 8 * 3);
  std::iota(pixels.begin(), pixels.end(), uint8_t{0});
  std::vector<float> patches(config.vision.patches() * config.vision.patch_values());
  patchify(config, pixels.data(), patches.data());
  for (int token = 0; token < 4; ++token) {
    for (int c = 0; c < 3; ++c) {
      for (int y = 0; y < 3; ++y) {
        for (int x = 0; x < 3; ++x) {
          const int value = pixels[((token / 2 * 3 + y) * 8 + token % 2 * 3 + x) * 3 + c];
          EXPECT_NEAR(patches[((token * 3 + c) * 3 + y) * 3 + x], value / 127.5 - 1, 1e-7);
        }
      }
    }
  }
}

TEST(Preprocessing, EveryChannelHasItsOwnNumbers) {
  Config config;
  const std::array<int, 3> border{200, 100, 0};
  config.preprocessing = {Aspect::kPad,
                          4,
                          Filter::kBicubic,
                          {200, 100, 0},
                          {0.48145466f, 0.4578275f, 0.40821073f},
                          {0.26862954f, 0.26130258f, 0.27577711f}};  // CLIP's mean and std
  config.vision.image_size = 4;
  config.vision.patch_size = 2;
  const std::vector<uint8_t> narrow(2 * 4 * 3, 90);
  const auto pixels = resize(rgb(narrow, 2, 4), 4, config.preprocessing);
  EXPECT_EQ(at(pixels, 4, 0, 0), border);  // left of the picture
  std::vector<float> patches(config.vision.patches() * config.vision.patch_values()), whole(pixels.size());
  patchify(config, pixels.data(), patches.data());
  planes(config, pixels.data(), whole.data());
  for (int c = 0; c < 3; ++c) {
    const double expected = (border[c] / 255.0 - config.preprocessing.mean[c]) / config.preprocessing.std[c];
    EXPECT_NEAR(patches[c * 4], expected, 1e-6) << c;
    EXPECT_NEAR(whole[c * 16], expected, 1e-6) << c;
    for (int y = 0; y < 2; ++y) {
      for (int x = 0; x < 2; ++x) EXPECT_EQ(patches[c * 4 + y * 2 + x], whole[c * 16 + y * 4 + x]);
    }
  }
}

}  // namespace
}  // namespace mipha
