#include "addon/trace_function.h"

#include <string>
#include <vector>

#include "addon/convert.h"
#include "addon/errors.h"
#include "backend/backend.h"

namespace mipha {
namespace {

Napi::Value trace(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    BackendOptions options;
    const std::string folder = string_from_js(info[0], "folder");
    options.cpu.isa = string_from_js(info[1], "isa");
    const Image image = image_from_js(info[2]);
    const std::vector<int32_t> prefix = ids_from_js(info[3], "prefix"), ids = ids_from_js(info[4], "ids");
    const Probe probe = probe_from_js(info[5]);

    const std::unique_ptr<Backend> backend = create_backend("cpu", Package::open(folder), options, [](const char*, double) {});
    const Config& config = backend->config();
    for (const std::vector<int32_t>* part : {&prefix, &ids}) {
      for (const int32_t id : *part) {
        if (id < 0 || id >= config.language.vocab) throw Error(Code::kOption, "ids: expected ids below " + std::to_string(config.language.vocab));
      }
    }
    const Cancelled never = [] { return false; };
    backend->set_probe(probe);
    backend->encode(image, never, nullptr);
    std::vector<Piece> pieces = {{nullptr, config.image_tokens()}};
    if (!prefix.empty()) pieces.insert(pieces.begin(), {prefix.data(), static_cast<int>(prefix.size())});
    if (!ids.empty()) pieces.push_back({ids.data(), static_cast<int>(ids.size())});
    std::vector<float> logits(static_cast<size_t>(config.language.vocab));
    backend->append(backend->sequence(), pieces, logits.data(), never);
    return floats_to_js(info.Env(), logits.data(), logits.size());
  });
}

}  // namespace

void export_trace(Napi::Env env, Napi::Object exports) {
  exports.Set("trace", Napi::Function::New(env, trace, "trace"));
}

}  // namespace mipha
