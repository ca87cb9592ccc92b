/** The configuration's schema as a tree to walk: which keys exist where, how a setting is called in words, and how it is marked. */
import { z } from 'zod';
import { own } from '../own.js';
import { configSchema } from './schema.js';

/** A node of the JSON Schema, with the marks of schema.ts. */
export interface SettingShape {
  type?: string;
  description?: string;
  default?: unknown;
  properties?: Record<string, SettingShape>;
  required?: string[];
  additionalProperties?: SettingShape | boolean;
  items?: SettingShape;
  oneOf?: SettingShape[];
  enum?: unknown[];
  const?: unknown;
  minimum?: number;
  maximum?: number;
  minLength?: number;
  maxLength?: number;
  minItems?: number;
  maxItems?: number;
  pattern?: string;
  restart?: boolean;
  local?: boolean;
  path?: 'file' | 'uri';
  words?: string;
}

const ID_PATTERN = '^[a-z0-9-]{1,64}$';

export type Path = readonly (string | number)[];

let shape: SettingShape | undefined;

export function configShape(): SettingShape {
  shape ??= z.toJSONSchema(configSchema, { io: 'input' }) as SettingShape;
  return shape;
}

/** Names that are known at this place; empty where any id may stand. */
export function keysOf(shape: SettingShape): string[] {
  return [...new Set([shape, ...(shape.oneOf ?? [])].flatMap(({ properties }) => Object.keys(properties ?? {})))];
}

/** The ids of a record are chosen by the user. */
export function isRecordShape(shape: SettingShape): boolean {
  return typeof shape.additionalProperties === 'object';
}

/** Undefined where the schema knows no such key. `owner` is the value at `shape`: its `type` picks the branch of a union. */
export function childShape(shape: SettingShape, key: string | number, owner?: unknown): SettingShape | undefined {
  if (shape.items !== undefined) return shape.items;
  for (const branch of branches(shape, owner)) {
    if (branch.properties !== undefined && Object.hasOwn(branch.properties, key)) return branch.properties[key];
    if (typeof branch.additionalProperties === 'object') return branch.additionalProperties;
  }
  return undefined;
}

function branches(shape: SettingShape, owner: unknown): SettingShape[] {
  if (shape.oneOf === undefined) return [shape];
  const type = (owner as { type?: unknown } | null | undefined)?.type;
  const chosen = shape.oneOf.filter(({ properties }) => properties?.type?.const === type);
  return chosen.length > 0 ? chosen : shape.oneOf;
}

/** The shapes from the root to `path`, as far as the schema knows it; `input` is the configuration the path leads through. */
export function trail(path: Path, input?: unknown): SettingShape[] {
  const shapes = [configShape()];
  let value = input;
  for (const key of path) {
    const next = childShape(shapes.at(-1) as SettingShape, key, value);
    if (next === undefined) break;
    shapes.push(next);
    value = own(value as Record<string, unknown> | null | undefined, `${key}`);
  }
  return shapes;
}

/** Undefined when the schema does not know the path. */
export function shapeAt(path: Path, input?: unknown): SettingShape | undefined {
  const shapes = trail(path, input);
  return shapes.length === path.length + 1 ? shapes.at(-1) : undefined;
}

/** Only a restart applies this setting. */
export function needsRestart(path: Path): boolean {
  return trail(path).some(({ restart }) => restart === true);
}

/** Never to be changed over MQTT. */
export function isLocal(path: Path): boolean {
  return trail(path).some(({ local }) => local === true);
}

/** With what stands there, something local would go. */
export function holdsLocal(path: Path): boolean {
  const shape = shapeAt(path);
  return shape !== undefined && containsLocal(shape);
}

function containsLocal(shape: SettingShape): boolean {
  if (shape.local === true) return true;
  const parts = [...Object.values(shape.properties ?? {}), ...(typeof shape.additionalProperties === 'object' ? [shape.additionalProperties] : [])];
  return parts.some(containsLocal);
}

/** What may stand there, in words: "a whole number from 1 to 9". */
export function inWords(shape: SettingShape): string {
  const { oneOf, enum: values, properties } = shape;
  if (shape.words !== undefined) return shape.words;
  if (shape.const !== undefined) return String(shape.const);
  if (values !== undefined) return `one of ${values.join(', ')}`;
  if (oneOf !== undefined) return `an object with type: one of ${oneOf.map((branch) => branch.properties?.type?.const).join(', ')}`;
  switch (shape.type) {
    case 'boolean':
      return 'true or false';
    case 'integer':
      return `a whole number${range(shape.minimum, shape.maximum)}`;
    case 'number':
      return `a number${range(shape.minimum, shape.maximum)}`;
    case 'string':
      if (shape.pattern === ID_PATTERN) return 'an id of lower-case letters, digits and hyphens, at most 64';
      return `${shape.path === 'file' ? 'a path' : 'text'}${length(shape.minLength, shape.maxLength, 'characters')}`;
    case 'array':
      return `a list${length(shape.minItems, shape.maxItems, 'entries')}`;
    case 'object':
      return properties === undefined ? 'an object by id' : 'an object';
    default:
      return 'another value';
  }
}

function range(minimum: number | undefined, maximum: number | undefined): string {
  const low = minimum !== undefined && minimum > Number.MIN_SAFE_INTEGER ? minimum : undefined;
  const high = maximum !== undefined && maximum < Number.MAX_SAFE_INTEGER ? maximum : undefined;
  if (low !== undefined && high !== undefined) return ` from ${low} to ${high}`;
  if (low !== undefined) return ` of at least ${low}`;
  return high === undefined ? '' : ` of at most ${high}`;
}

function length(least: number | undefined, most: number | undefined, unit: string): string {
  if (most !== undefined && least === most) return ` of ${most} ${unit}`;
  if (most !== undefined) return ` of ${least === undefined || least === 0 ? 'at most' : `${least} to`} ${most} ${unit}`;
  return least === undefined || least <= 1 ? '' : ` of at least ${least} ${unit}`;
}
