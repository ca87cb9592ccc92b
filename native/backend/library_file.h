// Where the libraries lie that backends load at run time.
#pragma once

#include <string>

namespace mipha {

/// The path in environment variable `variable`, else `file` beside the program or addon that this code is part of. It need not be there.
std::string library_file(const char* variable, const char* file);

}  // namespace mipha
