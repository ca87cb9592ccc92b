// A parser of the text format of fake_graph.h.
#include <NvOnnxParser.h>

#include <fstream>
#include <iterator>
#include <memory>
#include <string>

#include "fake_graph.h"

namespace {

struct Error final : nvonnxparser::IParserError {
  std::string words;
  const char* desc() const override { return words.c_str(); }
  int node() const override { return 3; }
  const char* nodeName() const override { return "layer.0.up"; }
  const char* nodeOperator() const override { return "MatMul"; }
};

struct Parser final : nvonnxparser::IParser {
  fake::Network& network;
  nvinfer1::ILogger& logger;
  std::unique_ptr<Error> error;

  Parser(fake::Network& network, nvinfer1::ILogger& logger) : network(network), logger(logger) {}

  bool parseFromFile(const char* file, int) noexcept override {
    std::ifstream in(file);
    network.graph = std::make_unique<fake::Graph>(std::string(std::istreambuf_iterator<char>(in), {}));
    if (!in) {
      logger.log(nvinfer1::ILogger::Severity::kERROR, ("Could not open file " + std::string(file)).c_str());
      return false;
    }
    const auto refused = network.graph->failures.find("refuse");
    if (refused == network.graph->failures.end()) return true;
    error = std::make_unique<Error>();
    error->words = refused->second;
    return false;
  }
  int getNbErrors() const noexcept override { return error == nullptr ? 0 : 1; }
  const nvonnxparser::IParserError* getError(int) const noexcept override { return error.get(); }
};

}  // namespace

extern "C" void* createNvOnnxParser_INTERNAL(void* network, void* logger, int version) noexcept {
  if (version != NV_ONNX_PARSER_VERSION) return nullptr;
  auto* const parsed = static_cast<fake::Network*>(static_cast<nvinfer1::INetworkDefinition*>(network));
  return static_cast<nvonnxparser::IParser*>(new Parser(*parsed, *static_cast<nvinfer1::ILogger*>(logger)));
}
