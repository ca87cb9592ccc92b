#include "addon/stages_object.h"

#include <atomic>
#include <map>
#include <string>
#include <vector>

#include "addon/arrays_worker.h"
#include "addon/convert.h"
#include "addon/errors.h"
#include "addon/instance.h"
#include "core/cpu_features.h"
#include "core/thread_pool.h"
#include "model/observe.h"
#include "model/stages.h"
#include "package/package.h"

namespace mipha {
namespace {

/// ProductOptions of addon.ts; the pointers are the caller's arrays.
struct Product {
  const float* factor = nullptr;
  float* largest = nullptr;
  uint32_t* magnitudes = nullptr;
  float scale = 0;
  int columns = 0;  // that the arrays are made for; 0: there are none
  bool candidate = false;

  void see(float* x, int rows, int width) const {
    const size_t count = static_cast<size_t>(rows) * width;
    if (factor != nullptr) {
      for (size_t i = 0; i < count; ++i) x[i] *= factor[i % width];
    }
    if (largest != nullptr) observe_columns(x, rows, width, largest);
    if (magnitudes != nullptr) observe_magnitudes(x, rows, width, magnitudes);
    if (scale > 0) fake_quantize(x, count, scale);
  }
};
using Products = std::map<std::string, Product>;

/// Every matrix of the model by its name in the recipe.
std::map<std::string, Linear*> matrices(Weights& weights) {
  std::map<std::string, Linear*> all;
  each_matrix(weights, [&](int, const std::string& name, Linear& matrix) { all[name] = &matrix; });
  return all;
}

struct Past {
  Floats keys, values;
};

/// One run: what goes in, and what came out.
struct Run {
  std::string stage;
  std::vector<const uint8_t*> pixels;  // of vision.patches
  std::vector<Floats> rows;            // of the others; replaced by the results
  std::vector<Past> pasts;             // of language.layers.N
};

class StagesObject : public Napi::ObjectWrap<StagesObject> {
 public:
  static Napi::Function define(Napi::Env env) {
    return DefineClass(
        env, "Stages",
        {InstanceMethod("run", &StagesObject::run), InstanceMethod("embed", &StagesObject::embed), InstanceMethod("planes", &StagesObject::planes)});
  }

  explicit StagesObject(const Napi::CallbackInfo& info) : Napi::ObjectWrap<StagesObject>(info) {
    guarded(info.Env(), [&] {
      package_ = Package::open(string_from_js(info[0], "folder"));
      const std::string candidate = string_from_js(info[1], "candidate");
      if (!candidate.empty()) candidate_ = Package::open(candidate);
      const int threads = static_cast<int>(integer_from_js(info[2], "threads", 0, 1024));
      pool_ = std::make_unique<ThreadPool>(threads > 0 ? threads : physical_cores());
      return info.Env().Undefined();
    });
  }

 private:
  Napi::Value run(const Napi::CallbackInfo& info) {
    return guarded(info.Env(), [&]() -> Napi::Value {
      if (running_) throw Error(Code::kOption, "stages: one call at a time");
      const auto run = std::make_shared<Run>(run_from_js(info));
      const Products products = products_from_js(info[2]);
      running_ = true;
      return ArraysWorker::start(
          info, "stages",
          [this, run, products] {
            struct End {
              std::atomic<bool>* running;
              ~End() { *running = false; }
            } end{&running_};
            execute(*run, products);
          },
          [run](Napi::Env env) { return result_to_js(env, *run); });
    });
  }

  Napi::Value embed(const Napi::CallbackInfo& info) {
    return guarded(info.Env(), [&]() -> Napi::Value {
      const Stages stages(package_->config(), package_->weights());
      Floats rows;
      for (const int32_t id : ids_from_js(info[0], "ids")) {
        const Floats row = stages.embed(id);
        rows.insert(rows.end(), row.begin(), row.end());
      }
      return floats_to_js(info.Env(), rows.data(), rows.size());
    });
  }

  /// pixels uint8 [size, size, 3] → f32 [3, size, size], as the first graph takes them.
  Napi::Value planes(const Napi::CallbackInfo& info) {
    return guarded(info.Env(), [&]() -> Napi::Value {
      const size_t expected = static_cast<size_t>(3) * package_->config().vision.image_size * package_->config().vision.image_size;
      const bool bytes = info[0].IsTypedArray() && info[0].As<Napi::TypedArray>().TypedArrayType() == napi_uint8_array;
      if (!bytes || info[0].As<Napi::Uint8Array>().ElementLength() != expected) {
        throw Error(Code::kImage, "pixels: expected a Uint8Array of " + std::to_string(expected) + " values");
      }
      std::vector<float> values(expected);
      mipha::planes(package_->config(), info[0].As<Napi::Uint8Array>().Data(), values.data());
      return floats_to_js(info.Env(), values.data(), values.size());
    });
  }

