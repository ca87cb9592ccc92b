import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { includes, keptFiles, ROOT, relativeImports, room, type Source, sources, specifiers } from './sources.js';

/** Which rooms of src a room may import from, besides itself. */
const SRC: Record<string, string[]> = {
  redact: [],
  address: ['redact'],
  utf8: [],
  'make-folder': [],
  'error-details': [],
  errors: ['address', 'redact', 'error-details'],
  addon: ['errors'],
  lock: ['errors'],
  package: ['addon', 'lock', 'make-folder', 'errors', 'utf8'],
  signals: [],
  priority: [],
  picture: ['errors', 'error-details'],
  'state-files': ['utf8'],
  engine: ['addon', 'package', 'picture', 'signals', 'decimal', 'spelling', 'errors', 'utf8'],
  backoff: [],
  decimal: [],
  spelling: [],
  camera: ['picture', 'signals', 'backoff', 'errors', 'address', 'redact'],
  watch: ['engine', 'addon', 'camera', 'decimal', 'spelling', 'errors'], // of engine and addon only types: asking goes through an interface
  mqtt: ['watch', 'backoff', 'errors', 'address', 'redact'], // of watch only the schemas of questions and the types of outcomes
  http: ['errors', 'address', 'redact'], // what it serves is handed in
  page: ['mqtt', 'record', 'replay', 'pool', 'watch', 'errors'], // of watch only schemas, of replay and pool only types: a node is an interface
  service: [
    'http',
    'page',
    'watch',
    'camera',
    'mqtt',
    'engine',
    'record',
    'replay',
    'update',
    'state-files',
    'backoff',
    'lock',
    'make-folder',
    'errors',
    'address',
    'redact',
    'utf8',
    'pool',
    'priority',
  ],
  pool: ['mqtt', 'signals', 'errors', 'error-details'],
  record: ['lock', 'make-folder', 'errors'],
  replay: ['record', 'watch', 'camera', 'picture', 'engine', 'errors'], // of camera and engine only types
  update: ['package', 'record', 'replay', 'watch', 'state-files', 'lock', 'make-folder', 'errors'], // of watch and replay what asks a recorded frame again
  eval: ['camera', 'engine', 'package', 'addon', 'picture', 'lock', 'make-folder', 'errors', 'utf8'], // of camera only the kitchen; of engine only types
  messages: ['mqtt', 'watch'],
  shipped: ['addon'],
  index: ['camera', 'engine', 'package', 'addon', 'shipped', 'errors', 'error-details'],
  cli: [
    'index',
    'shipped',
    'service',
    'pool',
    'watch',
    'record',
    'replay',
    'update',
    'eval',
    'engine',
    'package',
    'addon',
    'camera',
    'mqtt',
    'lock',
    'make-folder',
    'priority',
    'errors',
    'address',
    'redact',
    'utf8',
  ],
};

/** Which rooms of native a room may include from, besides itself. `package` reads model's structs; `model` never looks back. */
const NATIVE: Record<string, string[]> = {
  core: [],
  model: ['core'],
  package: ['model', 'core'],
  backend: ['package', 'model', 'core'],
  engine: ['backend', 'package', 'model', 'core'],
  addon: ['engine', 'backend', 'package', 'model', 'core'],
};
const CPP = ['.h', '.cc', '.cpp', '.cu', '.cuh'];

const src = sources('src', ['.ts']);
const native = sources('native', CPP);
const rooms = Object.keys(NATIVE);
const house = native.filter(({ path }) => rooms.includes(room(path)));

function wrongArrows(files: Source[], allowed: Record<string, string[]>, targets: (file: Source) => string[]): string[] {
  return files.flatMap((file) => {
    const from = room(file.path);
    const reachable = allowed[from];
    if (reachable === undefined) return [`${file.path}: the room ${from} is not in the list of rooms`];
    return targets(file)
      .filter((to) => to !== from && !reachable.includes(to))
      .map((to) => `${file.path}: ${from} -> ${to}`);
  });
}

function cycle(files: Source[], targets: (file: Source) => string[]): string[] | null {
  const edges = new Map<string, Set<string>>();
  for (const file of files) {
    const from = room(file.path);
    const known = edges.get(from) ?? new Set();
    for (const to of targets(file)) if (to !== from) known.add(to);
    edges.set(from, known);
  }
  const visit = (name: string, path: string[]): string[] | null => {
    if (path.includes(name)) return [...path.slice(path.indexOf(name)), name];
    for (const next of edges.get(name) ?? []) {
      const found = visit(next, [...path, name]);
      if (found !== null) return found;
    }
    return null;
  };
  for (const name of edges.keys()) {
    const found = visit(name, []);
    if (found !== null) return found;
  }
  return null;
}

const srcTargets = (file: Source) => relativeImports(file).map((path) => (path.startsWith('src/') ? room(path) : `outside (${path})`));
const nativeTargets = ({ text }: Source) =>
  includes(text)
    .map((path) => path.split('/')[0] as string)
    .filter((first) => rooms.includes(first));

