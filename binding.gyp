{
  # One static library per instruction set; everything else, the dispatcher included, is baseline code. native/CMakeLists.txt reads the same lists.
  'includes': ['native/gyp/sources.gypi', 'native/gyp/flags.gypi'],
  'targets': [
    {
      'target_name': 'mipha_base',
      'type': 'static_library',
      'sources': ['<@(base_sources)'],
    },
    {
      'target_name': 'mipha_edge',
      'sources': ['<@(addon_sources)'],
      'dependencies': ['mipha_base', '<!(node -p "require(\'node-addon-api\').targets"):node_addon_api_except_all'],
      'defines': ['NAPI_VERSION=8', 'MIPHA_VERSION="<!(node -p "require(\'./package.json\').version")"'],
      # Its own symbols stay its own; a missing one is an error at load, not a crash at call; and it is never unloaded, because its threads may
      # outlive the environment that loaded it.
      'ldflags': ['-Wl,--exclude-libs,ALL', '-Wl,-z,now', '-Wl,-z,nodelete'],
      'conditions': [
        ['target_arch=="x64"', {'dependencies': ['cpu_avx2', 'cpu_avx512vnni', 'cpu_avx512bf16', 'cpu_amx']}],
        ['target_arch=="arm64"', {'dependencies': ['cpu_dotprod', 'cpu_i8mm']}],
      ],
    },
  ],
  'conditions': [
    ['target_arch=="x64"', {
      'targets': [
        {
          'target_name': 'cpu_avx2',
          'type': 'static_library',
          'sources': ['<@(avx2_sources)'],
          'cflags': ['<@(avx2_flags)', '-fno-lto'],
        },
        {
          'target_name': 'cpu_avx512vnni',
          'type': 'static_library',
          'sources': ['<@(avx512vnni_sources)'],
          'cflags': ['<@(avx512vnni_flags)', '-fno-lto'],
        },
        {
          'target_name': 'cpu_avx512bf16',
          'type': 'static_library',
          'sources': ['<@(avx512bf16_sources)'],
          'cflags': ['<@(avx512bf16_flags)', '-fno-lto'],
        },
        {
          'target_name': 'cpu_amx',
          'type': 'static_library',
          'sources': ['<@(amx_sources)'],
          'cflags': ['<@(amx_flags)', '-fno-lto'],
        },
      ],
    }],
    ['target_arch=="arm64"', {
      'targets': [
        {
          'target_name': 'cpu_dotprod',
          'type': 'static_library',
          'sources': ['<@(dotprod_sources)'],
          'cflags': ['<@(dotprod_flags)', '-fno-lto'],
        },
        {
          'target_name': 'cpu_i8mm',
          'type': 'static_library',
          'sources': ['<@(i8mm_sources)'],
          'cflags': ['<@(i8mm_flags)', '-fno-lto'],
        },
      ],
    }],
  ],
}
