#include "core/error.h"

namespace mipha {

const char* code_name(Code code) {
  switch (code) {
    case Code::kOption:
      return "ERR_OPTION";
    case Code::kModelMissing:
      return "ERR_MODEL_MISSING";
    case Code::kModelFormat:
      return "ERR_MODEL_FORMAT";
    case Code::kBackend:
      return "ERR_BACKEND_UNAVAILABLE";
    case Code::kMemory:
      return "ERR_MEMORY";
    case Code::kImage:
      return "ERR_IMAGE";
    case Code::kContextFull:
      return "ERR_CONTEXT_FULL";
    case Code::kDisposed:
      return "ERR_DISPOSED";
    case Code::kInternal:
      break;
  }
  return "ERR_INTERNAL";
}

}  // namespace mipha
