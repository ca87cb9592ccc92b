// A build of the stand-in: reads a graph, checks what TensorRT would check, writes a plan.
#pragma once

#include "backend/tensorrt/interface.h"

namespace mipha::standin {

/// "10.3.0.30" and "Orin", unless the environment says otherwise.
const char* const kTensorRt = "10.3.0.30";
const char* const kGpu = "Orin";

/// Throws Failure.
void build(const mipha_trt_build& what, mipha_trt_progress progress, void* user);

}  // namespace mipha::standin
