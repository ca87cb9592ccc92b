// The committed table: one line per kernel and target, and what a change does to it.

/** By name: which way is worse, +1 larger, -1 smaller, 0 neither. */
const COLUMNS = {
  registers: { title: 'registers', worse: 0 },
  stack: { title: 'stack', worse: 1 },
  local: { title: 'local', worse: 1 },
  shared: { title: 'shared', worse: 0 },
  warps: { title: 'warps', worse: -1 },
  load: { title: 'load', worse: -1 },
  flight: { title: 'in flight', worse: -1 },
  perBytes: { title: 'per 16 B', worse: 1 },
  perProduct: { title: 'per mma', worse: 1 },
};
const NAMES = Object.keys(COLUMNS);
const NONE = '-';

const key = ({ file, kernel, target }) => `${file}: ${kernel}, sm_${target}`;
const show = (value) => (value === null ? NONE : String(value));

/** Rows are { file, kernel, target, ...measures }. */
export function format(version, rows) {
  const head = ['file', 'kernel', 'sm', ...NAMES.map((name) => COLUMNS[name].title)];
  const cells = rows.map((row) => [row.file, row.kernel, String(row.target), ...NAMES.map((name) => show(row[name]))]);
  const widths = head.map((_, index) => Math.max(...[head, ...cells].map((line) => line[index].length)));
  const lines = [head, ...cells].map((line) =>
    line
      .map((cell, index) => (index < 2 ? cell.padEnd(widths[index]) : cell.padStart(widths[index])))
      .join(' | ')
      .trimEnd(),
  );
  return `${[
    `nvcc ${version}. Written by: npm run report:cuda -- --write`,
    'Stack in bytes, local: instructions that touch local memory, warps: resident per multiprocessor (of sm_110 not verified), load: narrowest of the',
    'main loop in bytes, in flight: KiB per multiprocessor; instructions per 16 bytes of weights, per tensor-core instruction.',
    '',
    ...lines,
  ].join('\n')}\n`;
}

/** { version, rows } of a table; throws where it is none. */
export function parse(text) {
  const version = /^nvcc (\d+\.\d+\.\d+)\./.exec(text)?.[1];
  const [, body] = text.split('\n\n');
  if (version === undefined || body === undefined) throw new Error('not a table of this report: npm run report:cuda -- --write makes one');
  const rows = body
    .trimEnd()
    .split('\n')
    .slice(1)
    .map((line) => {
      const [file, kernel, target, ...values] = line.split(' | ').map((cell) => cell.trim());
      const measures = NAMES.map((name, index) => [name, values[index] === NONE ? null : Number(values[index])]);
      return { file, kernel, target: Number(target), ...Object.fromEntries(measures) };
    });
  return { version, rows };
}

/** Lines of what got worse, what got better, and what is different without being either. */
export function compare(old, now) {
  const found = { worse: [], better: [], other: [] };
  const before = new Map(old.map((row) => [key(row), row]));
  for (const row of now) {
    const was = before.get(key(row));
    before.delete(key(row));
    if (was === undefined) found.other.push(`${key(row)}: not in the table`);
    else for (const name of NAMES) if (was[name] !== row[name]) found[direction(name, was[name], row[name])].push(change(row, name, was[name]));
  }
  found.other.push(...[...before.keys()].map((gone) => `${gone}: only in the table`));
  return found;
}

function direction(name, was, is) {
  const { worse } = COLUMNS[name];
  if (worse === 0) return 'other';
  if (was === null || is === null) return is === null ? 'worse' : 'better'; // a main loop that is no longer found
  return Math.sign(is - was) === worse ? 'worse' : 'better';
}

function change(row, name, was) {
  return `${key(row)}: ${COLUMNS[name].title} ${show(was)} -> ${show(row[name])}`;
}

/** Lines of the bars that a row does not hold. Spills are for every kernel; `onlySpills`: no other bar. */
export function failures(row, { most = {}, least = {} }, onlySpills) {
  const bars = [
    ...Object.entries({ stack: 0, local: 0, ...(onlySpills ? {} : most) }).map(([name, bar]) => ({
      name,
      bar,
      holds: row[name] <= bar,
      words: 'at most',
    })),
    ...Object.entries(onlySpills ? {} : least).map(([name, bar]) => ({ name, bar, holds: row[name] >= bar, words: 'at least' })),
  ];
  return bars
    .filter(({ name, holds }) => row[name] === null || !holds)
    .map(({ name, bar, words }) => `${key(row)}: ${COLUMNS[name].title} ${row[name] === null ? 'not found' : row[name]}, expected ${words} ${bar}`);
}
