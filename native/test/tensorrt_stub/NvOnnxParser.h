// Declarations of TensorRT's ONNX parser that shim*.cc uses, written for this project's tests: see README.md.
#pragma once

#include "NvInfer.h"

#define NV_ONNX_PARSER_VERSION 100

namespace nvonnxparser {

class IParserError {
 public:
  virtual const char* desc() const = 0;
  virtual int node() const = 0;
  virtual const char* nodeName() const = 0;
  virtual const char* nodeOperator() const = 0;

 protected:
  virtual ~IParserError() = default;
};

class IParser {
 public:
  virtual ~IParser() noexcept = default;
  virtual bool parseFromFile(const char* file, int verbosity) noexcept = 0;
  virtual int getNbErrors() const noexcept = 0;
  virtual const IParserError* getError(int index) const noexcept = 0;
};

}  // namespace nvonnxparser
