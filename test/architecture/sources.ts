/** The source files of the repository and what each of them imports, for the tests of the arrows. */
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';

export const ROOT = fileURLToPath(new URL('../../', import.meta.url));

export interface Source {
  path: string; // from the repository root
  text: string;
}

/** All files below `folder` whose name ends in one of `endings`. */
export function sources(folder: string, endings: string[]): Source[] {
  if (!existsSync(join(ROOT, folder))) return [];
  return readdirSync(join(ROOT, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && endings.some((ending) => entry.name.endsWith(ending)) && !entry.parentPath.includes('/node_modules'))
    .map((entry) => join(entry.parentPath, entry.name).slice(ROOT.length))
    .sort()
    .map((path) => ({ path, text: readFileSync(join(ROOT, path), 'utf8') }));
}

/** Everything that git would keep: tracked files and new ones that no ignore rule names. */
export function keptFiles(): string[] {
  const listed = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard', '-z'], { cwd: ROOT, encoding: 'utf8' });
  return listed.split('\0').filter((path) => path !== '' && existsSync(join(ROOT, path)));
}

/** Repository paths of the relative imports of a TypeScript file, types included. */
export function relativeImports({ path, text }: Source): string[] {
  return specifiers(text)
    .filter((specifier) => specifier.startsWith('.'))
    .map((specifier) => normalize(join(dirname(path), specifier)).replace(/\.js$/, '.ts'));
}

/** Module names that a TypeScript file imports from, relative ones included. */
export function specifiers(text: string): string[] {
  return [...text.matchAll(/(?:\bfrom\s*|\bimport\s*\(\s*|\bimport\s+)['"]([^'"]+)['"]/g)].map((match) => match[1] as string);
}

/** Quoted includes of a C++ file. */
export function includes(text: string): string[] {
  return [...text.matchAll(/^\s*#\s*include\s*["<]([^">]+)[">]/gm)].map((match) => match[1] as string);
}

/** The room of a path below src or native: its first folder, or the file's own name at the top. */
export function room(path: string): string {
  const [, first, second] = path.split('/');
  return second === undefined ? (first as string).replace(/\.\w+$/, '') : (first as string);
}
