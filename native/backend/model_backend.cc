#include "backend/model_backend.h"

#include <algorithm>
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

bool ModelBackend::append(const std::vector<Extension>& extensions, float* logits, const Cancelled& cancelled) {
  const std::vector<NewRow> rows = list_rows(extensions);
  return extend(extensions, [&] {
    for (size_t first = 0; first < rows.size();) {
      const int most = static_cast<int>(std::min<size_t>(rows.size() - first, max_rows()));
      int count = 0, answers = 0;
      while (count < most && answers < kMaxBatch) answers += rows[first + count++].last ? 1 : 0;
      if (!run(rows.data() + first, count, logits, cancelled)) return false;
      if (logits != nullptr) logits += static_cast<size_t>(answers) * config().language.vocab;
      first += count;
    }
    return true;
  });
}

void ModelBackend::step(const int* sequences, const int32_t* ids, int count, float* logits) {
  append(as_extensions(sequences, ids, count), logits, {});
}

std::vector<Extension> ModelBackend::as_extensions(const int* sequences, const int32_t* ids, int count) {
  std::vector<Extension> extensions;
  for (int i = 0; i < count; ++i) extensions.push_back({sequences[i], {{ids + i, 1}}});
  return extensions;
}

/// Every row of the extensions in order, at its position behind what its sequence holds now.
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
