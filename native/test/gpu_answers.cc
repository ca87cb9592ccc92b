// The held-out kitchen scenes asked on the CUDA backend and on the CPU's, without Node: scripts/gpu-check.sh runs it on a GPU, the tests on the
// machine without one.
//
//   gpu_answers PACKAGE QUESTIONS [FIRST COUNT]    QUESTIONS: the folder that scripts/gpu-check/questions.mjs has filled; COUNT scenes from FIRST on
//
// Prints a line of JSON. Status 0 when at least 99 % of the answers are those of the CPU and their share of right ones is within 0.3 points of its.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include "backend/backend.h"
#include "core/error.h"
#include "package/json.h"

namespace mipha {
namespace {

constexpr int kLongest = 64;  // ids of an answer
constexpr double kIdentical = 0.99, kRight = 0.003;

using Ids = std::vector<int32_t>;

struct Question {
  Ids ids;
  std::string answer;
};

struct Questions {
  Ids prefix;
  Candidates candidates;
  std::vector<std::string> tokens;  // bytes of each id
  Ids stops;
  std::vector<std::vector<Question>> scenes;
  std::string pixels;  // of all scenes

  std::string text(const Ids& ids) const {
    std::string joined;
    for (const int32_t id : ids) joined += tokens.at(id);
    const size_t first = joined.find_first_not_of(" \n"), last = joined.find_last_not_of(" \n");
    return first == std::string::npos ? "" : joined.substr(first, last + 1 - first);
  }
};

std::string read(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw Error(Code::kModelMissing, path + ": cannot be read");
  return {std::istreambuf_iterator<char>(file), {}};
}

const Json& member(const Json& of, const char* name) {
  const Json* const found = of.find(name);
  if (found == nullptr) throw Error(Code::kModelFormat, "questions.json: expected " + std::string(name));
  return *found;
}

Ids ids_of(const Json& array) {
  Ids ids;
  for (const Json& item : array.items) ids.push_back(static_cast<int32_t>(item.number));
  return ids;
}

std::string from_hex(const std::string& hex) {
  std::string bytes;
  for (size_t i = 0; i + 1 < hex.size(); i += 2) bytes += static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16));
  return bytes;
}

Questions load(const std::string& folder) {
  const Json root = parse_json(read(folder + "/questions.json"), "questions.json");
  Questions questions;
  questions.prefix = ids_of(member(root, "prefix"));
  questions.stops = ids_of(member(root, "stops"));
  std::sort(questions.stops.begin(), questions.stops.end());
  questions.pixels = read(folder + "/scenes.rgb");
  Ids candidates;
  for (const Json& token : member(root, "tokens").items) {
    questions.tokens.push_back(from_hex(token.string));
    if (!questions.tokens.back().empty()) candidates.push_back(static_cast<int32_t>(questions.tokens.size()) - 1);
  }
  for (const int32_t stop : questions.stops) candidates.push_back(stop);
  questions.candidates = std::make_shared<const Ids>(candidates);
  for (const Json& scene : member(root, "scenes").items) {
    std::vector<Question>& asked = questions.scenes.emplace_back();
    for (const Json& question : scene.items) asked.push_back({ids_of(member(question, "ids")), member(question, "answer").string});
  }
  return questions;
}

bool contains(const Ids& ids, int32_t id) {
  for (const int32_t one : ids) {
    if (one == id) return true;
  }
  return false;
}

