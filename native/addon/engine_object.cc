#include "addon/engine_object.h"

#include <limits>
#include <optional>
#include <utility>

#include "addon/constraint_handle.h"
#include "addon/convert.h"
#include "addon/errors.h"
#include "addon/instance.h"
#include "package/package.h"

namespace mipha {
namespace {

constexpr int kMost = std::numeric_limits<int>::max();

const char* finish_name(Finish finish) {
  switch (finish) {
    case Finish::kEos:
      return "eos";
    case Finish::kStop:
      return "stop";
    case Finish::kLength:
      return "length";
    case Finish::kCancelled:
      break;
  }
  return "cancelled";
}

Napi::Value to_js(Napi::Env env, const LookOutcome& outcome) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("cancelled", outcome.cancelled);
  object.Set("view", outcome.view);
  object.Set("tokens", outcome.tokens);
  object.Set("queueMs", outcome.queue_ms);
  object.Set("preprocessMs", outcome.preprocess_ms);
  object.Set("visionMs", outcome.vision_ms);
  object.Set("prefillMs", outcome.prefill_ms);
  return object;
}

Napi::Value to_js(Napi::Env env, const AskOutcome& outcome) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("finish", finish_name(outcome.finish));
  object.Set("ids", ids_to_js(env, outcome.ids));
  object.Set("margins", floats_to_js(env, outcome.margins.data(), outcome.margins.size()));
  object.Set("probability", outcome.probability);
  object.Set("state", outcome.state);
  object.Set("promptTokens", outcome.prompt_tokens);
  object.Set("reusedTokens", outcome.reused_tokens);
  object.Set("queueMs", outcome.queue_ms);
  object.Set("prefillMs", outcome.prefill_ms);
  object.Set("decodeMs", outcome.decode_ms);
  return object;
}

Napi::Value to_js(Napi::Env env, const EngineStatus& status) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("backend", status.backend);
  object.Set("detail", status.detail);
  Napi::Array memory = Napi::Array::New(env);
  for (const auto& [name, bytes] : status.memory.parts) {
    Napi::Object part = Napi::Object::New(env);
    part.Set("name", name);
    part.Set("bytes", static_cast<double>(bytes));
    memory.Set(memory.Length(), part);
  }
  object.Set("memory", memory);
  object.Set("views", status.views);
  object.Set("conversations", status.conversations);
  object.Set("queued", status.queued);
  object.Set("active", status.active);
  return object;
}

Napi::Object object_from_js(const Napi::Value& value, const char* name) {
  if (!value.IsObject()) throw Error(Code::kOption, std::string(name) + ": expected an object");
  return value.As<Napi::Object>();
}

BackendOptions backend_options_from_js(const Napi::Object& options) {
  BackendOptions result;
  result.cache_tokens = static_cast<int>(integer_from_js(options.Get("cacheTokens"), "cacheTokens", 0, kMost));
  if (const Napi::Value value = options.Get("cpu"); !value.IsUndefined()) {
    const Napi::Object cpu = object_from_js(value, "cpu");
    result.cpu.threads = static_cast<int>(integer_from_js(cpu.Get("threads"), "cpu.threads", 0, 1024));
    result.cpu.isa = string_from_js(cpu.Get("isa"), "cpu.isa");
    result.cpu.stream_weights = cpu.Get("streamWeights").ToBoolean();
  }
  if (const Napi::Value value = options.Get("tensorrt"); !value.IsUndefined()) {
    const Napi::Object tensorrt = object_from_js(value, "tensorrt");
    result.tensorrt.library = string_from_js(tensorrt.Get("library"), "tensorrt.library");
    result.tensorrt.plans = string_from_js(tensorrt.Get("plans"), "tensorrt.plans");
  }
  return result;
}

