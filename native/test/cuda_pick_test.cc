// pick against the backend's own likeliest(), embed against plain loops.
#include <limits>

#include "backend/backend.h"
#include "test/support/cuda_matrix.h"

namespace mipha::cuda {
namespace {

using namespace test;

struct Case {
  std::vector<float> logits;
  std::vector<int32_t> candidates;
};

void check(const std::vector<Case>& cases) {
  std::vector<std::unique_ptr<Buffer<float>>> logits;
  std::vector<std::unique_ptr<Buffer<int32_t>>> candidates;
  const Buffer<int32_t> ids(cases.size());
  const Buffer<float> margins(cases.size());
  std::vector<Pick> picks;
  for (size_t i = 0; i < cases.size(); ++i) {
    logits.push_back(std::make_unique<Buffer<float>>(cases[i].logits));
    candidates.push_back(std::make_unique<Buffer<int32_t>>(cases[i].candidates));
    const int count = static_cast<int>(cases[i].candidates.size());
    picks.push_back({logits[i]->data(), candidates[i]->data(), count, ids.data() + i, margins.data() + i});
  }
  const Buffer<Pick> device(picks);
  finish(pick({nullptr, 4}, device.data(), static_cast<int>(cases.size())));
  const std::vector<int32_t> got_ids = ids.get();
  const std::vector<float> got_margins = margins.get();
  for (size_t i = 0; i < cases.size(); ++i) {
    const Choice choice = likeliest(cases[i].logits.data(), cases[i].candidates);
    EXPECT_EQ(got_ids[i], choice.id) << "case " << i;
    EXPECT_EQ(got_margins[i], choice.margin) << "case " << i;
  }
}

TEST(Pick, IsLikeliest) {
  const float infinity = std::numeric_limits<float>::infinity(), nan = std::numeric_limits<float>::quiet_NaN();
  const std::vector<float> few{1, 5, 5, -2, nan, infinity, -infinity, -0.0f, 0.0f};
  check({{few, {0, 1, 2, 3}},
         {few, {3, 2, 1}},  // of equals the first in the list, margin 0
         {few, {4, 5, 6}},  // nothing counts
         {few, {4, 0, 5}},  // one: the margin is infinite
         {few, {8, 7}},
         {few, {7, 8}},
         {few, {6, 3}}});

  Numbers numbers(1);
  std::vector<Case> cases;
  for (const int count : {1, 31, 33, 1024, 1025, 5000}) {
    Case c{numbers.floats(6000, -20, 20), {}};
    for (float& logit : c.logits) logit = std::round(logit);  // many equals
    std::vector<int32_t> all(6000);
    for (size_t i = 0; i < all.size(); ++i) all[i] = static_cast<int32_t>(i);
    numbers.shuffle(all);
    c.candidates.assign(all.begin(), all.begin() + count);
    cases.push_back(c);
  }
  check(cases);
}

TEST(Pick, OverAWholeVocabulary) {
  Numbers numbers(2);
  Case c{numbers.floats(51200, -20, 20), std::vector<int32_t>(51200)};
  for (size_t i = 0; i < c.candidates.size(); ++i) c.candidates[i] = static_cast<int32_t>(i);
  c.logits[51199] = 21;
  check({c, {c.logits, {51199, 3}}});
}

TEST(Embed, RowsOfEveryTypeAndFeatures) {
  Numbers numbers(3);
  const int vocab = 11, width = 300, features = 4;
  const std::vector<float> pictures = numbers.floats(features * width, -1, 1), scale = numbers.floats(vocab, 0.1f, 1);
  const std::vector<int32_t> ids{10, -1, 0, -4, 3};
  const int rows = static_cast<int>(ids.size());
  std::vector<int8_t> bytes;
  std::vector<uint16_t> halves;
  const std::vector<float> floats = numbers.floats(vocab * width, -1, 1);
  for (int i = 0; i < vocab * width; ++i) bytes.push_back(static_cast<int8_t>(i % 255 - 127)), halves.push_back(to_half(floats[i]));
  const Buffer<int8_t> device_bytes(bytes);
  const Buffer<uint16_t> device_halves(halves);
  const Buffer<float> device_floats(floats), device_pictures(pictures), device_scale(scale), x(rows * width);
  const Buffer<int32_t> device_ids(ids);
  const Embedding all[] = {{DType::kI8, device_bytes.data(), device_scale.data(), width},
                           {DType::kF16, device_halves.data(), nullptr, width},
                           {DType::kF32, device_floats.data(), nullptr, width}};
  for (const Embedding& embedding : all) {
    finish(embed({nullptr, 4}, embedding, device_ids.data(), device_pictures.data(), rows, x.data()));
    const std::vector<float> got = x.get();
    for (int r = 0; r < rows; ++r) {
      for (int i = 0; i < width; ++i) {
        const int at = (ids[r] < 0 ? -1 - ids[r] : ids[r]) * width + i;
        const float of_row = embedding.dtype == DType::kI8    ? static_cast<float>(bytes[at]) * scale[std::max(ids[r], 0)]
                             : embedding.dtype == DType::kF16 ? from_half(halves[at])
                                                              : floats[at];
        ASSERT_EQ(got[r * width + i], ids[r] < 0 ? pictures[at] : of_row) << "row " << r << ", " << i;
      }
    }
  }
}

}  // namespace
}  // namespace mipha::cuda
