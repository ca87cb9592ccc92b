// The end of a step on the device: inputs of the step that follows, and what makes it not follow, on the machine without a GPU.
#include <gtest/gtest.h>

#include "test/machine/machine.h"
#include "test/support/automaton.h"
#include "test/support/cuda_choosing.h"

namespace mipha::test {
namespace {

using machine::Buffer;

const cuda::Launch kLaunch{nullptr, 1};

/// A step that settles into the next one, and what makes it not.
class CudaSettle : public ::testing::Test {
 protected:
  struct Made {
    int32_t live, told;
    std::vector<int32_t> ids;
    std::vector<cuda::Place> places;
    std::vector<cuda::Answer> answers;
    cuda::Results results;
  };
  CudaSettle() : constraint(mipha::testing::choice({{"ab"}, {"ac"}})), device(constraint) {
    for (int i = 0; i < 3; ++i) {
      answers[i].chosen_here = 1;
      answers[i].tokens_left = 5;
      answers[i].stop_count = 2;
      answers[i].stops[0] = 3, answers[i].stops[1] = 40;
      results.chosen[i] = {10 + i, 1, 0, 1, 0};
    }
    answers[1].automaton = device.automaton;
    answers[1].state = 1;  // "a"
  }
  void TearDown() override { EXPECT_EQ(machine::take_report(), ""); }

  Made settle(int64_t ended = 4, int32_t live = 1) {
    const Buffer<cuda::Answer> device_answers(answers);
    const Buffer<int32_t> device_counts(counts), ids(std::vector<int32_t>(3, -5)), live_word(std::vector<int32_t>{live});
    const Buffer<cuda::Place> places(std::vector<cuda::Place>{{7, 0}, {30, 1}, {0, 2}});
    const Buffer<cuda::Results> device_results(std::vector<cuda::Results>{results});
    const Buffer<int64_t> turn(std::vector<int64_t>{5});
    int64_t* ended_word = nullptr;
    MACHINE_CHECK(cudaMallocHost(reinterpret_cast<void**>(&ended_word), sizeof *ended_word));
    *ended_word = ended;
    cuda::Launch launch = kLaunch;
    launch.live = live_word.data();
    const cuda::Settling settling{device_answers.data(), device_counts.data(), device_results.data(), ids.data(),
                                  places.data(),         live_word.data(),     turn.data(),           ended_word};
    MACHINE_CHECK(cuda::settle(launch, settling, 3));
    MACHINE_CHECK(cudaDeviceSynchronize());
    MACHINE_CHECK(cudaFreeHost(ended_word));
    return {live_word.get()[0], device_results.get()[0].live, ids.get(), places.get(), device_answers.get(), device_results.get()[0]};
  }
  bool goes_on() {
    const Made made = settle();
    EXPECT_EQ(made.live, made.told);
    return made.live == 1;
  }

  const Constraint constraint;
  const DeviceConstraint device;
  std::vector<cuda::Answer> answers = std::vector<cuda::Answer>(3);
  std::vector<int32_t> counts = {0, 2, 0};
  cuda::Results results = {};
};

TEST_F(CudaSettle, MakesTheInputsOfTheNextStep) {
  const Made made = settle();
  EXPECT_EQ(made.live, 1);
  EXPECT_EQ(made.told, 1);
  EXPECT_EQ(made.ids, (std::vector<int32_t>{10, 11, 12}));
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(made.places[i].position, (std::vector<int>{8, 31, 1})[i]);
    EXPECT_EQ(made.places[i].table, i);
    EXPECT_EQ(made.answers[i].tokens_left, 4);
    EXPECT_EQ(made.results.chosen[i].last, 0);
  }
}

TEST_F(CudaSettle, EndsWhereAnAnswerDoes) {
  for (const int32_t id : {3, 40, Choice::kNoneCounts, Choice::kNoneAllowed}) {
    for (int row = 0; row < 3; ++row) {
      const int32_t before = results.chosen[row].id;
      results.chosen[row].id = id;
      EXPECT_FALSE(goes_on()) << id << ", row " << row;
      results.chosen[row].id = before;
    }
  }
  EXPECT_TRUE(goes_on());
  answers[2].tokens_left = 1;
  EXPECT_FALSE(goes_on());
  answers[2].tokens_left = 2;
  EXPECT_TRUE(goes_on());
  answers[0].chosen_here = 0;
  EXPECT_FALSE(goes_on());
  answers[0].chosen_here = 1;
  answers[1].state = 2;  // "ab"
  EXPECT_FALSE(goes_on());
  answers[1].state = 1;
  EXPECT_TRUE(goes_on());
  counts[1] = 0;
  const Made stuck = settle();
  EXPECT_EQ(stuck.live, 0);
  EXPECT_EQ(stuck.results.chosen[1].last, 1);
}

TEST_F(CudaSettle, EndsWhereTheHostSaysSo) {
  EXPECT_EQ(settle(4).live, 1);
  EXPECT_EQ(settle(5).live, 0);
  EXPECT_EQ(settle(6).live, 0);
}

TEST_F(CudaSettle, AStepThatIsNotWantedChangesNothing) {
  results.live = 7;
  const Made made = settle(4, 0);
  EXPECT_EQ(made.live, 0);
  EXPECT_EQ(made.told, 7);
  EXPECT_EQ(made.ids, std::vector<int32_t>(3, -5));
  EXPECT_EQ(made.places[0].position, 7);
  EXPECT_EQ(made.answers[0].tokens_left, 5);

  Vocabularies v(mipha::testing::vocabulary({"a", "b"}));
  answers[0] = answers[1];
  answers[0].state = 0;
  const Buffer<cuda::Answer> device_answers(answers);
  const Buffer<int32_t> live(std::vector<int32_t>{0});
  const Buffer<float> logits(std::vector<float>(v.vocab, 1));
  const Buffer<cuda::Chosen> chosen(std::vector<cuda::Chosen>{{-9, 0, 0, 0, 0}});
  cuda::Launch launch = kLaunch;
  launch.live = live.data();
  MACHINE_CHECK(cuda::walk(launch, v.walked, device_answers.data(), 1));
  MACHINE_CHECK(cuda::choose(launch, v.walked, device_answers.data(), 1, logits.data(), v.vocab, chosen.data()));
  MACHINE_CHECK(cudaDeviceSynchronize());
  EXPECT_EQ(v.counts()[0], 0);
  EXPECT_EQ(chosen.get()[0].id, -9);
}

}  // namespace
}  // namespace mipha::test