AskJob ask_job_from_js(const Napi::Object& options) {
  AskJob job;
  job.options = job_options_from_js(options);
  job.view = static_cast<int>(integer_from_js(options.Get("view"), "view", -1, kMost));
  job.ids = ids_from_js(options.Get("ids"), "ids");
  job.max_tokens = static_cast<int>(integer_from_js(options.Get("maxTokens"), "maxTokens", 1, kMost));
  job.stop_ids = ids_from_js(options.Get("stopIds"), "stopIds");
  job.sampling.temperature = static_cast<float>(number_from_js(options.Get("temperature"), "temperature"));
  job.sampling.top_p = static_cast<float>(number_from_js(options.Get("topP"), "topP"));
  job.sampling.seed = static_cast<uint64_t>(integer_from_js(options.Get("seed"), "seed", 0, int64_t{1} << 53));
  job.constraint = constraint_from_js(options.Get("constraint"));
  if (const Napi::Value conversation = options.Get("conversation"); !conversation.IsUndefined()) {
    job.conversation = static_cast<int>(integer_from_js(conversation, "conversation", 0, kMost));
  }
  return job;
}

}  // namespace

void export_engine(Napi::Env env, Napi::Object exports) {
  instance(env).engine = Napi::Persistent(EngineObject::define(env));
  exports.Set("load", Napi::Function::New(
                          env,
                          [](const Napi::CallbackInfo& info) {
                            return guarded(info.Env(), [&] {
                              const Napi::Object object = instance(info.Env()).engine.New({});
                              return EngineObject::Unwrap(object)->load(info.Env(), info[0], info[1]);
                            });
                          },
                          "load"));
}

Napi::Function EngineObject::define(Napi::Env env) {
  return DefineClass(
      env, "NativeEngine",
      {InstanceMethod("look", &EngineObject::look), InstanceMethod("ask", &EngineObject::ask), InstanceMethod("converse", &EngineObject::converse),
       InstanceMethod("releaseView", &EngineObject::release_view), InstanceMethod("releaseConversation", &EngineObject::release_conversation),
       InstanceMethod("gather", &EngineObject::gather), InstanceMethod("handOver", &EngineObject::hand_over),
       InstanceMethod("status", &EngineObject::status), InstanceMethod("dispose", &EngineObject::dispose)});
}

EngineObject::EngineObject(const Napi::CallbackInfo& info) : Napi::ObjectWrap<EngineObject>(info) {}

/// Collected without dispose(): nothing is under way then, so the thread ends at once.
EngineObject::~EngineObject() {
  if (queue_) close(Env());
}

// ---- load and dispose

Napi::Value EngineObject::load(Napi::Env env, const Napi::Value& value, const Napi::Value& on_progress) {
  const Napi::Object options = object_from_js(value, "options");
  const std::string folder = string_from_js(options.Get("folder"), "folder"), manifest = string_from_js(options.Get("manifest"), "manifest");
  const std::string backend = string_from_js(options.Get("backend"), "backend");
  const BackendOptions backend_options = backend_options_from_js(options);
  EngineOptions engine_options;
  engine_options.prefix = prefix_ = ids_from_js(options.Get("prefix"), "prefix");
  engine_options.vocabulary = vocabulary_from_js(options.Get("vocabulary"), options.Get("vocabularyOffsets"));

  queue_ = CompletionQueue::create(env, "mipha-edge");
  // Added after the queue's own hook, so it runs before it: the thread has ended when the queue goes.
  napi_add_env_cleanup_hook(env, end_with_environment, this);
  const Key key = begin(env);
  if (on_progress.IsFunction()) calls_.at(key).on_progress = Napi::Persistent(on_progress.As<Napi::Function>());

  const OpenBackend open = [=](const Progress& progress) {
    return create_backend(backend, Package::open(folder, parse_manifest(manifest)), backend_options, progress);
  };
  Progress progress;
  if (on_progress.IsFunction()) {
    progress = [this, key, queue = queue_.get()](const char* stage, double fraction) {
      queue->post([this, key, stage = std::string(stage), fraction](Napi::Env env) {
        calls_.at(key).on_progress.Call({Napi::String::New(env, stage), Napi::Number::New(env, fraction)});
      });
    };
  }
  // Only the environment's thread looks at these. A cancellation can come when the load is over but nobody has been told yet, and much later.
  struct Load {
    bool settled = false, cancelled = false;
  };
  const auto load = std::make_shared<Load>();
  const auto loaded = [this, key, load, queue = queue_.get()](Result<EngineStatus> result) {
    queue->post([this, key, load, error = std::move(result.error)](Napi::Env env) mutable {
      const Napi::Object self = Value();  // settling may let go of it
      load->settled = true;
      if (load->cancelled && !error) error = std::make_shared<const Error>(Code::kDisposed, "engine: disposed while loading");
      if (error) close(env);
      settle(env, key, error, [&] { return self; });
    });
  };
  try {
    engine_ = Engine::start(open, std::move(engine_options), std::move(progress), loaded);
  } catch (...) {  // the system gives no thread
    calls_.erase(key);
    let_go(env);
    close(env);
    throw;
  }
  return job(env, key, [load](Engine& engine) {
    if (load->settled) return;
    load->cancelled = true;
    engine.stop({});
  });
}

