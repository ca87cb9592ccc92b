// Declarations of TensorRT that shim*.cc uses, written for this project's tests: see README.md.
#pragma once

#ifndef STUB_TENSORRT_MAJOR
#define STUB_TENSORRT_MAJOR 10
#endif

#define NV_TENSORRT_MAJOR STUB_TENSORRT_MAJOR
#define NV_TENSORRT_MINOR 3
#define NV_TENSORRT_PATCH 0
#define NV_TENSORRT_BUILD 26
