// Writes what is made from the code: docs/configuration.md from the schema of the configuration, the tables of options in docs/cameras.md, docs/api from
// the docstrings (npm run setup first).
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { fromDist, readArguments } from './arguments.mjs';

const { check } = readArguments(
  `node scripts/docs.mjs            rewrites docs/configuration.md, the tables of docs/cameras.md and docs/api
node scripts/docs.mjs --check    changes nothing; status 1 when a file is not what the code gives`,
  { options: { check: { type: 'boolean' } } },
).values;
const [{ withOptionTables }, { configReference }] = await Promise.all(['camera/options.js', 'service/config/reference.js'].map(fromDist));
const at = (path) => fileURLToPath(new URL(`../${path}`, import.meta.url));
const DOCUMENTS = { 'configuration.md': configReference, 'cameras.md': withOptionTables, 'api/README.md': apiReference };

for (const [name, made] of Object.entries(DOCUMENTS)) {
  const file = at(`docs/${name}`);
  const present = existsSync(file) ? readFileSync(file, 'utf8') : '';
  const text = made(present);
  if (!check) {
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, text);
  } else if (present !== text) {
    console.error(`docs/${name} is out of date: npm run docs`);
    process.exitCode = 1;
  }
}

/** Throws where a docstring refers to what is not exported. */
function apiReference() {
  const folder = mkdtempSync(join(tmpdir(), 'mipha-api-'));
  try {
    const typedoc = at('scripts/api/node_modules/typedoc/bin/typedoc');
    const run = spawnSync(process.execPath, [typedoc, '--options', at('scripts/api/typedoc.json'), '--out', folder], {
      cwd: at(''),
      encoding: 'utf8',
    });
    if (run.status !== 0) throw new Error(`typedoc failed\n${run.stdout}${run.stderr}`);
    return readFileSync(join(folder, 'README.md'), 'utf8');
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
