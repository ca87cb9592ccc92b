/** JSON and JSON lines of LLaVA's folder, with the md5 of what was read and errors that name the line. */
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import type { z } from 'zod';
import { fileText, NotUtf8 } from '../../utf8.js';
import { dataError } from '../item.js';

export interface JsonFile<T> {
  path: string;
  md5: string;
  value: T;
}

/** Throws ERR_OPTION. */
export async function readJson<T>(path: string, schema: z.ZodType<T>): Promise<JsonFile<T>> {
  const { text, md5 } = await readText(path);
  return { path, md5, value: parsed(path, text, schema) };
}

/** An object a line; blank lines are none. Throws ERR_OPTION. */
export async function readJsonLines<T>(path: string, schema: z.ZodType<T>): Promise<JsonFile<{ line: number; value: T }[]>> {
  const { text, md5 } = await readText(path);
  const lines = text.split('\n').map((line, index) => ({ line: index + 1, text: line }));
  const filled = lines.filter((line) => line.text.trim() !== '');
  if (filled.length === 0) throw dataError(path, 'a JSON object a line', 'an empty file');
  return { path, md5, value: filled.map(({ line, text: json }) => ({ line, value: parsed(`${path}:${line}`, json, schema) })) };
}

async function readText(path: string): Promise<{ text: string; md5: string }> {
  const bytes = await readFile(path);
  try {
    return { text: fileText(bytes), md5: createHash('md5').update(bytes).digest('hex') };
  } catch (error) {
    throw error instanceof NotUtf8 ? dataError(`${path}:${error.at.line}`, 'UTF-8', error.at.words) : error;
  }
}

function parsed<T>(where: string, text: string, schema: z.ZodType<T>): T {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw dataError(where, 'JSON', `${JSON.stringify(text.length > 60 ? `${text.slice(0, 57)}...` : text)} (${(error as Error).message})`);
  }
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  throw dataError(`${where}${issue?.path.length ? `: ${issue.path.join('.')}` : ''}`, 'what this file has', issue?.message ?? 'something else');
}
