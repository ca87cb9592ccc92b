#include "addon/reference_object.h"

#include <atomic>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "addon/convert.h"
#include "addon/errors.h"
#include "addon/instance.h"
#include "core/error.h"
#include "model/reference.h"
#include "package/package.h"

namespace mipha {
namespace {

std::atomic<int> live{0};

bool is_array_of(const Napi::Value& value, napi_typedarray_type type) {
  return value.IsTypedArray() && value.As<Napi::TypedArray>().TypedArrayType() == type;
}

class ReferenceObject : public Napi::ObjectWrap<ReferenceObject> {
 public:
  static Napi::Function define(Napi::Env env) {
    return DefineClass(env, "Reference",
                       {InstanceMethod("setTensor", &ReferenceObject::set_tensor), InstanceMethod("encode", &ReferenceObject::encode),
                        InstanceMethod("append", &ReferenceObject::append), InstanceMethod("reset", &ReferenceObject::reset)});
  }

  explicit ReferenceObject(const Napi::CallbackInfo& info)
      : Napi::ObjectWrap<ReferenceObject>(info),
        config_(guarded(info.Env(), [&] { return parse_manifest(string_from_js(info[0], "manifest")).config; })) {
    ++live;
  }

  ~ReferenceObject() override { --live; }

 private:
  struct Stored {
    std::vector<float> values;
    Tensor tensor;
  };

  /// A probe is JavaScript and could call back into the object whose weights and rows are in use.
  class Running {
   public:
    explicit Running(bool* running) : running_(running) {
      if (*running) throw Error(Code::kOption, "reference: a probe may not call the reference that it watches");
      *running = true;
    }
    ~Running() { *running_ = false; }
    Running(const Running&) = delete;
    Running& operator=(const Running&) = delete;

   private:
    bool* running_;
  };

  Napi::Value set_tensor(const Napi::CallbackInfo& info) {
    return guarded(info.Env(), [&] {
      const Running running(&running_);
      const std::string name = string_from_js(info[0], "name");
      if (!info[1].IsArray()) throw Error(Code::kOption, "shape: expected an array");
      if (!is_array_of(info[2], napi_float32_array)) throw Error(Code::kOption, "data: expected a Float32Array");
      const Napi::Array shape = info[1].As<Napi::Array>();
      const Napi::Float32Array data = info[2].As<Napi::Float32Array>();

      Stored stored;
      size_t count = 1;
      for (uint32_t i = 0; i < shape.Length(); ++i) {
        stored.tensor.shape.push_back(integer_from_js(shape[i], "shape", 0, 1 << 20));
        count *= static_cast<size_t>(stored.tensor.shape.back());
        if (count > data.ElementLength()) break;
      }
      if (count != data.ElementLength()) {
        throw Error(Code::kModelFormat, "tensor " + name + ": " + std::to_string(data.ElementLength()) + " values do not fill its shape");
      }
      stored.values.assign(data.Data(), data.Data() + data.ElementLength());
      stored.tensor.data = stored.values.data();
      stored.tensor.bytes = stored.values.size() * sizeof(float);
      reference_.reset();  // holds views of what it was bound to; it is bound anew when it is next needed
      tensors_[name] = std::move(stored);
      return info.Env().Undefined();
    });
  }

  /// pixels, probe? → features
  Napi::Value encode(const Napi::CallbackInfo& info) {
    return guarded(info.Env(), [&]() -> Napi::Value {
      const Running running(&running_);
      const size_t expected = static_cast<size_t>(3) * config_.vision.image_size * config_.vision.image_size;
      if (!is_array_of(info[0], napi_uint8_array) || info[0].As<Napi::Uint8Array>().ElementLength() != expected) {
        throw Error(Code::kImage, "pixels: expected a Uint8Array of " + std::to_string(expected) + " values");
      }
      const std::vector<float> features = bound().encode(info[0].As<Napi::Uint8Array>().Data(), probe_from_js(info[1]));
      return floats_to_js(info.Env(), features.data(), features.size());
    });
  }

  /// pieces, probe? → logits
  Napi::Value append(const Napi::CallbackInfo& info) {
    return guarded(info.Env(), [&]() -> Napi::Value {
      const Running running(&running_);
      if (!info[0].IsArray()) throw Error(Code::kOption, "pieces: expected an array");
      const Napi::Array pieces = info[0].As<Napi::Array>();
      std::vector<float> rows;
      for (uint32_t i = 0; i < pieces.Length(); ++i) append_piece(pieces[i], &rows);
      const std::vector<float> logits = bound().append(rows, probe_from_js(info[1]));
      return floats_to_js(info.Env(), logits.data(), logits.size());
    });
  }

  Napi::Value reset(const Napi::CallbackInfo& info) {
    return guarded(info.Env(), [&] {
      const Running running(&running_);
      if (reference_) reference_->reset();
      return info.Env().Undefined();
    });
  }

  void append_piece(const Napi::Value& piece, std::vector<float>* rows) {
    if (is_array_of(piece, napi_float32_array)) {
      const Napi::Float32Array features = piece.As<Napi::Float32Array>();
      if (features.ElementLength() % config_.language.hidden != 0) {
        throw Error(Code::kOption, "pieces: expected whole rows of " + std::to_string(config_.language.hidden) + " features");
      }
      rows->insert(rows->end(), features.Data(), features.Data() + features.ElementLength());
      return;
    }
    for (const int32_t id : ids_from_js(piece, "pieces")) {
      const std::vector<float> row = bound().embed(id);
      rows->insert(rows->end(), row.begin(), row.end());
    }
  }

  /// The model over the tensors so far. Throws kModelFormat naming the first that is missing or misshapen.
  mipha::Reference& bound() {  // not Napi::Reference, a base of this class
    if (!reference_) {
      reference_.emplace(config_, bind(config_, [this](const std::string& name) -> const Tensor* {
                           const auto found = tensors_.find(name);
                           return found == tensors_.end() ? nullptr : &found->second.tensor;
                         }));
    }
    return *reference_;
  }

  const Config config_;
  std::map<std::string, Stored> tensors_;
  std::optional<mipha::Reference> reference_;
  bool running_ = false;
};

}  // namespace

void export_reference(Napi::Env env, Napi::Object exports) {
  instance(env).reference = Napi::Persistent(ReferenceObject::define(env));
  exports.Set("reference",
              Napi::Function::New(
                  env, [](const Napi::CallbackInfo& info) -> Napi::Value { return instance(info.Env()).reference.New({info[0]}); }, "reference"));
}

int live_references() {
  return live;
}

}  // namespace mipha
