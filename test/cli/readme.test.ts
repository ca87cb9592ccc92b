import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { errorCodes } from '../../src/errors.js';
import { mipha, ROOT } from './run.js';

const readme = await readFile(join(ROOT, 'README.md'), 'utf8');
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
    const documents = ['README.md', ...['mqtt', 'configuration', 'cameras', 'jetson', 'sdk', 'service'].map((name) => `docs/${name}.md`)];
    const missing = await Promise.all(
      documents.map(async (document) => {
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

  it('names every error code', () => {
    expect(errorCodes.filter((code) => !readme.includes(`\`${code}\``))).toEqual([]);
  });

  it('names only scripts that exist', async () => {
    const { scripts } = JSON.parse(await readFile(join(ROOT, 'package.json'), 'utf8')) as { scripts: Record<string, string> };
    const named = [...readme.matchAll(/npm (?:run )?(?:-s )?((?:test|demo|setup|check|mipha)(?::\w+)?)\b/g)].map((match) => match[1] as string);
    expect(named.length).toBeGreaterThan(3);
    expect(named.filter((name) => scripts[name] === undefined)).toEqual([]);
  });
});