Napi::Value EngineObject::dispose(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  if (!engine_) {
    const Napi::Promise::Deferred deferred(env);
    deferred.Resolve(env.Undefined());
    return deferred.Promise();
  }
  const Key key = begin(env);
  disposals_.push_back(key);
  const Napi::Promise promise = calls_.at(key).deferred.Promise();
  if (std::exchange(disposing_, true)) return promise;
  engine_->stop([this, queue = queue_.get()] {
    // Behind the outcome of every job: their promises settle first.
    queue->post([this](Napi::Env env) {
      close(env);
      for (const Key disposal : std::exchange(disposals_, {})) settle(env, disposal, nullptr, [&] { return env.Undefined(); });
    });
  });
  return promise;
}

void EngineObject::close(Napi::Env env) {
  engine_.reset();
  napi_remove_env_cleanup_hook(env, end_with_environment, this);
  queue_->close();
}

void EngineObject::end_with_environment(void* object) {
  EngineObject* self = static_cast<EngineObject*>(object);
  self->engine_.reset();
  self->queue_->abandon();
  self->queue_.reset();
  self->calls_.clear();
}

// ---- calls

/// Throws kDisposed from the moment dispose() is called.
Engine& EngineObject::engine() const {
  if (!engine_ || disposing_) throw Error(Code::kDisposed, "engine: disposed");
  return *engine_;
}

EngineObject::Key EngineObject::begin(Napi::Env env) {
  const Key key = ++last_key_;
  calls_.emplace(key, Call{Napi::Promise::Deferred::New(env), Napi::Persistent(Napi::Error::New(env, "").Value()), {}, {}});
  hold(env);
  return key;
}

Napi::Object EngineObject::job(Napi::Env env, Key key, std::function<void(Engine&)> cancel) {
  Napi::Object job = Napi::Object::New(env);
  job.Set("done", calls_.at(key).deferred.Promise());
  job.Set("cancel", Napi::Function::New(
                        env,
                        [engine = std::weak_ptr<Engine>(engine_), cancel = std::move(cancel)](const Napi::CallbackInfo&) {
                          if (const std::shared_ptr<Engine> alive = engine.lock()) cancel(*alive);
                        },
                        "cancel"));
  return job;
}

void EngineObject::settle(Napi::Env env, Key key, const std::shared_ptr<const Error>& error, const std::function<Napi::Value()>& value) {
  const auto found = calls_.find(key);
  Call call = std::move(found->second);
  calls_.erase(found);
  const Napi::Value settled = error ? call.error.Value() : value();
  if (error) fill_error(settled.As<Napi::Object>(), *error);
  let_go(env);
  if (error)
    call.deferred.Reject(settled);
  else
    call.deferred.Resolve(settled);
}

