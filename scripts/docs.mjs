// Writes docs/configuration.md from the schema of the configuration, and the tables of options in docs/cameras.md (npm run setup first).
//   node scripts/docs.mjs            rewrites the files
//   node scripts/docs.mjs --check    changes nothing; status 1 when a file is not what the code gives
import { readFileSync, writeFileSync } from 'node:fs';
import { withOptionTables } from '../dist/camera/options.js';
import { configReference } from '../dist/service/config/reference.js';

const DOCUMENTS = { 'configuration.md': configReference, 'cameras.md': withOptionTables };

for (const [name, made] of Object.entries(DOCUMENTS)) {
  const file = new URL(`../docs/${name}`, import.meta.url);
  const present = readFileSync(file, 'utf8');
  const text = made(present);
  if (!process.argv.includes('--check')) {
    writeFileSync(file, text);
  } else if (present !== text) {
    console.error(`docs/${name} is out of date: node scripts/docs.mjs`);
    process.exitCode = 1;
  }
}
