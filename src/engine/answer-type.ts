/** What `as` takes, as types: a schema that cannot be guaranteed does not compile, as far as types can tell (checks and refinements are found at run time). */
import type { z } from 'zod';
import type { JsonSchema } from './json-schema.js';

interface Kind<Name extends string, More = unknown> {
  readonly _zod: { readonly def: { readonly type: Name } & More };
}

type ScalarType =
  | Kind<'boolean' | 'enum' | 'literal' | 'number' | 'string'>
  | Kind<'union', { readonly options: readonly Kind<'enum' | 'literal'>[] }>;
type ObjectType = Kind<'object', { readonly shape: { readonly [name: string]: FieldType } }>;
type FieldType = ValueType | Kind<'optional' | 'nullable', { readonly innerType: FieldType }>;
type ValueType = ScalarType | ObjectType | Kind<'array', { readonly element: ScalarType | ObjectType }>;

/** A zod 4 type whose values decoding can guarantee. */
export type AnswerType<T> = z.ZodType<T> & ValueType;

/** The value that `as` promises. */
export type ValueOf<As> = As extends z.ZodType<infer T> ? T : As extends JsonSchema ? unknown : string;
