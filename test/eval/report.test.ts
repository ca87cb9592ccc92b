/** What a report says, and beside what it puts a number. */
import { describe, expect, it } from 'vitest';
import { compare } from '../../src/eval/compare.js';
import type { Dataset } from '../../src/eval/item.js';
import { kitchen } from '../../src/eval/kitchen.js';
import { markdown, page, plain } from '../../src/eval/page.js';
import { type BenchmarkReport, benchmarkReport, isComparable, shown } from '../../src/eval/report.js';
import { marksOf } from '../../src/eval/score.js';
import { tables } from '../../src/eval/tables.js';
import { readManifest } from '../../src/package/verify.js';
import { NANO } from '../support/nano.js';

const manifest = await readManifest(NANO);
const dataset = { ...kitchen(2), benchmark: 'gqa' as const };
const answers = (say: (truth: string, index: number) => string, items = dataset.items) =>
  new Map(items.map(({ id, truth }, index) => [id, { text: say(truth[0] as string, index), confidence: null, ms: 250 }]));

function reportOf(change: Partial<BenchmarkReport> = {}, of: Dataset = dataset): BenchmarkReport {
  const marked = marksOf(
    of,
    'paper',
    answers((truth) => truth),
  );
  return {
    ...benchmarkReport({ dataset: of, of: of.items.length, mode: 'paper', marked, data: null, answers: null, judge: null, upload: null }, manifest),
    ...change,
  };
}

describe('a number', () => {
  it('stands beside published ones only if it is of the whole, in paper mode, of the same data', () => {
    expect(isComparable(reportOf())).toBe(true);
    expect(isComparable(reportOf({ of: 17 }))).toBe(false);
    expect(isComparable(reportOf({ mode: 'constrained' }))).toBe(false);
    expect(isComparable(reportOf({ differs: ['without OCR tokens'] }))).toBe(false);
    expect(isComparable(reportOf({ notes: ['with OCR tokens, as in the paper'] }))).toBe(true);
    for (const benchmark of ['mm-vet', 'vizwiz-val', 'kitchen'] as const) expect(isComparable(reportOf({ benchmark }))).toBe(false);
    const none = { ...reportOf().score, value: null };
    expect([isComparable(reportOf({ score: none })), shown(reportOf({ score: none }))]).toEqual([false, '–']);
    expect(shown(reportOf({ benchmark: 'mme', score: { ...none, value: 1234.56 } }))).toBe('1234.6');
  });

  it('has with it what it was measured on', () => {
    const report = reportOf({ found: 'table: a|b', files: [{ path: 'x.tsv', md5: 'abc' }], upload: 'u.json', notes: ['note <1>'] });
    const all = tables({ package: { name: 'nano', revision: '1', precision: 'w8a8 (1)', imageSize: 112 }, backend: 'cpu', benchmarks: [report] });
    const text = plain(all);
    for (const part of ['0.250', 'x.tsv', 'abc', 'u.json', report.prompts, 'pad', '16 of 16', 'note <1>', '63.9']) expect(text).toContain(part);
    const other = { ...report, differs: ['3 questions, of 12578 that were published'] };
    const beside = plain(
      tables({ package: { name: 'nano', revision: '1', precision: 'w8a8 (1)', imageSize: 112 }, backend: 'cpu', benchmarks: [other] }),
    );
    expect(beside).not.toContain('63.9');
    expect(beside).toContain('gqa, paper: 3 questions, of 12578 that were published');
    expect(markdown('T', 'words', all)).toContain('| data | table: a\\|b |');
    const html = page('T', 'a <b>', all);
    expect(html).toContain('a &#60;b&#62;');
    expect(html).toContain('note &#60;1&#62;');
    expect(html).not.toMatch(/<script|<b>/);
  });
});

describe('a comparison', () => {
  it('counts flips of scores, and of meanings where there are no scores', () => {
    const lower = dataset.items.map((item) => ({ ...item, truth: [(item.truth[0] as string).replace(/\.+$/, '').toLowerCase()] }));
    const of = { ...dataset, items: lower };
    const marked = (wrong: number[]) =>
      marksOf(
        of,
        'paper',
        answers((truth, i) => (wrong.includes(i) ? 'x' : truth), lower),
      );
    expect(compare(of, 'paper', marked([0, 1, 2]), marked([2, 3]))).toMatchObject({
      flipped: 3,
      different: 3,
      items: 16,
      test: { onlyA: 1, onlyB: 2, p: 1 },
    });
    const hidden = { ...of, items: lower.map((item) => ({ ...item, truth: [] })) };
    const unscored = (said: string) => marksOf(hidden, 'paper', new Map(hidden.items.map(({ id }) => [id, { text: said, confidence: null, ms: 1 }])));
    expect(compare(hidden, 'paper', unscored('A.'), unscored('a'))).toMatchObject({ flipped: 0, different: 16, test: null, a: null });
    expect(compare(hidden, 'paper', unscored('a'), unscored('b')).flips).toHaveLength(16);
  });
});
