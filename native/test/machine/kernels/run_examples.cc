/// Runs the examples whose names begin with the argument; the first that is wrong ends it with its words and status 1.
#include <cstdio>
#include <exception>

#include "test/machine/buffer.h"
#include "test/machine/kernels/examples.h"

int main(int count, char** arguments) {
  const std::string wanted = count > 1 ? arguments[1] : "";
  int run = 0;
  try {
    const mipha::machine::Stream stream;
    for (const auto& example : mipha::machine::kernels::examples()) {
      if (example.name.compare(0, wanted.size(), wanted) != 0) continue;
      ++run;
      const std::string wrong = example.check(stream);
      if (wrong.empty()) continue;
      std::printf("%s: %s\n", example.name.c_str(), wrong.c_str());
      return 1;
    }
  } catch (const std::exception& error) {
    std::printf("%s\n", error.what());
    return 1;
  }
  std::printf("%d examples\n", run);
  return run == 0;
}
