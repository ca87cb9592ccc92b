/// Kernels of the machine's own tests by name; all take pointers only.
#pragma once

#include <cuda_runtime_api.h>

#include <stdexcept>
#include <string>
#include <vector>

namespace mipha::machine::kernels {

struct Named {
  const char* name;
  const void* function;
};
std::vector<Named> operation_kernels();
std::vector<Named> memory_kernels();
std::vector<Named> faulty_kernels();

template <class... Pointers>
cudaError_t launch(const std::string& name, dim3 grid, dim3 block, cudaStream_t stream, Pointers*... pointers) {
  void* arguments[] = {static_cast<void*>(&pointers)..., nullptr};
  for (const auto& list : {operation_kernels(), memory_kernels(), faulty_kernels()}) {
    for (const Named& kernel : list) {
      if (kernel.name == name) return cudaLaunchKernel(kernel.function, grid, block, arguments, 4096, stream);
    }
  }
  throw std::invalid_argument(name);
}

}  // namespace mipha::machine::kernels
