// The CUDA library as the rest of the program sees it: one table of functions behind one symbol. mipha_cuda.so implements it and is the only thing
// that links CUDA. Both sides are built from the same sources: plain structs of model/ cross as they are, and `sizes` tells when they are not the
// same.
//
// Nothing here throws: functions return kOk or the Code of what went wrong, and then `failure` says it in words. One thread calls at a time. After
// Code::kDevice an engine can only be closed.
#pragma once

#include <cstddef>
#include <cstdint>

#include "backend/chooser.h"
#include "core/error.h"
#include "model/config.h"
#include "model/image.h"
#include "model/weights.h"

namespace mipha::cuda {

constexpr int32_t kInterfaceVersion = 1;
constexpr int kMostParts = 8;

/// kOk, or 1 + a Code of core/error.h.
using Status = int32_t;
constexpr Status kOk = 0;
constexpr Status status_of(Code code) {
  return 1 + static_cast<Status>(code);
}

struct Failure {
  char words[512];
  double needed_bytes, available_bytes;
};

struct Facts {
  char gpu[128];               // "Orin"
  char built[128];             // what the library has code for: "sm_87 sm_90 compute_80"
  int32_t compute_capability;  // 87: major * 10 + minor
  int32_t runtime, driver;     // 13000: as cudaRuntimeGetVersion and cudaDriverGetVersion say it
  int32_t integrated;          // 1: shares the memory of the CPU, as on Jetson
  int32_t processors;          // multiprocessors
  int64_t total_bytes, free_bytes;
};

/// Weights with lists as pointers; config says how long they are.
struct WeightsView {
  Linear patch_embedding;
  const BlockOf<Linear>* tower;
  const Linear* projector;
  const BlockOf<Linear>* decoder;
  Linear head, embedding;
  const float *position_embedding, *prefix, *pooling, *pooling_bias;
  Norm pre_norm, final_norm;
};

struct Part {
  char name[16];
  int64_t bytes;
};

/// Calls back while something long goes on; `user` is handed through. Other than 0 ends it with Code::kDisposed.
using Ask = int (*)(void* user);
using Told = int (*)(void* user, const char* stage, double fraction);
/// These bytes of the package are on the device now.
using Release = void (*)(void* user, const void* data, size_t bytes);
/// An intermediate, names as in model/reference.h.
using Seen = void (*)(void* user, const char* name, const float* data, int32_t rows, int32_t columns);

struct OpenRequest {
  const Config* config;
  const WeightsView* weights;
  const float *cosine, *sine;  // [context, rotary_dims / 2] of the decoder
  int32_t cache_blocks;        // of 32 rows
  int32_t max_rows;            // of one append
  int64_t available_bytes;     // on a device that shares the CPU's memory: what the system could give; 0: ask the device alone
  Told progress;
  Release release;
  void* user;
};

/// New rows of some sequences, at places behind what these hold.
struct Batch {
  int32_t count;             // 1..max_rows
  const int32_t* ids;        // [count]; below 0: feature −1 − id of the last picture
  const int32_t* positions;  // [count]
  const int32_t* tables;     // [count] row of `blocks`; rows of one sequence stand together
  int32_t table_count;
  const int32_t* blocks;  // [table_count, blocks of a context]
  int32_t answers;        // rows whose logits are wanted, at most 8
  const int32_t* answer;  // [answers] which
  float* logits;          // [answers, vocab]
};

/// A Choice of backend/chooser.h.
struct Chosen {
  int32_t id;
  float margin;
  int32_t state;
  float share;
  int32_t last;
};

constexpr int kMostStops = 16, kMostGroups = 3072;

/// A Chooser of backend/chooser.h: by list `list` of candidates, under constraint `constraint`, or, with neither, by the caller.
struct StepChooser {
  int32_t list;        // slot, or −1
  int32_t constraint;  // slot, or −1
  int32_t state;
  int32_t tokens_left;
  int32_t stop_count;
  int32_t stops[kMostStops];
};

struct Step {
  int32_t count;                // 1..8
  const int32_t* ids;           // [count] tokens
  const int32_t* positions;     // [count]
  const int32_t* blocks;        // [count, blocks of a context]
  const StepChooser* choosers;  // [count]
  int32_t ahead;                // steps of the same sequences that may be computed before they are asked for: rows for them are in `blocks`
  float* logits;                // [count, vocab]; only rows that the caller chooses by are written
  Chosen* chosen;               // [count]; the other ones
};

/// The ids that have bytes, sorted by these: token i is ids[i], of bytes [begins[i], begins[i + 1]).
struct VocabularyView {
  const uint8_t* bytes;
  const uint32_t* begins;  // [count + 1]
  const int32_t* ids;      // [count]
  int32_t count;           // at most the model's
};

/// A Constraint of backend/chooser.h with numbered groups: −1, 0, or below `groups`, which is at most kMostGroups.
struct ConstraintView {
  const uint8_t* column;  // [256]
  const int32_t* next;    // [states, columns]
  const int32_t *group, *ends;
  const uint8_t *accepting, *decided;
  int32_t states, columns, groups;

