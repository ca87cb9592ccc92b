#include "backend/library_file.h"

#include <dlfcn.h>

#include <cstdlib>

namespace mipha {

std::string library_file(const char* variable, const char* file) {
  if (const char* const named = std::getenv(variable); named != nullptr && *named != '\0') return named;
  Dl_info here = {};
  dladdr(reinterpret_cast<const void*>(&library_file), &here);
  const std::string program = here.dli_fname == nullptr ? "" : here.dli_fname;
  return program.substr(0, program.rfind('/') + 1) + file;
}

}  // namespace mipha
