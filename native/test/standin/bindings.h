// What the tensors of an engine are bound to, checked as a device would never do it: shapes, addresses, bounds, overlaps, values.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "test/standin/device.h"
#include "test/standin/plan.h"
#include "test/standin/segment.h"

namespace mipha::standin {

/// All three throw Failure with MIPHA_TRT_ARGUMENT.

/// An input with a shape that the profile has, or an output without (`dims` null).
Binding bind(const Plan& plan, int profile, const std::string& name, const int64_t* dims, int count, void* address);

/// `bound` with the shapes of outputs filled in: everything is there, inside one allocation, aligned, and apart from the rest.
Bindings complete(const Plan& plan, Bindings bound, const Device& device);

/// No input (or output) holds a NaN or an infinity.
void check_finite(const Plan& plan, const Bindings& bindings, bool input);

}  // namespace mipha::standin
