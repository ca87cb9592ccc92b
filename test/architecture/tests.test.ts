import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import config from '../../vitest.config.js';
import { MACHINE_LACKS } from '../support/machine.js';
import { filesOf, isOnceMore, isThorough, PROJECTS, projectOf, testFiles } from '../support/projects.js';
import { ROOT } from './sources.js';

const files = testFiles();
const text = (path: string) => readFileSync(join(ROOT, path), 'utf8');
/** Without the counts that are only a limit of time, the last argument of a test. */
const withoutLimits = (path: string) => text(path).replace(/^\s*counts\([^()]*\),$/gm, '');

interface Row {
  promise: string;
  path: string;
  counts: string; // "quick, thorough", empty without
}

/** The table of test/README.md. */
const rows: Row[] = text('test/README.md')
  .split('\n')
  .filter((line) => /^\| [^|]+ \| `[^`]+` \| [^`]*\|$/.test(line))
  .map((line) => {
    const [promise = '', test = '', quick = '', thorough = ''] = line
      .split('|')
      .slice(1)
      .map((cell) => cell.trim());
    return { promise, path: `test/${test.replaceAll('`', '')}.test.ts`, counts: [quick, thorough].map(number).filter(Boolean).join(', ') };
  });

function number(cell: string): string {
  return /^[\d,]+/.exec(cell)?.[0].replaceAll(',', '') ?? '';
}

describe('the projects of vitest.config.ts', () => {
  const projects = (config.test?.projects ?? []) as { test: { name: string; include: string[] } }[];
  const included = (name: string) => projects.find(({ test }) => test.name === name)?.test.include ?? [];
  const wanted = (path: string) => process.env.MIPHA_THOROUGH !== '1' || isThorough(path);

  it('have every test file, each in one', () => {
    const all = PROJECTS.flatMap((name) => included(name).filter((path) => !isOnceMore(name, path)));
    expect(all.sort()).toEqual(files.filter(wanted));
    expect(files).toContain('test/architecture/tests.test.ts');
  });

  it('run the suites that load a model of the SDK once more on the stand-in, and nothing else', () => {
    const suites = files.filter((path) => path.startsWith('test/engine/') && /\bMipha\.load\(/.test(text(path)) && !/\/(eval|cuda)\./.test(path));
    expect(suites.length).toBeGreaterThan(3);
    expect(filesOf('tensorrt', true)).toEqual(suites);
    expect(included('tensorrt')).toEqual(process.env.MIPHA_THOROUGH === '1' ? suites : []);
  });

  it('run some of them once more on CUDA, where nvcc is', () => {
    const more = filesOf('cuda', true).filter((path) => isOnceMore('cuda', path));
    expect(more).toHaveLength(MACHINE_LACKS === '' ? 4 : 0);
    expect(filesOf('tensorrt', true)).toEqual(expect.arrayContaining(more));
    expect(filesOf('cuda', false)).toEqual(['test/engine/cuda.test.ts', 'test/native/gpu-answers.test.ts']);
  });

  it('let only those wait for processes that are not quick', () => {
    const strays = files.filter(
      (path) => projectOf(path) === 'quick' && /\bspawn(Sync)?\(|\bexecFile(Sync)?\(|\bloadModel\b|\bstartNode\(/.test(text(path)),
    );
    expect(strays).toEqual([]);
  });
});

describe('the table of test/README.md', () => {
  it('has every test file, and no other', () => {
    expect([...new Set(rows.map(({ path }) => path))].sort()).toEqual(files);
    expect(rows.filter(({ promise }) => promise === '')).toEqual([]);
  });

  it('has every count of the tests, and no other', () => {
    const written = rows.filter(({ counts }) => counts !== '').map(({ path, counts }) => `${path}: ${counts}`);
    const called = files.flatMap((path) =>
      [...withoutLimits(path).matchAll(/(?<!function )\bcounts\(([^()]*)\)/g)].map(
        ([, given = '']) => `${path}: ${given.replaceAll('_', '').trim()}`,
      ),
    );
    expect(written.sort()).toEqual(called.sort());
  });

  it('is compared with a test for each promise that has counts, which only literal numbers can be', () => {
    const strays = files.flatMap((path) => (text(path).match(/\bcounts\((?!\d[\d_]*, \d[\d_]*\))[^)]*\)/g) ?? []).map((call) => `${path}: ${call}`));
    expect(strays.filter((stray) => !stray.startsWith('test/architecture/'))).toEqual([]);
  });
});
