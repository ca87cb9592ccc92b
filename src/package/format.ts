/** The few helpers by which every file reader of this room turns trouble into a typed error that names the thing. */
import { type ZodType, z } from 'zod';
import { MiphaError } from '../errors.js';
import { fileText, NotUtf8 } from '../utf8.js';

/** "`what`: expected X, received Y" as ERR_MODEL_FORMAT, with the same in `details`. */
export function formatError(what: string, expected: string, received: unknown, cause?: unknown): MiphaError {
  const shown = typeof received === 'string' ? received : JSON.stringify(received);
  return new MiphaError('ERR_MODEL_FORMAT', `${what}: expected ${expected}, received ${shown ?? 'nothing'}`, {
    details: { what, expected, received },
    ...(cause === undefined ? {} : { cause }),
  });
}

/** A failed file operation on something that is read: absent or unreadable is ERR_MODEL_MISSING, anything else ERR_MODEL_FORMAT. */
export function fileError(path: string, error: unknown): MiphaError {
  if (error instanceof MiphaError) return error;
  const { code } = error as NodeJS.ErrnoException;
  const absent = code === 'ENOENT' || code === 'ENOTDIR';
  if (absent) return new MiphaError('ERR_MODEL_MISSING', `${path}: no such file`, { details: { path }, cause: error });
  const unreadable = code === 'EACCES' || code === 'EPERM';
  return new MiphaError(unreadable ? 'ERR_MODEL_MISSING' : 'ERR_MODEL_FORMAT', `${path}: cannot be read (${code ?? String(error)})`, {
    details: { path },
    cause: error,
  });
}

/** The bytes of a file as text; what is no UTF-8 is refused with its line. */
export function textOf(path: string, bytes: Uint8Array): string {
  try {
    return fileText(bytes);
  } catch (error) {
    if (error instanceof NotUtf8) throw formatError(`${path}:${error.at.line}`, 'UTF-8', error.at.words, error);
    throw error;
  }
}

/** JSON text → a value of `schema`; the error names the file and the first wrong field. */
export function parseJson<T>(path: string, text: string, schema: ZodType<T>): T {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw formatError(path, 'JSON', (error as Error).message.replace(/\s+/g, ' '), error); // which quotes lines of the file
  }
  return validate(path, json, schema);
}

/** A value as `schema` wants it; `path` is for the error. */
export function validate<T>(path: string, value: unknown, schema: ZodType<T>): T {
  const result = schema.safeParse(value, { reportInput: true });
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  const field = issue === undefined || issue.path.length === 0 ? path : `${path}: ${issue.path.join('.')}`;
  throw new MiphaError('ERR_MODEL_FORMAT', `${field}: ${issue?.message ?? 'not valid'}${describe(issue?.input)}`, {
    details: { path, field: issue?.path.join('.') ?? '', issues: z.treeifyError(result.error) },
    cause: result.error,
  });
}

function describe(input: unknown): string {
  if (typeof input === 'string') return ` (${JSON.stringify(input.slice(0, 80))})`;
  return typeof input === 'number' || typeof input === 'boolean' || input === null ? ` (${input})` : '';
}
