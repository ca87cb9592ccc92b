// A picture as the caller has it, and as the tower wants it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "model/config.h"

namespace mipha {

enum class PixelFormat { kRgb, kRgba, kBgr, kGray, kNv12 };

/// Borrowed pixels, rows `stride` bytes apart. NV12: height rows of luma, then height / 2 rows of interleaved CbCr at the same stride
/// (BT.601 limited range, even width and height). RGBA's alpha is ignored.
struct Image {
  const uint8_t* data = nullptr;
  size_t bytes = 0;
  int width = 0;
  int height = 0;
  int stride = 0;  // bytes per row
  PixelFormat format = PixelFormat::kRgb;
};

constexpr int kMaxImagePixels = 64'000'000;
constexpr int kMaxImageSide = 65'535;

/// Throws kImage, naming what is wrong: no pixels, too many, a stride or buffer too small, odd NV12 sizes.
/// Details: width, height, stride, expectedBytes, receivedBytes. The last row may end at its last pixel.
void check(const Image& image);

/// Row `y` as RGB: out [width, 3]. The image must have passed check(). NV12's chroma is taken as it is for each 2 × 2 block.
void rgb_row(const Image& image, int y, uint8_t* out);

/// Resized as `preprocessing` says, at least `size` pixels on each side, and cut to the size × size in the middle. → uint8 [size, size, 3] RGB.
/// Pixel for pixel Pillow's antialiased filters: two passes with 8-bit rounding between. Sources: expand2square of Mipha, and Hugging Face's
/// processors that use Pillow (resize to the shortest edge, center_crop).
std::vector<uint8_t> resize(const Image& image, int size, const Preprocessing& preprocessing);

/// pixels uint8 [image_size, image_size, 3], normalized and cut into patches: f32 [patches, 3 * patch * patch], column order [channel][row][column].
void patchify(const Config& config, const uint8_t* pixels, float* patches);

/// The same pixels normalized and not cut: f32 [3, image_size, image_size].
void planes(const Config& config, const uint8_t* pixels, float* planes);

}  // namespace mipha