  /// Throws kOption for a stage that the model does not have.
  void execute(Run& run, const Products& products) const {
    Stages stages(package_->config(), package_->weights(), pool_.get());
    if (candidate_) {
      Weights replacements = candidate_->weights();
      const auto from = matrices(replacements), to = matrices(stages.weights());
      for (const auto& [name, product] : products) {
        if (!product.candidate) continue;
        const float* const smooth = to.at(name)->smooth;
        *to.at(name) = *from.at(name);
        to.at(name)->smooth = smooth;  // what the candidate adds to it is the factor
      }
    }
    const Tap tap = [&](const std::string& matrix, float* data, int rows, int columns) {
      const auto found = products.find(matrix);
      if (found == products.end()) return;
      if (found->second.columns != 0 && found->second.columns != columns) {
        throw Error(Code::kOption, "products." + matrix + ": expected arrays of " + std::to_string(columns) + " columns");
      }
      found->second.see(data, rows, columns);
    };
    const Config& config = stages.config();
    if (run.stage == "vision.patches") {
      for (const uint8_t* pixels : run.pixels) run.rows.push_back(stages.patches(pixels, tap));
      return;
    }
    const int vision = layer_of(run.stage, "vision.layers.", config.vision.layers);
    const int language = layer_of(run.stage, "language.layers.", config.language.layers);
    for (size_t i = 0; i < run.rows.size(); ++i) {
      Floats& x = run.rows[i];
      if (vision >= 0) {
        stages.vision_layer(vision, x, tap);
      } else if (language >= 0) {
        Past& past = run.pasts[i];
        const size_t seen = past.keys.size() / config.language.kv_width();
        const Angles at = angles(config.language, static_cast<int>(seen), static_cast<int>(x.size() / config.language.hidden));
        stages.language_layer(language, x, at, past.keys, past.values, nullptr, tap);
      } else if (run.stage == "projector") {
        x = stages.projector(std::move(x), tap);
      } else if (run.stage == "head") {
        x = stages.head(stages.final_norm(x), tap);
      } else {
        throw Error(Code::kOption, "stage: expected one of the model, received " + run.stage);
      }
    }
  }

  /// N of "prefixN" when it is a layer, else −1.
  static int layer_of(const std::string& stage, const std::string& prefix, int layers) {
    for (int layer = 0; layer < layers; ++layer) {
      if (stage == prefix + std::to_string(layer)) return layer;
    }
    return -1;
  }

  Run run_from_js(const Napi::CallbackInfo& info) const {
    Run run;
    run.stage = string_from_js(info[0], "stage");
    if (!info[1].IsArray()) throw Error(Code::kOption, "inputs: expected an array");
    const Napi::Array inputs = info[1].As<Napi::Array>();
    const Config& config = package_->config();
    const bool patches = run.stage == "vision.patches";
    const int width = run.stage.rfind("vision", 0) == 0 || run.stage == "projector" ? config.vision.hidden : config.language.hidden;
    for (uint32_t i = 0; i < inputs.Length(); ++i) {
      const Napi::Value input = inputs[i];
      if (patches) {
        const int64_t bytes = int64_t{3} * config.vision.image_size * config.vision.image_size;
        run.pixels.push_back(array_from_js(input, "inputs", napi_uint8_array, bytes));
      } else {
        run.rows.push_back(rows_from_js(input, "inputs", width));
      }
    }
    if (info[3].IsArray()) {
      const Napi::Array pasts = info[3].As<Napi::Array>();
      for (uint32_t i = 0; i < pasts.Length(); ++i) {
        const Napi::Value value = pasts[i];
        if (!value.IsObject()) throw Error(Code::kOption, "pasts: expected objects");
        const Napi::Object past = value.As<Napi::Object>();
        const int columns = config.language.kv_width();
        run.pasts.push_back({rows_from_js(past.Get("keys"), "keys", columns), rows_from_js(past.Get("values"), "values", columns)});
        if (run.pasts.back().keys.size() != run.pasts.back().values.size()) throw Error(Code::kOption, "pasts: expected as many keys as values");
      }
    }
    if (run.pasts.empty()) run.pasts.resize(run.rows.size());
    if (run.pasts.size() < run.rows.size()) throw Error(Code::kOption, "pasts: expected one for each input");
    return run;
  }

