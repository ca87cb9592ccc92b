/** Which reader takes a config.json, and what is said about those that none takes. */
import { z } from 'zod';
import { MiphaError } from '../../errors.js';
import { formatError, parseJson } from '../format.js';
import { checkArchitecture } from '../manifest.js';
import type { CheckpointConfig, CheckpointFile, Family } from './family.js';
import { familyOf, missingIn } from './known.js';
import { LLAVA_STYLE } from './llava.js';
import { LLAVA_HF } from './llava-hf.js';
import { MIPHA } from './mipha.js';
import { TINYLLAVA } from './tinyllava.js';

const FAMILIES: readonly Family[] = [MIPHA, ...LLAVA_STYLE, TINYLLAVA, LLAVA_HF];

const namesSchema = z.looseObject({ model_type: z.string().max(200).optional(), architectures: z.array(z.string().max(200)).max(10).nullish() });

/** What people know these models as, in the order of the readers. */
export function familyNames(): string[] {
  return [...new Set(FAMILIES.map(({ name }) => name))];
}

/** Throws ERR_MODEL_FORMAT: an unknown family, one that is known and not supported, or half a model. Asked before any tensor is looked at. */
export function readerOf(path: string, text: string): Family {
  const { model_type: type, architectures } = parseJson(path, text, namesSchema);
  const words = [type ?? '', ...(architectures ?? [])].map((word) => word.toLowerCase().replace(/[-_]/g, ''));
  const reader = FAMILIES.find((family) => family.takes(type ?? '', words));
  if (reader !== undefined) return reader;
  const family = familyOf(type, architectures ?? []);
  const all = familyNames().join(', ');
  if (family === undefined) throw formatError(`${path}: model_type`, `one of a known family (${all})`, type);
  const called = type === undefined ? `architecture ${(architectures ?? []).join(', ')}` : `model_type ${type}`;
  const details = { path, expected: all, received: family.kind === 'picture and language' ? called : family.name, family: family.name };
  if (family.kind === 'picture and language') {
    const what = `${path}: ${family.name} (${called}) is known, not supported: ${missingIn(family.name)}; ${all} are`;
    throw new MiphaError('ERR_MODEL_FORMAT', what, { details });
  }
  const rest = family.kind === 'language' ? 'a language model alone, without the tower that sees' : 'a vision tower alone, without a language model';
  throw new MiphaError('ERR_MODEL_FORMAT', `${path}: expected a checkpoint of ${all}, received ${family.name}: ${rest}`, { details });
}

/** config.json and the names and shapes of tensors → sizes, names, prompt. Throws ERR_MODEL_FORMAT. */
export function readConfig(file: CheckpointFile, reader: Family = readerOf(file.path, file.text)): CheckpointConfig {
  const config = reader.read(file);
  checkArchitecture(file.path, config.architecture);
  return config;
}
