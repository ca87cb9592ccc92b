{
  'target_defaults': {
    'include_dirs': ['../../native'],
    # node-gyp's defaults forbid exceptions and RTTI and choose a dialect of their own.
    'cflags_cc!': ['-fno-exceptions', '-fno-rtti', '-std=gnu++17', '-std=gnu++20'],
    # No contraction: products and sums round as they are written, on every machine alike.
    'cflags_cc': ['-std=c++17', '-ffp-contract=off', '-fvisibility=hidden', '-fvisibility-inlines-hidden', '-Wno-missing-field-initializers'],
    'cflags': ['-fPIC'],
  },
}
