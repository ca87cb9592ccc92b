import { existsSync, readdirSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { errorCodes, MiphaError } from '../../src/errors.js';
import { mipha, ROOT } from './run.js';

const readme = await readFile(join(ROOT, 'README.md'), 'utf8');
const DOCUMENTS = ['.', 'docs', 'docs/api', 'examples', 'models'].flatMap((folder) =>
  readdirSync(join(ROOT, folder))
    .filter((name) => name.endsWith('.md'))
    .map((name) => join(folder, name)),
);
let project = '';

beforeAll(async () => {
  project = await mkdtemp(join(tmpdir(), 'mipha-readme-'));
});
afterAll(() => rm(project, { recursive: true }));

describe('README', () => {
  it('shows a configuration that is valid', async () => {
    const [, yaml = ''] = /```yaml\n([\s\S]*?)```/.exec(readme) ?? [];
    await writeFile(join(project, 'mipha.yaml'), yaml);
    const { code, stderr } = await mipha(['check-config', join(project, 'mipha.yaml')]);
    expect(code, stderr).toBe(0); // with a warning where there is no such camera
  });

  it('names only files that exist', async () => {
    const missing = await Promise.all(
      DOCUMENTS.map(async (document) => {
        const text = await readFile(join(ROOT, document), 'utf8');
        const links = [...text.matchAll(/\]\((?!https?:|#)([^)#]+)[^)]*\)/g)].map(([, path]) => join(ROOT, document, '..', path as string));
        return links.filter((path) => !existsSync(path));
      }),
    );
    expect(missing.flat()).toEqual([]);
  });

  it('names every command', async () => {
    const { stdout } = await mipha(['--help']);
    const commands = [...stdout.matchAll(/^ {2}([a-z][a-z-]*) .*/gm)].map((match) => match[1] as string).filter((name) => name !== 'help');
    expect(commands.length).toBeGreaterThan(8);
    expect(commands.filter((name) => !readme.includes(`\`mipha ${name}`) && !readme.includes(`\`${name} `))).toEqual([]);
  });

  it('is a shop window, and its documents tell the rest', () => {
    expect(readme.trimEnd().split('\n').length).toBeLessThanOrEqual(120);
    expect(DOCUMENTS.filter((path) => path.startsWith('docs/') && !readme.includes(`(${path})`))).toEqual([]);
  });

  it('names only scripts that exist', async () => {
    const { scripts } = JSON.parse(await readFile(join(ROOT, 'package.json'), 'utf8')) as { scripts: Record<string, string> };
    const named = [...readme.matchAll(/npm (?:run )?(?:-s )?((?:test|demo|setup|check|mipha)(?::\w+)?)\b/g)].map((match) => match[1] as string);
    expect(named.length).toBeGreaterThan(3);
    expect(named.filter((name) => scripts[name] === undefined)).toEqual([]);
  });
});

describe('docs/errors.md', () => {
  it('has a row for every code, and says whether to try again', async () => {
    const text = await readFile(join(ROOT, 'docs', 'errors.md'), 'utf8');
    const rows = [...text.matchAll(/^\| `(ERR_\w+)` \|.*\| (yes|no)[^|]*\|$/gm)].map(([, code, again]) => [code, again === 'yes'] as const);
    expect(Object.fromEntries(rows)).toEqual(Object.fromEntries(errorCodes.map((code) => [code, new MiphaError(code, '').retryable])));
  });
});
