/** The package as npm would publish it, installed in an empty project of somebody else: README's program, types and all. */
import { execFile } from 'node:child_process';
import { chmod, cp, mkdir, mkdtemp, readdir, readFile, realpath, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { counts } from '../support/counts.js';
import { node, ROOT } from './run.js';

const run = promisify(execFile);
const readme = await readFile(join(ROOT, 'README.md'), 'utf8');
const PNPM = join(ROOT, 'node_modules', 'pnpm', 'bin', 'pnpm.cjs');
/** What somebody adds who wants to compile the program. */
const BESIDE = ['zod', '@types/node@20'];

/** What must compile, and what must not. */
const TYPES = `
import { type Answer, type Conversation, type ErrorDetails, Mipha, MiphaError, samplePicture, shippedModel } from 'mipha-edge';
import { z } from 'zod';

export async function types(mipha: Mipha): Promise<void> {
  const view = await mipha.look(new URL('file:///a.png'));
  await mipha.look(new Blob([]));
  await mipha.look(new ArrayBuffer(1));
  await mipha.look(new SharedArrayBuffer(1));
  // @ts-expect-error: no picture
  await mipha.look(7);
  const sure: Answer<boolean> = await view.ask('?', { as: z.boolean() });
  const [color, count, text] = await view.askAll([
    { question: '?', as: z.enum(['red', 'green']) },
    { question: '?', as: z.int().min(0).max(9) },
    { question: '?' },
  ]);
  const values: ['red' | 'green', number, string] = [color.value, count.value, text.value];
  // @ts-expect-error: a boolean is no string
  const wrong: string = sure.value;
  const conversation: Conversation = await view.converse();
  for await (const piece of conversation.stream('?')) piece.trim();
  await conversation.askAll([{ question: '?', as: z.boolean() }]);
  try {
    await view.ask('?');
  } catch (error) {
    if (error instanceof MiphaError && error.code === 'ERR_MEMORY') {
      const needed: number = error.details.neededBytes;
      const details: ErrorDetails['ERR_MEMORY'] = error.details;
      console.log(needed, details, values, wrong, samplePicture.length, shippedModel.length);
    }
  }
}
`;

let folder = '';
let tarball = '';
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mipha-installed-'));
  // Not its prepack script: dist/ is up to date, and others use it meanwhile.
  const { stdout } = await run('npm', ['pack', '--ignore-scripts', '--json', '--pack-destination', folder], { cwd: ROOT });
  const [packed] = Object.values(JSON.parse(stdout)) as [{ filename: string }];
  tarball = join(folder, packed.filename);
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/** By hand: unpacked beside the packages of this checkout, in seconds. */
type Manager = 'hand' | 'npm' | 'pnpm';
const MANAGERS: Manager[] = ['hand', 'npm', 'pnpm'];

/** An empty project with the package in it, and its addon: compiled by npm, else the one that is compiled already. */
async function install(manager: Manager): Promise<string> {
  const project = join(folder, manager);
  await mkdir(project);
  const compiles = manager === 'npm';
  const allowed = { allowScripts: { 'mipha-edge': true } };
  await writeFile(join(project, 'package.json'), JSON.stringify({ name: 'somebody', private: true, type: 'module', ...allowed }));
  const scripts = compiles ? [] : ['--ignore-scripts'];
  const options = { cwd: project, env: { ...process.env, npm_config_audit: 'false', npm_config_fund: 'false' }, maxBuffer: 1 << 26 };
  if (manager === 'hand') await unpack(project);
  else if (manager === 'npm') await run('npm', ['install', '--prefer-offline', ...scripts, tarball, ...BESIDE], options);
  else await run(process.execPath, [PNPM, 'add', '--prefer-offline', ...scripts, tarball, ...BESIDE], options);
  const installed = await realpath(join(project, 'node_modules', 'mipha-edge'));
  if (!compiles) await cp(join(ROOT, 'build', 'Release', 'mipha_edge.node'), join(installed, 'build', 'Release', 'mipha_edge.node'));
  return project;
}

/** What npm would make of the tarball, with links to packages that are here already; what they are, npm and pnpm must find out. */
async function unpack(project: string): Promise<void> {
  const modules = join(project, 'node_modules');
  await mkdir(join(modules, '.bin'), { recursive: true });
  await run('tar', ['-xzf', tarball, '-C', modules]);
  await rename(join(modules, 'package'), join(modules, 'mipha-edge'));
  const { bin } = JSON.parse(await readFile(join(modules, 'mipha-edge', 'package.json'), 'utf8')) as { bin: { mipha: string } };
  await symlink(join('..', 'mipha-edge', bin.mipha), join(modules, '.bin', 'mipha'));
  await chmod(join(modules, 'mipha-edge', bin.mipha), 0o755);
  const here = join(ROOT, 'node_modules');
  for (const name of (await readdir(here)).filter((name) => !['.bin', 'mipha-edge'].includes(name)))
    await symlink(join(here, name), join(modules, name));
}

describe.each(MANAGERS.slice(0, counts(1, 3)))('installed with %s', (manager) => {
  let project = '';
  beforeAll(async () => {
    project = await install(manager);
  }, 1_800_000);

  it("compiles and runs README's program, with types that tell right from wrong", async () => {
    const [, program = ''] = /```ts\n([\s\S]*?)```/.exec(readme) ?? [];
    expect(program).toContain("from 'mipha-edge'");
    expect(program.split('\n').filter(Boolean).length).toBeLessThanOrEqual(15);
    await writeFile(join(project, 'program.ts'), program);
    await writeFile(join(project, 'types.ts'), TYPES);
    const compilerOptions = {
      module: 'nodenext',
      target: 'es2023',
      lib: ['es2023', 'esnext.disposable'],
      types: ['node'],
      strict: true,
    };
    await writeFile(join(project, 'tsconfig.json'), JSON.stringify({ compilerOptions, files: ['program.ts', 'types.ts'] }));
    const compiled = await node([join(ROOT, 'node_modules', 'typescript', 'bin', 'tsc'), '-p', project]);
    expect(compiled).toEqual({ code: 0, stdout: '', stderr: '' });
    const { code, stdout, stderr } = await node([join(project, 'program.js')], { cwd: project });
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toMatch(/^true 0\.9\d*\n/);
    expect(stdout).toMatch(/ on the table\. The lamp is (on|off) and the door is open\./);
  });

  it('has a command line', async () => {
    const path = [join(project, 'node_modules', '.bin'), dirname(process.execPath), process.env.PATH].join(delimiter);
    const { stdout } = await run('mipha', ['--version'], { cwd: project, env: { ...process.env, PATH: path } });
    const { version } = JSON.parse(await readFile(join(ROOT, 'package.json'), 'utf8')) as { version: string };
    expect(stdout.trim()).toBe(version);
  });

  it('shares zod with the program', async () => {
    const { dependencies = {}, peerDependencies } = JSON.parse(await readFile(join(project, 'node_modules', 'mipha-edge', 'package.json'), 'utf8'));
    expect([peerDependencies.zod, dependencies.zod]).toEqual(['^4.5.0', undefined]);
    const path = (from: string) => `require('node:module').createRequire(${JSON.stringify(join(from, 'x.js'))}).resolve('zod')`;
    const installed = await realpath(join(project, 'node_modules', 'mipha-edge'));
    const { stdout } = await node(['-p', `${path(project)} === ${path(installed)}`]);
    expect(stdout.trim()).toBe('true');
  });
});
