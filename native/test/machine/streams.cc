#include "test/machine/streams.h"

#include <algorithm>
#include <utility>

#include "test/machine/execution.h"
#include "test/machine/machine.h"

namespace mipha::machine {
namespace {

struct Errors {
  cudaError_t last = cudaSuccess, sticky = cudaSuccess;
  std::string report;
};
Errors errors;
std::recursive_mutex entry;

}  // namespace

Entry::Entry() : lock(entry) {}

cudaError_t result(cudaError_t error) {
  if (error != cudaSuccess) errors.last = error;
  return error;
}
cudaError_t sticky() {
  return errors.sticky;
}
const std::string& report() {
  return errors.report;
}
void refuse(const std::string& words) {
  errors.report = words;
}
cudaError_t last_error(bool forget) {
  return forget ? std::exchange(errors.last, errors.sticky) : errors.last;
}

std::string take_report() {
  const Entry held;
  if (sticky() != cudaSuccess) wait_for_all();  // what was queued behind the fault is given up
  errors.last = errors.sticky = cudaSuccess;
  return std::exchange(errors.report, "");
}

std::vector<cudaStream_t>& streams() {
  static CUstream_st standard;
  static std::vector<cudaStream_t> all{&standard};
  return all;
}
CUstream_st& stream_of(cudaStream_t stream) {
  return stream == nullptr ? *streams().front() : *stream;
}
int& captures() {
  static int count = 0;
  return count;
}
bool is_capturing() {
  return captures() > 0;
}

cudaError_t enqueue(cudaStream_t given, std::string what, std::function<void()> run) {
  if (sticky() != cudaSuccess) return sticky();
  CUstream_st& stream = stream_of(given);
  auto node = std::make_shared<Node>();
  node->what = std::move(what);
  node->run = std::move(run);
  node->after = std::exchange(stream.waits, {});
  if (stream.last) node->after.push_back(stream.last);
  if (stream.capture) stream.capture->nodes.push_back(node);
  stream.last = std::move(node);
  return cudaSuccess;
}

NodePointer end_of(CUstream_st& stream) {
  if (!stream.waits.empty()) enqueue(&stream, "wait", [] {});
  return stream.last;
}

/// Without recursion: streams are long.
void visit(const NodePointer& node) {
  std::vector<NodePointer> path{node};
  while (!path.empty()) {
    const NodePointer at = path.back();
    if (!at->done) {
      std::vector<NodePointer> open;
      std::copy_if(at->after.begin(), at->after.end(), std::back_inserter(open), [](const NodePointer& before) { return !before->done; });
      if (!open.empty()) {
        path.push_back(open[options().seed != 0 ? random_bits() % open.size() : 0]);
        continue;
      }
      const auto run = std::move(at->run);
      at->done = true;
      at->after.clear();
      if (sticky() == cudaSuccess) run();
    }
    path.pop_back();
  }
}

cudaError_t wait_for(const NodePointer& node) {
  if (!node || node->done) return sticky();
  open_device_memory(true);
  try {
    if (options().seed != 0) {  // others may be faster
      for (cudaStream_t stream : streams()) {
        if (!stream->capture && stream->last && random_bits() % 2 == 0) visit(stream->last);
      }
    }
    visit(node);
  } catch (const Fault& fault) {
    errors.sticky = errors.last = cudaErrorLaunchFailure;
    if (errors.report.empty()) errors.report = fault.what();
  }
  open_device_memory(false);
  return sticky();
}

cudaError_t wait_for_all() {
  for (cudaStream_t stream : streams()) {
    if (!stream->capture) wait_for(end_of(*stream));
  }
  return sticky();
}

}  // namespace mipha::machine

using namespace mipha::machine;

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags) {
  const Entry held;
  if (flags != cudaStreamNonBlocking) {
    refuse("streams that wait for the default stream are not modelled: cudaStreamNonBlocking");
    return result(cudaErrorNotSupported);
  }
  streams().push_back(*stream = new CUstream_st);
  return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  const Entry held;
  if (stream_of(stream).capture) return result(cudaErrorStreamCaptureUnsupported);
  return result(wait_for(end_of(stream_of(stream))));
}

/// Nothing is done before somebody waits.
cudaError_t cudaStreamQuery(cudaStream_t stream) {
  const Entry held;
  if (stream_of(stream).capture) return result(cudaErrorStreamCaptureUnsupported);
  const NodePointer end = end_of(stream_of(stream));
  if (!end || end->done) return result(sticky());
  return cudaErrorNotReady;
}

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  const Entry held;
  const cudaError_t error = cudaStreamSynchronize(stream);
  auto& all = streams();
  all.erase(std::find(all.begin() + 1, all.end(), stream));
  delete stream;
  return error;
}

cudaError_t cudaDeviceSynchronize() {
  const Entry held;
  if (is_capturing()) return result(cudaErrorStreamCaptureUnsupported);
  return result(wait_for_all());
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags) {
  const Entry held;
  if (flags != cudaEventDisableTiming) {
    refuse("events that take times are not modelled: cudaEventDisableTiming");
    return result(cudaErrorNotSupported);
  }
  *event = new CUevent_st;
  return cudaSuccess;
}
cudaError_t cudaEventDestroy(cudaEvent_t event) {
  const Entry held;
  delete event;
  return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t given) {
  const Entry held;
  CUstream_st& stream = stream_of(given);
  event->node = end_of(stream);
  event->capture = stream.capture;
  return result(sticky());
}

cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  const Entry held;
  return result(event->capture ? cudaErrorStreamCaptureUnsupported : wait_for(event->node));
}

cudaError_t cudaEventQuery(cudaEvent_t event) {
  const Entry held;
  if (event->capture) return result(cudaErrorStreamCaptureUnsupported);
  return !event->node || event->node->done ? result(sticky()) : cudaErrorNotReady;
}

cudaError_t cudaStreamWaitEvent(cudaStream_t given, cudaEvent_t event, unsigned) {
  const Entry held;
  CUstream_st& stream = stream_of(given);
  if (stream.capture && event->node && event->capture != stream.capture) return result(cudaErrorStreamCaptureIsolation);
  if (event->capture && !stream.capture) {  // the stream joins the capture
    stream.capture = event->capture;
    stream.last = nullptr;
  }
  if (event->node) stream.waits.push_back(event->node);
  return result(sticky());
}
