/// Capture of streams into graphs, and graphs as one operation of a stream.
#include <algorithm>
#include <unordered_map>
#include <unordered_set>

#include "test/machine/streams.h"

using namespace mipha::machine;

namespace {

/// Everything that `from` comes after, itself included.
size_t count_behind(const NodePointer& from) {
  std::unordered_set<const Node*> found;
  std::vector<NodePointer> open;
  if (from) open.push_back(from);
  while (!open.empty()) {
    const NodePointer node = open.back();
    open.pop_back();
    if (found.insert(node.get()).second) open.insert(open.end(), node->after.begin(), node->after.end());
  }
  return found.size();
}

/// A graph is captured once and runs often: each time as copies of its nodes.
void run_graph(const Graph& graph) {
  std::unordered_map<const Node*, NodePointer> copies;
  auto all = std::make_shared<Node>();
  all->run = [] {};
  for (const NodePointer& node : graph.nodes) {
    auto copy = std::make_shared<Node>();
    copy->run = node->run;
    for (const NodePointer& before : node->after) copy->after.push_back(copies.at(before.get()));
    all->after.push_back(copies[node.get()] = copy);
  }
  visit(all);
}

/// The same kinds of nodes in the same order, coming after the same.
bool same_shape(const Graph& a, const Graph& b) {
  if (a.nodes.size() != b.nodes.size()) return false;
  std::unordered_map<const Node*, size_t> at_a, at_b;
  for (size_t i = 0; i < a.nodes.size(); ++i) {
    at_a[a.nodes[i].get()] = at_b[b.nodes[i].get()] = i;
    const auto &before_a = a.nodes[i]->after, &before_b = b.nodes[i]->after;
    const auto same = [&](const NodePointer& x, const NodePointer& y) { return at_a.at(x.get()) == at_b.at(y.get()); };
    if (a.nodes[i]->what != b.nodes[i]->what || !std::equal(before_a.begin(), before_a.end(), before_b.begin(), before_b.end(), same)) return false;
  }
  return true;
}

}  // namespace

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode) {
  const Entry held;
  if (stream == nullptr) return result(cudaErrorStreamCaptureImplicit);
  if (stream->capture) return result(cudaErrorIllegalState);
  wait_for(end_of(*stream));
  stream->capture = std::make_shared<Graph>();
  stream->capture->origin = stream;
  stream->last = nullptr;
  ++captures();
  return result(sticky());
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  const Entry held;
  *graph = nullptr;
  if (!stream->capture) return result(cudaErrorIllegalState);
  if (stream->capture->origin != stream) return result(cudaErrorStreamCaptureUnmatched);
  const size_t joined = count_behind(end_of(*stream));
  const auto captured = stream->capture;
  for (cudaStream_t other : streams()) {
    if (other->capture != captured) continue;
    other->capture = nullptr;
    other->last = nullptr;
    other->waits.clear();
  }
  --captures();
  if (joined != captured->nodes.size()) return result(cudaErrorStreamCaptureUnjoined);
  *graph = new CUgraph_st{captured};
  return result(sticky());
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t* exec, cudaGraph_t graph, unsigned long long) {
  const Entry held;
  *exec = new CUgraphExec_st{graph->graph};
  return result(sticky());
}

cudaError_t cudaGraphExecUpdate(cudaGraphExec_t exec, cudaGraph_t graph, cudaGraphExecUpdateResultInfo* info) {
  const Entry held;
  const bool same = same_shape(*exec->graph, *graph->graph);
  *info = {};
  info->result = same ? cudaGraphExecUpdateSuccess : cudaGraphExecUpdateErrorTopologyChanged;
  if (same) exec->graph = graph->graph;
  return result(same ? cudaSuccess : cudaErrorGraphExecUpdateFailure);
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream) {
  const Entry held;
  if (stream_of(stream).capture) {
    refuse("graphs within graphs are not modelled");
    return result(cudaErrorNotSupported);
  }
  return result(enqueue(stream, "graph", [graph = exec->graph] { run_graph(*graph); }));
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  const Entry held;
  delete graph;
  return cudaSuccess;
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec) {
  const Entry held;
  delete exec;
  return cudaSuccess;
}
