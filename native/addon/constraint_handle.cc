#include "addon/constraint_handle.h"

#include <cstdint>
#include <utility>

#include "addon/convert.h"
#include "addon/errors.h"
#include "engine/constraint.h"

namespace mipha {
namespace {

/// Marks the objects of constraint(): only what bears it is unwrapped.
constexpr napi_type_tag kTag = {0x6d697068612d6564, 0x636f6e7374726169};

/// Goes with its object; jobs and the engine's cache share the constraint beyond that.
struct Held {
  std::shared_ptr<const Constraint> constraint;
  int64_t bytes;
};

int64_t bytes_of(const Constraint& constraint) {
  const size_t bytes = constraint.column.size() + constraint.accepting.size() + constraint.decided.size();
  const size_t words = constraint.next.size() + constraint.group.size() + constraint.ends.size();
  return static_cast<int64_t>(sizeof constraint + bytes + words * sizeof(int32_t));
}

void release(napi_env env, void* data, void*) {
  const std::unique_ptr<Held> held(static_cast<Held*>(data));
  Napi::MemoryManagement::AdjustExternalMemory(env, -held->bytes);
}

Napi::Value make_constraint(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return guarded(env, [&]() -> Napi::Value {
    std::shared_ptr<const Constraint> constraint = checked(automaton_from_js(info[0]));
    const int64_t bytes = bytes_of(*constraint);
    auto held = std::make_unique<Held>(Held{std::move(constraint), bytes});
    const Napi::Object handle = Napi::Object::New(env);
    handle.TypeTag(&kTag);
    if (napi_wrap(env, handle, held.get(), release, nullptr, nullptr) != napi_ok) throw Napi::Error::New(env);
    held.release();
    Napi::MemoryManagement::AdjustExternalMemory(env, bytes);
    return handle;
  });
}

}  // namespace

void export_constraint(Napi::Env env, Napi::Object exports) {
  exports.Set("constraint", Napi::Function::New(env, make_constraint, "constraint"));
}

std::shared_ptr<const Constraint> constraint_from_js(const Napi::Value& value) {
  if (value.IsUndefined()) return nullptr;
  void* held = nullptr;
  if (!value.IsObject() || !value.As<Napi::Object>().CheckTypeTag(&kTag) || napi_unwrap(value.Env(), value, &held) != napi_ok) {
    throw Error(Code::kOption, "constraint: expected what constraint() has returned in this thread");
  }
  return static_cast<Held*>(held)->constraint;
}

}  // namespace mipha
