/** mipha-nano's checkpoint with its first layers only, for tests to which its answers do not matter: each layer less saves a pass over all matrices. */
import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { NANO } from './nano.js';

type Header = Record<string, { dtype: string; shape: number[]; data_offsets: [number, number] }>;

/** Writes the checkpoint `out` with so many layers of the decoder and of the tower that run. */
export function writeSmallCheckpoint(out: string, layers: number): void {
  cpSync(join(NANO, 'checkpoint'), out, { recursive: true });
  const config = JSON.parse(readFileSync(join(out, 'config.json'), 'utf8'));
  config.num_hidden_layers = layers;
  config.vision_config.vision_tower.num_hidden_layers = layers + 1; // the last one is not run
  writeFileSync(join(out, 'config.json'), JSON.stringify(config));

  const path = join(out, 'model.safetensors');
  const bytes = readFileSync(path);
  const start = 8 + Number(bytes.readBigUInt64LE(0));
  const { __metadata__, ...header } = JSON.parse(bytes.toString('utf8', 8, start)) as Header;
  const kept: Header = {};
  const parts: Buffer[] = [];
  let at = 0;
  for (const [name, { data_offsets: offsets, ...tensor }] of Object.entries(header)) {
    const layer = Number(/\.layers\.(\d+)\./.exec(name)?.[1] ?? 0);
    if (layer >= layers + (name.includes('vision_tower') ? 1 : 0)) continue;
    const data = bytes.subarray(start + offsets[0], start + offsets[1]);
    kept[name] = { ...tensor, data_offsets: [at, at + data.length] };
    parts.push(data);
    at += data.length;
  }
  const text = Buffer.from(JSON.stringify(kept));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.length));
  writeFileSync(path, Buffer.concat([length, text, ...parts]));
}