  size_t bytes() const { return (size_t{4} * states * (columns + 2) + 256 + size_t{2} * states + 255) / 256 * 256; }
};

constexpr int kCandidateLists = 8;  // as many as sequences: those of one step never displace each other
constexpr int kConstraints = 16;
constexpr size_t kConstraintBytes = size_t{8} << 20;  // all of them together
constexpr size_t kWordBytes = 16;                     // for each id of the vocabulary: what its bytes may take on average

/// How steps came about.
struct StepCounts {
  int64_t steps;      // that were asked for
  int64_t continued;  // of these: on inputs that the device had made itself
  int64_t ahead;      // of these: launched before they were asked for
  int64_t forgotten;  // launched and never asked for
};

struct Engine;  // a model on a device

/// Of what crosses: two builds that disagree must not meet.
struct Sizes {
  uint32_t config, linear, block, weights, request, image, batch, step, chooser, chosen, constraint, facts;
};
constexpr Sizes kSizes = {sizeof(Config), sizeof(Linear), sizeof(BlockOf<Linear>), sizeof(WeightsView), sizeof(OpenRequest),    sizeof(Image),
                          sizeof(Batch),  sizeof(Step),   sizeof(StepChooser),     sizeof(Chosen),      sizeof(ConstraintView), sizeof(Facts)};

struct Table {
  int32_t version;  // kInterfaceVersion
  Sizes sizes;      // kSizes

  Status (*facts)(Facts* out, Failure* failure);

  /// Plans all memory, takes it, uploads the weights. Code::kMemory before anything is taken.
  Status (*open)(const OpenRequest* request, Engine** out, Failure* failure);
  void (*close)(Engine* engine);
  int32_t (*memory)(const Engine* engine, Part* parts);  // how many of kMostParts
  void (*set_probe)(Engine* engine, Seen seen, void* user);

  /// Whether resize() takes this picture: 0 for one larger than the memory taken for pictures.
  int32_t (*fits)(Engine* engine, const Image* image);
  /// What encode() sees next: a picture that has passed check(), or pixels uint8 [image_size, image_size, 3] that are resized already.
  Status (*resize)(Engine* engine, const Image* image, Failure* failure);
  Status (*set_pixels)(Engine* engine, const uint8_t* pixels, Failure* failure);
  /// → features, kept inside.
  Status (*encode)(Engine* engine, Ask cancelled, void* user, Failure* failure);
  /// Code::kDisposed: the rows are not there.
  Status (*append)(Engine* engine, const Batch* batch, Ask cancelled, void* user, Failure* failure);
  Status (*candidates)(Engine* engine, int32_t slot, const int32_t* ids, int32_t count, Failure* failure);
  /// Bytes of more than kWordBytes for each id of the model are Code::kOption.
  Status (*vocabulary)(Engine* engine, const VocabularyView* vocabulary, Failure* failure);
  /// Into `slot`, at `offset` of kConstraintBytes, a multiple of 256. Needs a vocabulary.
  Status (*constraint)(Engine* engine, int32_t slot, size_t offset, const ConstraintView* constraint, Failure* failure);
  Status (*step)(Engine* engine, const Step* step, Failure* failure);
  void (*step_counts)(const Engine* engine, StepCounts* counts);
  Status (*copy_block)(Engine* engine, int32_t from, int32_t to, Failure* failure);
};

constexpr const char* kInterfaceSymbol = "mipha_cuda_interface";

}  // namespace mipha::cuda

extern "C" const mipha::cuda::Table* mipha_cuda_interface();
