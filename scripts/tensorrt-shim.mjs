// Where TensorRT's headers are on this machine, and the command that compiles the shim over them. Used by setup.mjs and check-tensorrt.mjs.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { readArguments } from './arguments.mjs';

const HEADERS = ['NvInfer.h', 'NvInferVersion.h', 'NvOnnxParser.h', 'cuda_runtime_api.h'];
const MULTIARCH = { arm64: '/usr/include/aarch64-linux-gnu', x64: '/usr/include/x86_64-linux-gnu' }[process.arch];
/** The compiler looks there by itself, and naming them would change the order among its own headers. */
const COMPILER_FOLDERS = ['/usr/include', MULTIARCH, '/usr/local/include'];

/**
 * MIPHA_TENSORRT_INCLUDE and MIPHA_CUDA_INCLUDE (folders, separated by colons) come before the folders of JetPack and Debian.
 * null: no NvInfer.h. `version` is null when the headers do not tell it, `cuda` when there is no cuda_runtime_api.h.
 */
export function findHeaders(environment = process.env) {
  const given = [environment.MIPHA_TENSORRT_INCLUDE, environment.MIPHA_CUDA_INCLUDE].flatMap((list) => list?.split(':') ?? []);
  const folders = [...given.filter((folder) => folder !== ''), ...COMPILER_FOLDERS, ...cudaFolders()];
  const found = HEADERS.map((name) => folders.find((folder) => existsSync(join(folder, name))));
  const [tensorrt, versions, , cuda] = found;
  if (tensorrt === undefined) return null;
  return {
    folder: tensorrt,
    version: versions === undefined ? null : tensorRtVersion(readFileSync(join(versions, 'NvInferVersion.h'), 'utf8')),
    cuda: cuda === undefined ? null : cudaVersion(join(cuda, 'cuda_runtime_api.h')),
    include: [...new Set(found.filter((folder) => folder !== undefined))],
    missing: HEADERS.filter((_, index) => found[index] === undefined),
  };
}

/** Compiles the shim into one shared object; -z defs: every function of TensorRT and CUDA must be one that the shim opens itself. */
export function shimCommand({ include }, sources, out, flags = []) {
  const folders = include.filter((folder) => !COMPILER_FOLDERS.includes(folder)).flatMap((folder) => ['-isystem', folder]);
  const usual = ['-std=c++17', '-O2', '-fPIC', '-shared', '-fvisibility=hidden', '-Wl,-z,defs'];
  return [process.env.CXX || 'g++', ...usual, ...flags, '-Inative', ...folders, ...sources, '-o', out, '-ldl', '-pthread'];
}

/** The numbers stand there as NV_TENSORRT_MAJOR in older headers, as TRT_MAJOR_ENTERPRISE in newer ones. */
function tensorRtVersion(text) {
  const parts = ['MAJOR', 'MINOR', 'PATCH', 'BUILD'].map((part) => {
    return new RegExp(`#define\\s+(?:NV_TENSORRT_${part}|TRT_${part}_ENTERPRISE)\\s+(\\d+)`).exec(text)?.[1];
  });
  return parts.includes(undefined) ? null : parts.join('.');
}

/** 12060 is 12.6, as CUDA says it. */
function cudaVersion(path) {
  const number = Number(/#define\s+CUDART_VERSION\s+(\d+)/.exec(readFileSync(path, 'utf8'))?.[1] ?? 0);
  return number === 0 ? null : `${Math.trunc(number / 1000)}.${Math.trunc((number % 1000) / 10)}`;
}

function cudaFolders() {
  const targets = '/usr/local/cuda/targets';
  const perTarget = existsSync(targets) ? readdirSync(targets).map((target) => join(targets, target, 'include')) : [];
  return ['/usr/local/cuda/include', ...perTarget];
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  readArguments(
    'node scripts/tensorrt-shim.mjs\n\nPrints what is known of the headers of TensorRT and CUDA as JSON, null where there are none: read by mipha doctor.',
  );
  console.log(JSON.stringify(findHeaders()));
}
