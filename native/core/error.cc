#include "core/error.h"

#include <new>

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
    case Code::kDevice:
      return "ERR_DEVICE";
    case Code::kSelfTest:
      return "ERR_SELF_TEST";
    case Code::kImage:
      return "ERR_IMAGE";
    case Code::kContextFull:
      return "ERR_CONTEXT_FULL";
    case Code::kDisposed:
      return "ERR_DISPOSED";
    case Code::kBusy:
      return "ERR_BUSY";
    case Code::kInternal:
      break;
  }
  return "ERR_INTERNAL";
}

std::shared_ptr<const Error> current_error() {
  try {
    throw;
  } catch (const Error& error) {
    return std::make_shared<const Error>(error);
  } catch (const std::bad_alloc&) {
    return std::make_shared<const Error>(Code::kMemory, "the system has no memory left");
  } catch (const std::exception& error) {
    return std::make_shared<const Error>(Code::kInternal, error.what());
  } catch (...) {
    return std::make_shared<const Error>(Code::kInternal, "an unknown exception");
  }
}

}  // namespace mipha