  static Floats rows_from_js(const Napi::Value& value, const char* name, int width) {
    if (!value.IsTypedArray() || value.As<Napi::TypedArray>().TypedArrayType() != napi_float32_array) {
      throw Error(Code::kOption, std::string(name) + ": expected a Float32Array");
    }
    const Napi::Float32Array array = value.As<Napi::Float32Array>();
    if (array.ElementLength() % width != 0) throw Error(Code::kOption, std::string(name) + ": expected whole rows of " + std::to_string(width));
    return Floats(array.Data(), array.Data() + array.ElementLength());
  }

  Products products_from_js(const Napi::Value& value) const {
    Products products;
    if (!value.IsObject()) throw Error(Code::kOption, "products: expected an object");
    const Napi::Object object = value.As<Napi::Object>();
    const Napi::Array names = object.GetPropertyNames();
    Weights weights = package_->weights();
    const auto known = matrices(weights);
    for (uint32_t i = 0; i < names.Length(); ++i) {
      const std::string name = string_from_js(names[i], "products");
      const auto matrix = known.find(name);
      if (matrix == known.end()) throw Error(Code::kOption, "products: the model has no matrix " + name);
      products[name] = product_from_js(object.Get(name), matrix->second->in);
      if (products[name].candidate && !candidate_) throw Error(Code::kOption, "products." + name + ".candidate: there is no candidate package");
    }
    return products;
  }

  static Product product_from_js(const Napi::Value& value, int columns) {
    if (!value.IsObject()) throw Error(Code::kOption, "products: expected objects");
    const Napi::Object object = value.As<Napi::Object>();
    Product product;
    const auto floats = [&](const char* name) -> float* {
      const Napi::Value array = object.Get(name);
      if (array.IsUndefined()) return nullptr;
      product.columns = columns;
      return reinterpret_cast<float*>(array_from_js(array, name, napi_float32_array, columns));
    };
    product.factor = floats("factor");
    product.largest = floats("largest");
    if (const Napi::Value magnitudes = object.Get("magnitudes"); !magnitudes.IsUndefined()) {
      product.columns = columns;
      product.magnitudes = reinterpret_cast<uint32_t*>(array_from_js(magnitudes, "magnitudes", napi_uint32_array, int64_t{columns} * kMagnitudeBins));
    }
    if (const Napi::Value scale = object.Get("scale"); !scale.IsUndefined()) {
      product.scale = static_cast<float>(number_from_js(scale, "scale"));
      if (!(product.scale > 0)) throw Error(Code::kOption, "scale: expected a number above 0");
    }
    product.candidate = object.Get("candidate").ToBoolean();
    return product;
  }

  static Napi::Value result_to_js(Napi::Env env, const Run& run) {
    Napi::Object result = Napi::Object::New(env);
    Napi::Array rows = Napi::Array::New(env, run.rows.size()), pasts = Napi::Array::New(env, run.pasts.size());
    for (uint32_t i = 0; i < run.rows.size(); ++i) rows.Set(i, floats_to_js(env, run.rows[i].data(), run.rows[i].size()));
    for (uint32_t i = 0; i < run.pasts.size(); ++i) {
      Napi::Object past = Napi::Object::New(env);
      past.Set("keys", floats_to_js(env, run.pasts[i].keys.data(), run.pasts[i].keys.size()));
      past.Set("values", floats_to_js(env, run.pasts[i].values.data(), run.pasts[i].values.size()));
      pasts.Set(i, past);
    }
    result.Set("rows", rows);
    result.Set("pasts", pasts);
    return result;
  }

  std::shared_ptr<const Package> package_, candidate_;
  std::unique_ptr<ThreadPool> pool_;
  std::atomic<bool> running_{false};
};

}  // namespace

void export_stages(Napi::Env env, Napi::Object exports) {
  instance(env).stages = Napi::Persistent(StagesObject::define(env));
  exports.Set("stages", Napi::Function::New(
                            env,
                            [](const Napi::CallbackInfo& info) -> Napi::Value {
                              return instance(info.Env()).stages.New({info[0], info[1], info[2]});
                            },
                            "stages"));
}

}  // namespace mipha
