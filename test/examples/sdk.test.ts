/** The program in docs/sdk.md, compiled and run in a project of somebody else: it prints what the document says. */
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { node, ROOT } from '../cli/run.js';

it('docs/sdk.md is a program that prints what stands there', async () => {
  const document = await readFile(join(ROOT, 'docs', 'sdk.md'), 'utf8');
  const program = [...document.matchAll(/```ts\n([\s\S]*?)```/g)].map((match) => match[1]).join('');
  const expected = [...program.matchAll(/\/\/ → (.*)$/gm)].map((match) => match[1]);
  expect(expected.length).toBeGreaterThan(7);

  const project = await mkdtemp(join(tmpdir(), 'mipha-sdk-'));
  try {
    await mkdir(join(project, 'node_modules'));
    for (const name of ['zod', '@types']) await symlink(join(ROOT, 'node_modules', name), join(project, 'node_modules', name));
    await symlink(ROOT, join(project, 'node_modules', 'mipha-edge'));
    await writeFile(join(project, 'package.json'), '{ "type": "module" }');
    await writeFile(join(project, 'sdk.ts'), program);
    const compilerOptions = { module: 'nodenext', target: 'es2023', lib: ['es2023', 'esnext.disposable'], types: ['node'], strict: true };
    await writeFile(
      join(project, 'tsconfig.json'),
      JSON.stringify({ compilerOptions: { ...compilerOptions, skipLibCheck: true }, files: ['sdk.ts'] }),
    );
    const compiled = await node([join(ROOT, 'node_modules', 'typescript', 'bin', 'tsc'), '-p', project]);
    expect(compiled).toEqual({ code: 0, stdout: '', stderr: '' });
    const { code, stdout, stderr } = await node([join(project, 'sdk.js')], { cwd: project });
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout.trim().split('\n')).toEqual(expected);
  } finally {
    await rm(project, { recursive: true });
  }
});
