// Writes docs/configuration.md from the schema of the configuration (npm run setup first).
//   node scripts/docs.mjs            rewrites the file
//   node scripts/docs.mjs --check    changes nothing; status 1 when the file is not what the schema gives
import { readFileSync, writeFileSync } from 'node:fs';
import { configReference } from '../dist/service/config/reference.js';

const FILE = new URL('../docs/configuration.md', import.meta.url);
const text = configReference();
if (!process.argv.includes('--check')) {
  writeFileSync(FILE, text);
} else if (readFileSync(FILE, 'utf8') !== text) {
  console.error('docs/configuration.md is out of date: node scripts/docs.mjs');
  process.exitCode = 1;
}
