import { existsSync } from 'node:fs';
import { copyFile, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { errorCodes } from '../../src/errors.js';
import { EVAL, mipha, node, ROOT } from './run.js';

const readme = await readFile(join(ROOT, 'README.md'), 'utf8');
let project = '';

/** A project of somebody else, with mipha-edge installed and a picture in it. */
beforeAll(async () => {
  project = await mkdtemp(join(tmpdir(), 'mipha-readme-'));
  await mkdir(join(project, 'node_modules'));
  for (const name of ['zod', '@types']) await symlink(join(ROOT, 'node_modules', name), join(project, 'node_modules', name));
  await symlink(ROOT, join(project, 'node_modules', 'mipha-edge'));
  await symlink(join(ROOT, 'models'), join(project, 'models'));
  await copyFile(join(EVAL, 'pictures', '0000.png'), join(project, 'kitchen.png'));
  await writeFile(join(project, 'package.json'), '{ "type": "module" }');
  const compilerOptions = {
    module: 'nodenext',
    target: 'es2023',
    lib: ['es2023', 'esnext.disposable'],
    types: ['node'],
    strict: true,
    skipLibCheck: true,
  };
  await writeFile(join(project, 'tsconfig.json'), JSON.stringify({ compilerOptions, files: ['snippet.ts'] }));
});
afterAll(() => rm(project, { recursive: true }));

describe('README', () => {
  it('shows a program that compiles and gives these answers', async () => {
    const [, snippet = ''] = /```ts\n([\s\S]*?)```/.exec(readme) ?? [];
    expect(snippet).toContain("from 'mipha-edge'");
    expect(snippet.split('\n').filter(Boolean).length).toBeLessThanOrEqual(15);
    await writeFile(join(project, 'snippet.ts'), snippet);
    const compiled = await node([join(ROOT, 'node_modules', 'typescript', 'bin', 'tsc'), '-p', project]);
    expect(compiled).toEqual({ code: 0, stdout: '', stderr: '' });
    const { code, stdout, stderr } = await node([join(project, 'snippet.js')], { cwd: project });
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    const [door, rest, description] = stdout.split('\n');
    expect(door).toMatch(/^true 0\.9\d*$/);
    expect(rest).toMatch(/^(true|false) 0$/);
    expect(description).toMatch(/ on the table\. The lamp is (on|off) and the door is open\./);
  });

  it('shows a configuration that is valid', async () => {
    const [, yaml = ''] = /```yaml\n([\s\S]*?)```/.exec(readme) ?? [];
    await writeFile(join(project, 'mipha.yaml'), yaml);
    const { code, stderr } = await mipha(['check-config', join(project, 'mipha.yaml')]);
    expect(code, stderr).toBe(0); // with a warning where there is no such camera
  });

  it('names only files that exist', async () => {
    const documents = ['README.md', 'docs/mqtt.md', 'docs/configuration.md', 'docs/jetson.md', 'docs/service.md'];
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
