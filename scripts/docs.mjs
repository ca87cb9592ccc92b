// Writes docs/configuration.md from the schema of the configuration, and the tables of options in docs/cameras.md (npm run setup first).
import { readFileSync, writeFileSync } from 'node:fs';
import { fromDist, readArguments } from './arguments.mjs';

const { check } = readArguments(
  `node scripts/docs.mjs            rewrites docs/configuration.md and the tables of docs/cameras.md
node scripts/docs.mjs --check    changes nothing; status 1 when a file is not what the code gives`,
  { options: { check: { type: 'boolean' } } },
).values;
const [{ withOptionTables }, { configReference }] = await Promise.all(['camera/options.js', 'service/config/reference.js'].map(fromDist));
const DOCUMENTS = { 'configuration.md': configReference, 'cameras.md': withOptionTables };

for (const [name, made] of Object.entries(DOCUMENTS)) {
  const file = new URL(`../docs/${name}`, import.meta.url);
  const present = readFileSync(file, 'utf8');
  const text = made(present);
  if (!check) {
    writeFileSync(file, text);
  } else if (present !== text) {
    console.error(`docs/${name} is out of date: node scripts/docs.mjs`);
    process.exitCode = 1;
  }
}