/// From the worker thread to the promise of `key`. `convert` runs on the environment's thread.
template <typename Outcome, typename Convert>
std::function<void(Result<Outcome>)> EngineObject::completion(Key key, Convert convert) {
  return [this, key, convert, queue = queue_.get()](Result<Outcome> result) {
    queue->post([this, key, convert, result = std::move(result)](Napi::Env env) {
      settle(env, key, result.error, [&] { return convert(env, result.value); });
    });
  };
}

void EngineObject::hold(Napi::Env env) {
  if (held_++ > 0) return;
  Ref();
  queue_->hold(env);
}

void EngineObject::let_go(Napi::Env env) {
  if (--held_ > 0) return;
  queue_->let_go(env);
  Unref();
}

Napi::Value EngineObject::look(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return guarded(env, [&] {
    Engine& to = engine();
    LookJob look;
    look.image = image_from_js(info[0]);
    look.prefix = prefix_;
    look.options = job_options_from_js(object_from_js(info[1], "options"));
    const Key key = begin(env);
    calls_.at(key).buffer = Napi::Persistent(info[0].As<Napi::Object>().Get("data").As<Napi::Object>());
    const Engine::Id id = to.look(std::move(look), completion<LookOutcome>(key, [](Napi::Env env, const LookOutcome& o) { return to_js(env, o); }));
    return job(env, key, [id](Engine& engine) { engine.cancel(id); });
  });
}

Napi::Value EngineObject::ask(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return guarded(env, [&] {
    Engine& to = engine();
    const Napi::Object options = object_from_js(info[0], "options");
    AskJob ask = ask_job_from_js(options);
    const Napi::Value on_token = options.Get("onToken");
    const Key key = begin(env);
    std::function<void(int32_t)> report;
    if (on_token.IsFunction()) {
      calls_.at(key).on_progress = Napi::Persistent(on_token.As<Napi::Function>());
      report = [this, key, queue = queue_.get()](int32_t token) {
        queue->post([this, key, token](Napi::Env env) { calls_.at(key).on_progress.Call({Napi::Number::New(env, token)}); });
      };
    }
    const Engine::Id id =
        to.ask(std::move(ask), std::move(report), completion<AskOutcome>(key, [](Napi::Env env, const AskOutcome& o) { return to_js(env, o); }));
    return job(env, key, [id](Engine& engine) { engine.cancel(id); });
  });
}

Napi::Value EngineObject::converse(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return guarded(env, [&] {
    Engine& to = engine();
    const int view = static_cast<int>(integer_from_js(info[0], "view", -1, kMost));
    const Key key = begin(env);
    const Napi::Promise promise = calls_.at(key).deferred.Promise();
    to.converse(view, completion<int>(key, [](Napi::Env env, int conversation) { return Napi::Number::New(env, conversation); }));
    return promise;
  });
}

// Always allowed, as releasing is: an engine that is gone has nothing to hand over and has released everything.

Napi::Value EngineObject::gather(const Napi::CallbackInfo& info) {
  if (engine_) engine_->gather();
  return info.Env().Undefined();
}

Napi::Value EngineObject::hand_over(const Napi::CallbackInfo& info) {
  if (engine_) engine_->hand_over();
  return info.Env().Undefined();
}

Napi::Value EngineObject::release_view(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    if (engine_) engine_->release_view(static_cast<int>(integer_from_js(info[0], "view", 0, kMost)));
    return info.Env().Undefined();
  });
}

Napi::Value EngineObject::release_conversation(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    if (engine_) engine_->release_conversation(static_cast<int>(integer_from_js(info[0], "conversation", 0, kMost)));
    return info.Env().Undefined();
  });
}

Napi::Value EngineObject::status(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] { return to_js(info.Env(), engine().status()); });
}

}  // namespace mipha
