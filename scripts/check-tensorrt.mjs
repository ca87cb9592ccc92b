// Compiles the TensorRT shim against the headers of a folder with every warning an error; keeps nothing.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { readArguments } from './arguments.mjs';
import { findHeaders, shimCommand } from './tensorrt-shim.mjs';

readArguments(`MIPHA_TENSORRT_INCLUDE=FOLDER[:FOLDER...] [MIPHA_CUDA_INCLUDE=FOLDER] npm run check:tensorrt

Compiles the TensorRT shim against these headers with every warning an error; keeps nothing.`);

const ROOT = resolve(dirname(fileURLToPath(import.meta.url)), '..');
const SHIM = /^shim.*\.cc$/;

const headers = findHeaders();
const folder = mkdtempSync(join(tmpdir(), 'mipha-shim-'));
try {
  if (headers === null || headers.missing.length > 0) {
    const missing = headers === null ? 'NvInfer.h' : headers.missing.join(', ');
    console.error(`${missing} not found. Name the folders: MIPHA_TENSORRT_INCLUDE=FOLDER MIPHA_CUDA_INCLUDE=FOLDER npm run check:tensorrt`);
    process.exitCode = 1;
  } else {
    const room = join('native', 'backend', 'tensorrt');
    const sources = readdirSync(join(ROOT, room)).filter((name) => SHIM.test(name));
    const [command, ...args] = shimCommand(
      headers,
      sources.map((name) => join(room, name)),
      join(folder, 'mipha_tensorrt.so'),
      ['-Wall', '-Wextra', '-Werror'],
    );
    const { status, error } = spawnSync(command, args, { cwd: ROOT, stdio: 'inherit' });
    if (error) throw error;
    console.log(`TensorRT ${headers.version}, CUDA ${headers.cuda}: ${status === 0 ? 'the shim compiles' : 'the shim does not compile'}`);
    process.exitCode = status ?? 1;
  }
} finally {
  rmSync(folder, { recursive: true });
}
