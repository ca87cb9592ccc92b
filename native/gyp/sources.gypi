{
  "variables": {
    "base_sources": [
      "native/core/arena.cc",
      "native/core/error.cc",
      "native/core/cpu_features.cc",
      "native/core/mapped_file.cc",
      "native/core/thread_pool.cc",
      "native/package/json.cc",
      "native/package/manifest.cc",
      "native/package/package.cc",
      "native/package/quantize.cc",
      "native/package/safetensors.cc",
      "native/model/config.cc",
      "native/model/image.cc",
      "native/model/reference.cc",
      "native/model/resize.cc",
      "native/model/weights.cc",
      "native/backend/backend.cc",
      "native/backend/cpu/attention.cc",
      "native/backend/cpu/cache.cc",
      "native/backend/cpu/cpu_backend.cc",
      "native/backend/cpu/dispatch.cc",
      "native/backend/cpu/forward.cc",
      "native/backend/cpu/matrix.cc",
      "native/backend/cpu/pack.cc",
      "native/backend/cpu/packed_weights.cc",
      "native/backend/cpu/scalar.cc",
      "native/engine/constraint.cc",
      "native/engine/engine.cc",
      "native/engine/generation.cc",
      "native/engine/live_counts.cc",
      "native/engine/sampler.cc",
      "native/engine/worker.cc"
    ],
    "addon_sources": [
      "native/addon/addon.cc",
      "native/addon/reference_object.cc",
      "native/addon/resize_function.cc"
    ],
    "avx2_sources": ["native/backend/cpu/avx2.cc"],
    "avx512vnni_sources": ["native/backend/cpu/avx512vnni.cc"],
    "dotprod_sources": ["native/backend/cpu/dotprod.cc"],
    "avx2_flags": ["-mavx2", "-mfma", "-mf16c"],
    "avx512vnni_flags": ["-mavx512f", "-mavx512bw", "-mavx512vl", "-mavx512dq", "-mavx512vnni", "-mavx2", "-mfma", "-mf16c"],
    "dotprod_flags": ["-march=armv8.2-a+dotprod"],
    "test_sources": []
  }
}
