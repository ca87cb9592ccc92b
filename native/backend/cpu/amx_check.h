// Whether this machine's tiles can be relied on.
#pragma once

namespace mipha::cpu {

/// Multiplies tiles of this thread, which sleeps some milliseconds between its products, and compares the sums with plain loops. False also where a
/// kernel or a hypervisor loses tiles when it switches threads: nothing else would tell, and answers would be wrong without an error.
/// The processor must have AMX-INT8 and the process the permission to use it.
bool amx_is_right();

}  // namespace mipha::cpu
