// What runs a package. One thread calls it at a time (the engine's); all memory that grows with the model is taken at load.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "backend/chooser.h"
#include "backend/cpu/options.h"
#include "backend/tensorrt/options.h"
#include "model/image.h"
#include "model/reference.h"
#include "package/package.h"

namespace mipha {

/// What all backends are told, and what each is told beside it.
struct BackendOptions {
  int cache_tokens = 0;  // rows of the key/value cache, shared by all sequences; 0: the context plus 128 for each sequence of a batch
  cpu::Options cpu;
  tensorrt::Options tensorrt;
};

/// What a backend holds, in bytes; planned before anything is allocated.
struct Memory {
  std::vector<std::pair<std::string, int64_t>> parts;  // e.g. {"weights", …}, {"cache", …}, {"activations", …}
  int64_t total() const {
    int64_t sum = 0;
    for (const auto& part : parts) sum += part.second;
    return sum;
  }
};

struct EncodeTimes {
  double preprocess_ms = 0;
  double vision_ms = 0;
};

/// A run of rows to append: token ids, or (ids == nullptr) rows [first, first + count) of the features of the last encode(), so that a long
/// prefill can be cut into chunks.
struct Piece {
  const int32_t* ids = nullptr;
  int count = 0;
  int first = 0;  // features only
};

/// What a sequence is to be extended by, pieces in order; at least one row.
struct Extension {
  int sequence = -1;
  std::vector<Piece> pieces;

  int rows() const {
    int sum = 0;
    for (const Piece& piece : pieces) sum += piece.count;
    return sum;
  }
};

/// True when the caller no longer wants the result; asked before each layer of encode() and append(), and before each token.
using Cancelled = std::function<bool()>;
using Progress = std::function<void(const char* stage, double fraction)>;

class Backend {
 public:
  virtual ~Backend() = default;

  virtual std::string name() const = 0;    // "cpu"
  virtual std::string detail() const = 0;  // "avx512vnni, 2 threads"
  virtual Memory memory() const = 0;
  virtual const Config& config() const = 0;

  /// Picture → features [image tokens, hidden], kept inside until the next encode(). False when cancelled.
  virtual bool encode(const Image& image, const Cancelled& cancelled, EncodeTimes* times) = 0;

  /// Sequences are small integers. A fork shares the rows of its parent; rows are freed with the last sequence that holds them.
  virtual int sequence() = 0;
  virtual int fork(int sequence) = 0;
  virtual void truncate(int sequence, int length) = 0;
  virtual void release(int sequence) = 0;
  virtual int length(int sequence) const = 0;

  /// Rows that append() and step() could still add to `sequence`, given the context and the rows of the cache that nobody was promised.
  virtual int room(int sequence) const = 0;

  /// Promises `sequence` that it can grow by `rows`, whatever the others do; replaces what it was promised before, 0 gives it back, and so does
  /// release(). False, and nothing changes, when the free rows do not suffice.
  virtual bool reserve(int sequence, int rows) = 0;

  /// Prefill, of one sequence or of several at once: the weights are read once for all of them. Sequences must differ. Fills logits
  /// [extensions, vocab] of each one's last row unless null. False when cancelled: every sequence is as it was before.
  /// Throws kContextFull or kMemory before touching anything when the rows do not fit.
  virtual bool append(const std::vector<Extension>& extensions, float* logits, const Cancelled& cancelled) = 0;
  bool append(int sequence, const std::vector<Piece>& pieces, float* logits, const Cancelled& cancelled) {
    return append({{sequence, pieces}}, logits, cancelled);
  }

  static constexpr int kMaxBatch = 8;

  /// One decode step for 1..kMaxBatch sequences at once; logits [count, vocab]. Throws kMemory before touching any of them.
  virtual void step(const int* sequences, const int32_t* ids, int count, float* logits) = 0;

  /// Bytes of each id, and the ids that have some, sorted by them: what a constraint is followed through. Told once, before the first decode();
  /// who does not choose under constraints does not listen.
  virtual void set_vocabulary(const std::vector<std::vector<uint8_t>>& /*bytes*/, const std::vector<int32_t>& /*sorted*/) {}

  /// The decode step of the engine: a step after which sequence i is told as choices[i], or, where that is Choice::kByCaller, as row i of the logits
  /// [count, vocab]; what is in the other rows is of no matter. Here candidates are chosen from, and constraints left to the caller. A backend whose
  /// logits are far from the caller overrides it and chooses where the logits are.
  virtual void decode(const int* sequences, const int32_t* ids, const Chooser* choosers, int count, float* logits, Choice* choices);

  /// For tests: sees every intermediate with the names of Reference (model/reference.h). Empty switches it off.
  virtual void set_probe(Probe probe) = 0;
};

/// The backends this binary has, best first.
struct BackendInfo {
  std::string name;
  bool available;
  std::string reason;  // why not
};
std::vector<BackendInfo> backends();

/// Loads `package` on the backend of that name. Throws kBackend with the reason when it is not there, kMemory before allocating too much.
std::unique_ptr<Backend> create_backend(const std::string& name, std::shared_ptr<const Package> package, const BackendOptions& options,
                                        const Progress& progress);

}  // namespace mipha
