// Declarations of TensorRT that shim*.cc uses, written for this project's tests: see README.md.
#pragma once

#include <cstddef>
#include <cstdint>

#include "NvInferVersion.h"
#include "cuda_runtime_api.h"

#define NV_TENSORRT_VERSION (NV_TENSORRT_MAJOR * 10000 + NV_TENSORRT_MINOR * 100 + NV_TENSORRT_PATCH)

namespace nvinfer1 {

using AsciiChar = char;

enum class DataType : int32_t { kFLOAT = 0, kHALF = 1, kINT8 = 2, kINT32 = 3, kBOOL = 4 };
enum class ErrorCode : int32_t { kSUCCESS = 0, kINTERNAL_ERROR = 2, kFAILED_ALLOCATION = 5 };
enum class ExecutionContextAllocationStrategy : int32_t { kSTATIC = 0, kON_PROFILE_CHANGE = 1, kUSER_MANAGED = 2 };
enum class MemoryPoolType : int32_t { kWORKSPACE = 0 };
enum class OptProfileSelector : int32_t { kMIN = 0, kOPT = 1, kMAX = 2 };
enum class TensorIOMode : int32_t { kNONE = 0, kINPUT = 1, kOUTPUT = 2 };
enum class TensorLocation : int32_t { kDEVICE = 0, kHOST = 1 };

using NetworkDefinitionCreationFlags = uint32_t;
#if STUB_TENSORRT_MAJOR < 11
enum class NetworkDefinitionCreationFlag : int32_t { kSTRONGLY_TYPED = 1 };
#else
enum class NetworkDefinitionCreationFlag : int32_t { kSTRONGLY_TYPED [[deprecated]] = 0 };
#endif

struct Dims {
  static constexpr int32_t MAX_DIMS = 8;
  int32_t nbDims;
  int64_t d[MAX_DIMS];
};

struct InterfaceInfo {
  const AsciiChar* kind;
  int32_t major, minor;
};

class IVersionedInterface {
 public:
  virtual InterfaceInfo getInterfaceInfo() const noexcept = 0;
  virtual ~IVersionedInterface() noexcept = default;
};

#if STUB_TENSORRT_MAJOR < 11
class ILogger {
#else
class ILogger : public IVersionedInterface {
#endif
 public:
  enum class Severity : int32_t { kINTERNAL_ERROR = 0, kERROR = 1, kWARNING = 2, kINFO = 3, kVERBOSE = 4 };
  virtual void log(Severity severity, const AsciiChar* message) noexcept = 0;
#if STUB_TENSORRT_MAJOR < 11
  virtual ~ILogger() = default;
#else
  InterfaceInfo getInterfaceInfo() const noexcept override {
    return {"ILogger", 1, 0};
  }
#endif
};

class IErrorRecorder : public IVersionedInterface {
 public:
  using ErrorDesc = const char*;
  using RefCount = int32_t;
  InterfaceInfo getInterfaceInfo() const noexcept override { return {"IErrorRecorder", 1, 0}; }
  virtual int32_t getNbErrors() const noexcept = 0;
  virtual ErrorCode getErrorCode(int32_t index) const noexcept = 0;
  virtual ErrorDesc getErrorDesc(int32_t index) const noexcept = 0;
  virtual bool hasOverflowed() const noexcept = 0;
  virtual void clear() noexcept = 0;
  virtual bool reportError(ErrorCode code, ErrorDesc text) noexcept = 0;
  virtual RefCount incRefCount() noexcept = 0;
  virtual RefCount decRefCount() noexcept = 0;
};

class IProgressMonitor : public IVersionedInterface {
 public:
  InterfaceInfo getInterfaceInfo() const noexcept override { return {"IProgressMonitor", 1, 0}; }
  virtual void phaseStart(const char* name, const char* parent, int32_t steps) noexcept = 0;
  virtual bool stepComplete(const char* name, int32_t step) noexcept = 0;
  virtual void phaseFinish(const char* name) noexcept = 0;
};

class IHostMemory {
 public:
  virtual ~IHostMemory() noexcept = default;
  virtual void* data() const noexcept = 0;
  virtual size_t size() const noexcept = 0;
};

class ITimingCache {
 public:
  virtual ~ITimingCache() noexcept = default;
  virtual IHostMemory* serialize() const noexcept = 0;
};

class ITensor {
 public:
  virtual ~ITensor() noexcept = default;
  virtual const char* getName() const noexcept = 0;
};

class INetworkDefinition {
 public:
  virtual ~INetworkDefinition() noexcept = default;
  virtual int32_t getNbInputs() const noexcept = 0;
  virtual ITensor* getInput(int32_t index) const noexcept = 0;
};

class IOptimizationProfile {
 public:
  virtual ~IOptimizationProfile() noexcept = default;
  virtual bool setDimensions(const char* input, OptProfileSelector select, const Dims& dims) noexcept = 0;
};

class IBuilderConfig {
 public:
  virtual ~IBuilderConfig() noexcept = default;
  virtual void setMemoryPoolLimit(MemoryPoolType pool, size_t bytes) noexcept = 0;
  virtual void setBuilderOptimizationLevel(int32_t level) noexcept = 0;
  virtual void setProgressMonitor(IProgressMonitor* monitor) noexcept = 0;
  virtual int32_t addOptimizationProfile(const IOptimizationProfile* profile) noexcept = 0;
  virtual int32_t getNbOptimizationProfiles() const noexcept = 0;
  virtual ITimingCache* createTimingCache(const void* blob, size_t bytes) const noexcept = 0;
  virtual bool setTimingCache(const ITimingCache& cache, bool ignore_mismatch) noexcept = 0;
};

class IBuilder {
 public:
  virtual ~IBuilder() noexcept = default;
  virtual void setErrorRecorder(IErrorRecorder* recorder) noexcept = 0;
  virtual INetworkDefinition* createNetworkV2(NetworkDefinitionCreationFlags flags) noexcept = 0;
  virtual IBuilderConfig* createBuilderConfig() noexcept = 0;
  virtual IOptimizationProfile* createOptimizationProfile() noexcept = 0;
  virtual IHostMemory* buildSerializedNetwork(INetworkDefinition& network, IBuilderConfig& config) noexcept = 0;
};

class IExecutionContext {
 public:
  virtual ~IExecutionContext() noexcept = default;
  virtual bool setOptimizationProfileAsync(int32_t index, cudaStream_t stream) noexcept = 0;
  virtual bool setInputShape(const char* name, const Dims& dims) noexcept = 0;
  virtual bool setTensorAddress(const char* name, void* data) noexcept = 0;
  virtual Dims getTensorShape(const char* name) const noexcept = 0;
  virtual void setDeviceMemoryV2(void* memory, int64_t bytes) noexcept = 0;
  virtual bool enqueueV3(cudaStream_t stream) noexcept = 0;
};

class ICudaEngine {
 public:
  virtual ~ICudaEngine() noexcept = default;
  virtual int32_t getNbIOTensors() const noexcept = 0;
  virtual const char* getIOTensorName(int32_t index) const noexcept = 0;
  virtual TensorIOMode getTensorIOMode(const char* name) const noexcept = 0;
  virtual DataType getTensorDataType(const char* name) const noexcept = 0;
  virtual Dims getTensorShape(const char* name) const noexcept = 0;
  virtual TensorLocation getTensorLocation(const char* name) const noexcept = 0;
  virtual int32_t getNbOptimizationProfiles() const noexcept = 0;
  virtual Dims getProfileShape(const char* name, int32_t profile, OptProfileSelector select) const noexcept = 0;
  virtual int64_t getDeviceMemorySizeV2() const noexcept = 0;
  virtual int64_t getDeviceMemorySizeForProfileV2(int32_t profile) const noexcept = 0;
  virtual IExecutionContext* createExecutionContext(ExecutionContextAllocationStrategy strategy) noexcept = 0;
};

class IRuntime {
 public:
  virtual ~IRuntime() noexcept = default;
  virtual void setErrorRecorder(IErrorRecorder* recorder) noexcept = 0;
  virtual ICudaEngine* deserializeCudaEngine(const void* blob, size_t bytes) noexcept = 0;
};

}  // namespace nvinfer1
