// The safetensors container: an 8-byte little-endian length, a JSON header, then the tensors' bytes.
// Source of the layout and limits: the format's README at github.com/huggingface/safetensors.
#pragma once

#include <cstddef>
#include <map>
#include <string>

#include "model/weights.h"

namespace mipha {

constexpr size_t kMaxSafetensorsHeader = 100'000'000;  // bytes

/// Tensor name → view into `data`, which must outlive it. Only I8, F16 and F32 are known here.
/// Throws kModelFormat naming `what` (a path) and the tensor: bad header, unknown type, bytes that do not match the shape, that lie outside
/// the file, overlap, or are not aligned to their type.
std::map<std::string, Tensor> read_safetensors(const std::byte* data, size_t bytes, const std::string& what);

}  // namespace mipha
