// The one exception type of the native code. The addon turns it into a MiphaError with the same code.
#pragma once

#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace mipha {

enum class Code {
  kOption,        // ERR_OPTION: an argument out of range
  kModelMissing,  // ERR_MODEL_MISSING: a file of the package is absent
  kModelFormat,   // ERR_MODEL_FORMAT: bad header, name, shape, type or value
  kBackend,       // ERR_BACKEND_UNAVAILABLE: this machine lacks what was asked for
  kMemory,        // ERR_MEMORY: details neededBytes, availableBytes
  kDevice,        // ERR_DEVICE: the accelerator or its library failed; what runs on it is dead
  kSelfTest,      // ERR_SELF_TEST: what was computed is not what the package says
  kImage,         // ERR_IMAGE: size, stride or format of a picture
  kContextFull,   // ERR_CONTEXT_FULL: details neededTokens, availableTokens
  kDisposed,      // ERR_DISPOSED: a handle was used after it was released
  kBusy,          // ERR_BUSY: a second question on a conversation that is still answering
  kInternal,      // ERR_INTERNAL: a broken invariant, never the caller's fault
};

/// Stable name of a code as seen by TypeScript, e.g. "ERR_MEMORY".
const char* code_name(Code code);

class Error : public std::runtime_error {
 public:
  /// Named numbers that a program can act on, e.g. {"neededBytes", 3.2e9}.
  using Details = std::vector<std::pair<std::string, double>>;

  Error(Code code, const std::string& message, Details details = {}) : std::runtime_error(message), code(code), details(std::move(details)) {}

  const Code code;
  const Details details;
};

/// The exception under way, kInternal (or kMemory when an allocation failed) unless it is an Error already. Call it inside a catch block.
std::shared_ptr<const Error> current_error();

}  // namespace mipha