/// Answers to all questions about a scene: one prefill of them together, then steps of those that go on, at most eight at once.
std::vector<Ids> ask(Backend& backend, const Questions& questions, size_t scene) {
  const Config& config = backend.config();
  const int side = config.vision.image_size, vocab = config.language.vocab;
  const size_t bytes = static_cast<size_t>(side) * side * 3;
  const auto* const pixels = reinterpret_cast<const uint8_t*>(questions.pixels.data()) + scene * bytes;
  backend.encode({pixels, bytes, side, side, side * 3, PixelFormat::kRgb}, {}, nullptr);
  const int view = backend.sequence();
  const std::vector<Piece> shown = {{questions.prefix.data(), static_cast<int>(questions.prefix.size())}, {nullptr, config.image_tokens()}};
  backend.append(view, shown, nullptr, {});

  const std::vector<Question>& asked = questions.scenes[scene];
  std::vector<Ids> answers(asked.size());
  std::vector<float> logits(static_cast<size_t>(Backend::kMaxBatch) * vocab);
  for (size_t first = 0; first < asked.size(); first += Backend::kMaxBatch) {
    struct Going {
      size_t question;
      int sequence;
      Choice next;
    };
    std::vector<Going> going;
    std::vector<Extension> extensions;
    for (size_t i = first; i < std::min(asked.size(), first + Backend::kMaxBatch); ++i) {
      going.push_back({i, backend.fork(view), {}});
      extensions.push_back({going.back().sequence, {{asked[i].ids.data(), static_cast<int>(asked[i].ids.size())}}});
    }
    backend.append(extensions, logits.data(), {});
    for (size_t i = 0; i < going.size(); ++i) going[i].next = likeliest(logits.data() + i * vocab, *questions.candidates);
    while (!going.empty()) {
      std::vector<Going> on;
      for (const Going& one : going) {
        Ids& answer = answers[one.question];
        if (one.next.id >= 0 && !contains(questions.stops, one.next.id)) answer.push_back(one.next.id);
        if (one.next.id < 0 || contains(questions.stops, one.next.id) || answer.size() == kLongest)
          backend.release(one.sequence);
        else
          on.push_back(one);
      }
      going = std::move(on);
      if (going.empty()) break;
      int sequences[Backend::kMaxBatch];
      int32_t ids[Backend::kMaxBatch];
      Chooser choosers[Backend::kMaxBatch];
      Choice choices[Backend::kMaxBatch];
      for (size_t i = 0; i < going.size(); ++i) {
        sequences[i] = going[i].sequence;
        ids[i] = going[i].next.id;
        choosers[i].candidates = questions.candidates;
        choosers[i].stop_ids = &questions.stops;
        choosers[i].tokens_left = kLongest - static_cast<int>(answers[going[i].question].size());
      }
      backend.decode(sequences, ids, choosers, static_cast<int>(going.size()), logits.data(), choices);
      for (size_t i = 0; i < going.size(); ++i) going[i].next = choices[i];
    }
  }
  backend.release(view);
  return answers;
}

int run(const std::string& folder, const std::string& asked, size_t first, size_t scenes) {
  const auto package = Package::open(folder);
  const Questions questions = load(asked);
  const auto start = std::chrono::steady_clock::now();
  const std::unique_ptr<Backend> gpu = create_backend("cuda", package, {}, {}), cpu = create_backend("cpu", package, {}, {});
  int total = 0, same = 0, right = 0, cpu_right = 0;
  const size_t all = questions.scenes.size(), end = first + std::min(scenes, all - std::min(first, all));
  for (size_t scene = first; scene < end; ++scene) {
    const std::vector<Ids> answers = ask(*gpu, questions, scene), expected = ask(*cpu, questions, scene);
    for (size_t i = 0; i < answers.size(); ++i) {
      const std::string& truth = questions.scenes[scene][i].answer;
      ++total;
      same += answers[i] == expected[i] ? 1 : 0;
      right += questions.text(answers[i]) == truth ? 1 : 0;
      cpu_right += questions.text(expected[i]) == truth ? 1 : 0;
    }
  }
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  std::printf(R"({"step":"answers","device":"%s","questions":%d,"same":%d,"right":%d,"cpuRight":%d,"seconds":%.1f})"
              "\n",
              gpu->detail().c_str(), total, same, right, cpu_right, seconds);
  const bool good = total > 0 && same >= kIdentical * total && right >= cpu_right - kRight * total;
  return good ? 0 : 1;
}

}  // namespace
}  // namespace mipha

int main(int count, char** arguments) {
  if (count != 3 && count != 5) {
    std::fprintf(stderr, "gpu_answers PACKAGE QUESTIONS [FIRST COUNT]\n");
    return 2;
  }
  try {
    const auto number = [&](int i, size_t otherwise) { return count > i ? std::strtoul(arguments[i], nullptr, 10) : otherwise; };
    return mipha::run(arguments[1], arguments[2], number(3, 0), number(4, SIZE_MAX));
  } catch (const mipha::Error& error) {
    std::fprintf(stderr, "%s: %s\n", mipha::code_name(error.code), error.what());
    return 1;
  }
}
