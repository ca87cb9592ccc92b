/** The stand-in for TensorRT (native/test/standin) as a shared library, compiled when its sources or the native code have changed. */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { packageRoot } from '../../src/addon/load.js';

/** Path of the library. Files of tests may ask at the same time: each compiles under a name of its own, and the last rename wins. */
export function standin(): string {
  const root = packageRoot();
  const folder = join(root, 'native/test/standin');
  const sources = readdirSync(folder).filter((name) => /\.(cc|h)$/.test(name));
  const objects = join(root, 'build/Release/mipha_base.a'); // what node-gyp has made for the addon
  const hash = createHash('sha256').update(readFileSync(objects));
  for (const name of sources.sort()) hash.update(name).update(readFileSync(join(folder, name)));

  const library = join(root, 'build/standin', `mipha_standin-${hash.digest('hex').slice(0, 16)}.so`);
  if (existsSync(library)) return library;
  mkdirSync(join(root, 'build/standin'), { recursive: true });
  const unfinished = `${library}.${process.pid}`;
  const code = sources.filter((name) => name.endsWith('.cc')).map((name) => join(folder, name));
  const flags = ['-std=c++17', '-O2', '-ffp-contract=off', '-fPIC', '-shared', '-fvisibility=hidden', '-Wl,--exclude-libs,ALL', '-Wl,-z,defs'];
  execFileSync(process.env.CXX ?? 'g++', [...flags, `-I${join(root, 'native')}`, '-o', unfinished, ...code, objects, '-lpthread']);
  renameSync(unfinished, library);
  return library;
}
