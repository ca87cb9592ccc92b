// The text that stands for a graph and for what an engine holds:
//   input NAME TYPE SIZE...      TYPE is f32 or i32, −1 is a size that depends on the profile
//   output NAME TYPE SIZE...     the shape of the first input, twice its numbers
//   profile NAME LEAST... USUAL... MOST...   one input of the profile being described; `next_profile` begins another (plans only)
//   refuse WORDS                 the parser refuses the graph
//   unbuildable WORDS            the builder logs and records the words and gives no plan
//   out_of_memory                the builder fails for want of memory
//   unrunnable WORDS             the engine logs the words and does not run
#pragma once

#include <NvInfer.h>

#include <map>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

namespace fake {

struct Tensor final : nvinfer1::ITensor {
  std::string name;
  bool input = false;
  nvinfer1::DataType type = nvinfer1::DataType::kFLOAT;
  nvinfer1::Dims dims{};
  const char* getName() const noexcept override { return name.c_str(); }
};

struct Range {
  nvinfer1::Dims least{}, usual{}, most{};
};

struct Graph {
  std::string text;
  std::vector<std::shared_ptr<Tensor>> tensors;
  std::map<std::string, std::string> failures;         // "refuse" → words
  std::vector<std::map<std::string, Range>> profiles;  // by input

  explicit Graph(const std::string& source) : text(source) {
    std::istringstream lines(source);
    for (std::string line; std::getline(lines, line);) {
      std::istringstream words(line);
      std::string kind, name;
      words >> kind;
      if (kind == "input" || kind == "output") {
        auto tensor = std::make_shared<Tensor>();
        std::string type;
        words >> tensor->name >> type;
        tensor->input = kind == "input";
        tensor->type = type == "i32" ? nvinfer1::DataType::kINT32 : type == "bool" ? nvinfer1::DataType::kBOOL : nvinfer1::DataType::kFLOAT;
        for (int64_t size; words >> size;) tensor->dims.d[tensor->dims.nbDims++] = size;
        tensors.push_back(tensor);
      } else if (kind == "next_profile") {
        profiles.emplace_back();
      } else if (kind == "profile") {
        words >> name;
        Range& range = profiles.back()[name];
        for (nvinfer1::Dims* dims : {&range.least, &range.usual, &range.most}) {
          dims->nbDims = find(name)->dims.nbDims;
          for (int32_t i = 0; i < dims->nbDims; ++i) words >> dims->d[i];
        }
      } else if (!kind.empty()) {
        std::getline(words >> std::ws, failures[kind]);
      }
    }
  }

  const Tensor* find(const std::string& name) const {
    for (const auto& tensor : tensors) {
      if (tensor->name == name) return tensor.get();
    }
    return nullptr;
  }

  const std::string& first_input() const {
    size_t index = 0;
    while (!tensors[index]->input) ++index;
    return tensors[index]->name;
  }
};

struct Network final : nvinfer1::INetworkDefinition {
  std::unique_ptr<Graph> graph;  // set by the parser
  nvinfer1::NetworkDefinitionCreationFlags flags = 0;

  int32_t getNbInputs() const noexcept override {
    int32_t count = 0;
    for (const auto& tensor : graph->tensors) count += tensor->input ? 1 : 0;
    return count;
  }
  nvinfer1::ITensor* getInput(int32_t index) const noexcept override {
    for (const auto& tensor : graph->tensors) {
      if (tensor->input && index-- == 0) return tensor.get();
    }
    return nullptr;
  }
};

}  // namespace fake
