#include "backend/model_backend.h"

#include <chrono>

namespace mipha {
namespace {

double since_ms(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace

bool ModelBackend::encode(const Image& image, const Cancelled& cancelled, EncodeTimes* times) {
  const auto start = std::chrono::steady_clock::now();
  check(image);
  std::vector<uint8_t> pixels;
  const bool inside = resize_inside(image);
  if (!inside) pixels = resize(image, config().vision.image_size, config().preprocessing);
  if (times) times->preprocess_ms = since_ms(start);
  const auto resized = std::chrono::steady_clock::now();
  const bool finished = encode_pixels(inside ? nullptr : pixels.data(), cancelled);
  if (times) times->vision_ms = since_ms(resized);
  return finished;
}

void ModelBackend::step(const int* sequences, const int32_t* ids, int count, float* logits) {
  std::vector<Extension> extensions;
  for (int i = 0; i < count; ++i) extensions.push_back({sequences[i], {{ids + i, 1}}});
  append(extensions, logits, {});
}

std::vector<NewRow> ModelBackend::list_rows(const std::vector<Extension>& extensions) const {
  std::vector<NewRow> rows;
  for (const Extension& extension : extensions) {
    int position = length(extension.sequence);
    for (const Piece& piece : extension.pieces) {
      for (int i = 0; i < piece.count; ++i, ++position) {
        rows.push_back({extension.sequence, position, piece.ids ? piece.ids[i] : -1, piece.ids ? -1 : piece.first + i, false});
      }
    }
    rows.back().last = true;
  }
  return rows;
}

}  // namespace mipha