describe('arrows between the rooms of src', () => {
  it('point one way', () => {
    expect(src.length).toBeGreaterThan(0);
    expect(wrongArrows(src, SRC, srcTargets)).toEqual([]);
    expect(cycle(src, srcTargets)).toBeNull();
  });

  it('reach the addon only through addon and engine', () => {
    const outside = src.filter(({ path }) => !path.startsWith('src/addon/'));
    expect(outside.filter(({ text }) => /\.node['"`]|process\.dlopen/.test(text)).map(({ path }) => path)).toEqual([]);
  });

  it('leave sharp, mqtt and aedes to the rooms they belong to', () => {
    const owners: Record<string, string[]> = {
      sharp: ['picture', 'camera'],
      mqtt: ['mqtt'],
      'mqtt-packet': ['mqtt'],
      aedes: ['mqtt'],
      commander: ['cli'],
      yaml: ['service'],
      pino: ['service'],
      'prom-client': ['service'],
      hono: ['http', 'page'],
      '@hono/node-server': ['http'],
    };
    const strays = src.flatMap(({ path, text }) =>
      specifiers(text)
        .filter((name) => owners[name] !== undefined && !owners[name].includes(room(path)))
        .map((name) => `${path} imports ${name}`),
    );
    expect(strays).toEqual([]);
  });

  it.each(['src/index.ts', 'src/messages.ts', 'src/pool/index.ts'])('end in %s, which only re-exports', (path) => {
    const entry = src.find((source) => source.path === path);
    const code = (entry?.text ?? '').replace(/\/\*[\s\S]*?\*\/|\/\/.*$/gm, '');
    const statements = code
      .split(';')
      .map((statement) => statement.trim())
      .filter(Boolean);
    expect(statements.length).toBeGreaterThan(0);
    expect(statements.filter((statement) => !/^export\s+(type\s+)?(\{[\s\S]*\}|\*)\s+from\s+'[^']+'$/.test(statement))).toEqual([]);
  });
});

describe('arrows between the rooms of native', () => {
  it('point one way', () => {
    expect(house.length).toBeGreaterThan(0);
    expect(wrongArrows(house, NATIVE, nativeTargets)).toEqual([]);
    expect(cycle(house, nativeTargets)).toBeNull();
  });

  it('leave Node to the addon', () => {
    const strays = native.filter(
      ({ path, text }) => room(path) !== 'addon' && includes(text).some((name) => /(^|\/)(napi|node_api|js_native_api|v8|uv)\.h$/.test(name)),
    );
    expect(strays.map(({ path }) => path)).toEqual([]);
  });

  it('include by the path from native, never by climbing', () => {
    const strays = native.flatMap(({ path, text }) =>
      includes(text)
        .filter((name) => name.startsWith('.'))
        .map((name) => `${path}: ${name}`),
    );
    expect(strays).toEqual([]);
  });

  it('never end the process', () => {
    const strays = house.flatMap(({ path, text }) =>
      text
        .replace(/\/\*[\s\S]*?\*\/|\/\/.*$/gm, '')
        .split('\n')
        .filter((line) => /\b(abort|_?exit|quick_exit|terminate|assert)\s*\(/.test(line))
        .map((line) => `${path}: ${line.trim()}`),
    );
    expect(strays).toEqual([]);
  });
});

describe('every room', () => {
  const all = [...src, ...native, ...sources('scripts', ['.mjs', '.js']), ...sources('test', ['.ts']), ...sources('bench', ['.ts', '.mjs'])];

  it('has a README of at most 15 lines', () => {
    const folders = [...new Set([...src, ...native].map(({ path }) => dirname(path)).filter((folder) => folder !== 'src'))];
    const missing = folders.filter((folder) => !existsSync(join(ROOT, folder, 'README.md')));
    const long = folders
      .filter((folder) => !missing.includes(folder))
      .map((folder) => ({
        folder,
        lines: readFileSync(join(ROOT, folder, 'README.md'), 'utf8')
          .trimEnd()
          .split('\n').length,
      }))
      .filter(({ lines }) => lines > 15);
    expect({ missing, long }).toEqual({ missing: [], long: [] });
  });

  it('keeps its files below 600 lines', () => {
    const long = all.map(({ path, text }) => ({ path, lines: text.split('\n').length })).filter(({ lines }) => lines > 600);
    expect(long).toEqual([]);
  });
});

describe('the repository', () => {
  // Spelled in pieces so that this file does not find itself.
  const FORBIDDEN = [
    ['absolute path of a machine', new RegExp(['(?<![\\w.$}])/(?:wo', 'rk|ho', 'me|ro', 'ot|Us', 'ers)/'].join(''))],
    ['path outside the repository', new RegExp(['\\.\\./sha', 'red/'].join(''))],
    ['registry host', new RegExp(['registry\\.np', 'mjs\\.org|registry\\.ya', 'rnpkg\\.com|py', 'pi\\.org|arti', 'factory'].join(''))],
  ] as const;
  const TEXT = /\.(ts|mjs|js|json|jsonl|md|h|cc|cu|cuh|gyp|gypi|txt|cmake|py|yml|yaml|sh)$|(^|\/)(run|LICENSE|\.npmrc|\.gitignore)$/;

  it('names no machine and no registry', () => {
    const found = keptFiles()
      .filter((path) => TEXT.test(path) && !/vocab\.json$|added_tokens\.json$/.test(path))
      .flatMap((path) => {
        const text = readFileSync(join(ROOT, path), 'utf8');
        return FORBIDDEN.filter(([, pattern]) => pattern.test(text)).map(([what, pattern]) => `${path}: ${what} (${pattern.exec(text)?.[0]})`);
      });
    expect(found).toEqual([]);
  });
});
