/// Work of streams as a graph of what must come before what. It runs as late as CUDA allows: when somebody waits, ready work in any order.
#pragma once

#include <cuda_runtime_api.h>

#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace mipha::machine {

struct Node {
  std::string what;  // kernel's name, or the kind of copy: compared when a graph is updated
  std::function<void()> run;
  std::vector<std::shared_ptr<Node>> after;
  bool done = false;
};
using NodePointer = std::shared_ptr<Node>;
struct Graph {
  std::vector<NodePointer> nodes;  // each behind those it comes after
  cudaStream_t origin = nullptr;
};

/// Every entry point holds it: one thread at a time.
struct Entry {
  Entry();
  std::unique_lock<std::recursive_mutex> lock;
};
/// Remembers an error for cudaGetLastError and hands it on.
cudaError_t result(cudaError_t error);
/// The error that stays after a fault; cudaSuccess without.
cudaError_t sticky();
/// The first fault since the last report; cudaGetErrorString has it too.
const std::string& report();
/// Words for an error that the machine alone gives.
void refuse(const std::string& words);
/// That of the last failed call; with `forget`, not a second time, unless it stays.
cudaError_t last_error(bool forget);

cudaError_t enqueue(cudaStream_t stream, std::string what, std::function<void()> run);
cudaError_t wait_for(const NodePointer& node);
cudaError_t wait_for_all();
/// Runs a node and what it comes after.
void visit(const NodePointer& node);
bool is_capturing();

}  // namespace mipha::machine

/// The runtime's opaque types, ours.
struct CUstream_st {
  mipha::machine::NodePointer last;
  std::vector<mipha::machine::NodePointer> waits;  // events that the next operation comes after
  std::shared_ptr<mipha::machine::Graph> capture;
};
struct CUevent_st {
  mipha::machine::NodePointer node;
  std::shared_ptr<mipha::machine::Graph> capture;
};
struct CUgraph_st {
  std::shared_ptr<mipha::machine::Graph> graph;
};
struct CUgraphExec_st {
  std::shared_ptr<mipha::machine::Graph> graph;
};

namespace mipha::machine {

CUstream_st& stream_of(cudaStream_t stream);  // null: the default stream
/// What the stream has come to; waits become a node of their own.
NodePointer end_of(CUstream_st& stream);
std::vector<cudaStream_t>& streams();
int& captures();

}  // namespace mipha::machine
