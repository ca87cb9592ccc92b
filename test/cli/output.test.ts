import { describe, expect, it } from 'vitest';
import { bytes, milliseconds, ProgressBar, table, wrap } from '../../src/cli/output.js';

class Sink {
  text = '';
  constructor(
    readonly isTTY: boolean,
    readonly columns = 80,
  ) {}
  write(text: string): void {
    this.text += text;
  }
}

describe('output', () => {
  it('writes sizes and times in words', () => {
    expect([0, 999, 1000, 1_234_567, 6.4e9, 3e15].map(bytes)).toEqual(['0 B', '999 B', '1 kB', '1.23 MB', '6.4 GB', '3000 TB']);
    expect([0.123, 9.999, 45.67, 123.4, 12_345].map(milliseconds)).toEqual(['0.12 ms', '10.00 ms', '45.7 ms', '123 ms', '12.3 s']);
  });

  it('sets tables in columns', () => {
    expect(
      table([
        ['a', '1'],
        ['long', '2'],
      ]),
    ).toBe('a     1\nlong  2');
  });

  it('breaks lines at spaces and words never', () => {
    expect(wrap('one two three', 7)).toEqual(['one two', 'three']);
    expect(wrap('  one two three', 9, 4)).toEqual(['  one two', '    three']);
    expect(wrap('name   value and more', 12, 7)).toEqual(['name   value', '       and', '       more']);
    expect(wrap('a abcdefghij b', 4)).toEqual(['a', 'abcdefghij', 'b']);
    expect(wrap('', 4)).toEqual(['']);
  });

  it('shows progress on a pipe as one line per stage and quarter', () => {
    const sink = new Sink(false);
    const bar = new ProgressBar(sink);
    for (let i = 0; i <= 1000; i++) bar.update('weights', i / 1000);
    bar.update('self-test', 0);
    bar.end();
    expect(sink.text).toBe('weights 0 %\nweights 25 %\nweights 50 %\nweights 75 %\nweights 100 %\nself-test 0 %\n');
  });

  it('redraws a bar on a terminal and takes it off at the end', () => {
    const sink = new Sink(true);
    const bar = new ProgressBar(sink);
    for (let i = 0; i <= 1000; i++) bar.update('weights', i / 1000);
    bar.update('weights', 7); // out of range: full, not beyond
    expect(sink.text).not.toContain('\n');
    expect(sink.text.match(/\r/g)).toHaveLength(101);
    expect(sink.text).toContain('100 %  weights');
    bar.end();
    expect(sink.text.endsWith('\r\x1b[K')).toBe(true);
    const before = sink.text.length;
    bar.end();
    expect(sink.text.length).toBe(before);
  });

  it('fits a narrow terminal', () => {
    const sink = new Sink(true, 20);
    new ProgressBar(sink).update('weights', 0.5);
    expect(sink.text).toContain(`${'█'.repeat(5)}${'░'.repeat(5)}  50 %`);
  });
});
