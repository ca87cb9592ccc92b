// libstdc++, which is linked statically, would ask glibc 2.36 for arc4random on behalf of std::random_device, which nothing here uses. Without it
// glibc 2.35 does, that of Ubuntu 22.04 and JetPack 6.
#include <cstdint>
#include <cstdlib>

extern "C" uint32_t arc4random() noexcept {
  std::abort();
}
