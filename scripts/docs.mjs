// Writes what is made from the code: docs/configuration.md from the schema of the configuration, docs/api from the docstrings (npm run setup first).
//   node scripts/docs.mjs            rewrites them
//   node scripts/docs.mjs --check    changes nothing; status 1 when one of them is not what the code gives
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { configReference } from '../dist/service/config/reference.js';

const at = (path) => fileURLToPath(new URL(`../${path}`, import.meta.url));
const HELP = 'Usage: node scripts/docs.mjs [--check]';
const flags = process.argv.slice(2);
if (flags.includes('--help')) {
  console.log(HELP);
} else if (flags.some((flag) => flag !== '--check')) {
  console.error(`${HELP}\nUnknown: ${flags.find((flag) => flag !== '--check')}`);
  process.exitCode = 2;
} else {
  const made = { 'docs/configuration.md': configReference(), 'docs/api/README.md': apiReference() };
  for (const [file, text] of Object.entries(made)) {
    if (!flags.includes('--check')) writeFileSync(at(file), text);
    else if (text !== readFileSync(at(file), 'utf8')) {
      console.error(`${file} is out of date: npm run docs`);
      process.exitCode = 1;
    }
  }
}

/** Throws where a docstring refers to what is not exported. */
function apiReference() {
  const folder = mkdtempSync(join(tmpdir(), 'mipha-api-'));
  try {
    const typedoc = at('scripts/api/node_modules/typedoc/bin/typedoc');
    const { status, stdout, stderr } = spawnSync(process.execPath, [typedoc, '--options', at('scripts/api/typedoc.json'), '--out', folder], {
      cwd: at(''),
      encoding: 'utf8',
    });
    if (status !== 0) throw new Error(`typedoc failed\n${stdout}${stderr}`);
    return readFileSync(join(folder, 'README.md'), 'utf8');
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
