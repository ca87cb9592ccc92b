#include "model/image.h"

#include <algorithm>
#include <cstring>
#include <string>

#include "core/error.h"
#include "model/bt601.h"

namespace mipha {
namespace {

const char* format_name(PixelFormat format) {
  switch (format) {
    case PixelFormat::kRgb:
      return "rgb";
    case PixelFormat::kRgba:
      return "rgba";
    case PixelFormat::kBgr:
      return "bgr";
    case PixelFormat::kGray:
      return "gray";
    case PixelFormat::kNv12:
      return "nv12";
  }
  return "unknown";
}

/// Bytes of one pixel within a row; an NV12 row is one byte of luma per pixel, and its chroma rows are as long.
int pixel_bytes(PixelFormat format) {
  switch (format) {
    case PixelFormat::kRgb:
    case PixelFormat::kBgr:
      return 3;
    case PixelFormat::kRgba:
      return 4;
    case PixelFormat::kGray:
    case PixelFormat::kNv12:
      return 1;
  }
  return 0;
}

int64_t stored_rows(const Image& image) {
  return image.format == PixelFormat::kNv12 ? int64_t{image.height} * 3 / 2 : image.height;
}

int64_t expected_bytes(const Image& image) {
  return (stored_rows(image) - 1) * image.stride + int64_t{image.width} * pixel_bytes(image.format);
}

uint8_t from_fixed16(int value) {
  return static_cast<uint8_t>(std::clamp((value + 32768) >> 16, 0, 255));
}

/// luma: [width] of one row; chroma: [width] Cb, Cr, Cb, Cr, … of the row pair it belongs to.
void nv12_row(const uint8_t* luma, const uint8_t* chroma, int width, uint8_t* out) {
  for (int x = 0; x < width; ++x) {
    const int y = (luma[x] - 16) * bt601::kLuma;
    const int cb = chroma[x & ~1] - 128, cr = chroma[x | 1] - 128;
    out[3 * x] = from_fixed16(y + cr * bt601::kCrToRed);
    out[3 * x + 1] = from_fixed16(y - cr * bt601::kCrToGreen - cb * bt601::kCbToGreen);
    out[3 * x + 2] = from_fixed16(y + cb * bt601::kCbToBlue);
  }
}

}  // namespace

void check(const Image& image) {
  const bool sides = image.width > 0 && image.height > 0;
  const int64_t expected = sides ? expected_bytes(image) : 0;
  const auto fail = [&](const std::string& problem) {
    const std::string size = std::to_string(image.width) + " x " + std::to_string(image.height);
    throw Error(Code::kImage,
                "image " + size + " " + format_name(image.format) + ", stride " + std::to_string(image.stride) + ", " + std::to_string(image.bytes) +
                    " bytes: " + problem,
                {{"width", image.width},
                 {"height", image.height},
                 {"stride", image.stride},
                 {"expectedBytes", static_cast<double>(expected)},
                 {"receivedBytes", static_cast<double>(image.bytes)}});
  };
  if (!sides) fail("width and height must be at least 1");
  if (image.width > kMaxImageSide || image.height > kMaxImageSide) fail("no side may be longer than " + std::to_string(kMaxImageSide));
  if (int64_t{image.width} * image.height > kMaxImagePixels) fail("more than " + std::to_string(kMaxImagePixels) + " pixels");
  if (image.format == PixelFormat::kNv12 && (image.width % 2 != 0 || image.height % 2 != 0)) fail("NV12 needs an even width and height");
  const int row_bytes = image.width * pixel_bytes(image.format);
  if (image.stride < row_bytes) fail("expected a stride of at least " + std::to_string(row_bytes));
  if (image.data == nullptr || static_cast<int64_t>(image.bytes) < expected) fail("expected at least " + std::to_string(expected) + " bytes");
}

void rgb_row(const Image& image, int y, uint8_t* out) {
  const uint8_t* row = image.data + static_cast<size_t>(y) * image.stride;
  switch (image.format) {
    case PixelFormat::kRgb:
      std::memcpy(out, row, static_cast<size_t>(image.width) * 3);
      break;
    case PixelFormat::kRgba:
      for (int x = 0; x < image.width; ++x) {
        for (int c = 0; c < 3; ++c) out[3 * x + c] = row[4 * x + c];
      }
      break;
    case PixelFormat::kBgr:
      for (int x = 0; x < image.width; ++x) {
        for (int c = 0; c < 3; ++c) out[3 * x + c] = row[3 * x + 2 - c];
      }
      break;
    case PixelFormat::kGray:
      for (int x = 0; x < image.width; ++x) {
        for (int c = 0; c < 3; ++c) out[3 * x + c] = row[x];
      }
      break;
    case PixelFormat::kNv12:
      nv12_row(row, image.data + static_cast<size_t>(image.height + y / 2) * image.stride, image.width, out);
      break;
  }
}

void patchify(const Config& config, const uint8_t* pixels, float* patches) {
  const VisionConfig& vision = config.vision;
  const int grid = vision.grid(), patch = vision.patch_size;
  for (int token = 0; token < vision.patches(); ++token) {
    const int top = token / grid * patch, left = token % grid * patch;
    for (int c = 0; c < 3; ++c) {
      for (int y = 0; y < patch; ++y) {
        for (int x = 0; x < patch; ++x) {
          const uint8_t value = pixels[(static_cast<size_t>(top + y) * vision.image_size + left + x) * 3 + c];
          *patches++ = config.preprocessing.normalized(c, value);
        }
      }
    }
  }
}

void planes(const Config& config, const uint8_t* pixels, float* planes) {
  const size_t area = static_cast<size_t>(config.vision.image_size) * config.vision.image_size;
  for (int c = 0; c < 3; ++c) {
    for (size_t i = 0; i < area; ++i) *planes++ = config.preprocessing.normalized(c, pixels[3 * i + c]);
  }
}

}  // namespace mipha
