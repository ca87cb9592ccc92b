// What the contenders load, written once below the scratch folder: a package of random weights, and the same sizes as GGUF.
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fromDist } from '../../scripts/arguments.mjs';
import { writeBert, writeMmproj, writePhi2, writeStub } from './gguf-models.mjs';

export const SIZES = ['mipha-3b', 'nano'];

/**
 * `layers`: a model of so many, undefined: of all. `only`: the names of contenders. Gives paths, the package's architecture and the bytes of its weights.
 */
export async function prepare(folder, size, layers, only) {
  const [{ writeRandomPackage }, { towerRows }] = await Promise.all(['package/random.js', 'package/manifest.js'].map(fromDist));
  mkdirSync(folder, { recursive: true });
  const at = (name) => join(folder, name);
  const paths = {
    package: at('package'),
    phi2: at('phi2.gguf'),
    bert: at('bert.gguf'),
    mmproj: at('mmproj.gguf'),
    stub: at('stub.gguf'),
    graphs: at('graphs'),
  };
  const unlessThere = async (path, write) => {
    if (existsSync(path)) return;
    console.error(`writing ${path}`);
    await write(path);
  };
  const cut = layers === undefined ? undefined : { layers, imagePx: size === 'nano' ? 112 : 384 };
  await unlessThere(paths.package, (path) => writeRandomPackage(path, size, { cut }));
  const { architecture, files } = JSON.parse(readFileSync(join(paths.package, 'manifest.json'), 'utf8'));
  if (only.includes('llama')) await unlessThere(paths.phi2, (path) => writePhi2(path, architecture));
  if (only.includes('llama-tower')) await unlessThere(paths.bert, (path) => writeBert(path, architecture, towerRows(architecture.vision)));
  if (only.includes('llama-vision')) {
    await unlessThere(paths.mmproj, (path) => writeMmproj(path, architecture));
    await unlessThere(paths.stub, (path) => writeStub(path, architecture));
  }
  return { paths, architecture, weightBytes: files['weights.safetensors'].bytes };
}
