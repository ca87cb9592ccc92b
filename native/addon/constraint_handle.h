// constraint(): an automaton that is copied and checked once, behind an opaque object (src/addon/addon.ts, NativeConstraint).
#pragma once

#include <napi.h>

#include <memory>

#include "engine/engine.h"

namespace mipha {

void export_constraint(Napi::Env env, Napi::Object exports);

/// What the object of constraint() holds; null when `value` is undefined. Throws kOption for anything else.
std::shared_ptr<const Constraint> constraint_from_js(const Napi::Value& value);

}  // namespace mipha
