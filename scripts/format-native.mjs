// Formats native/ with clang-format and the rules of .clang-format.
import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { readArguments } from './arguments.mjs';

const ROOT = resolve(dirname(fileURLToPath(import.meta.url)), '..');
const SOURCE = /\.(h|cc|cu|cuh)$/;

const { check } = readArguments(
  `node scripts/format-native.mjs            rewrites the files of native/
node scripts/format-native.mjs --check    changes nothing; status 1 and a list when a file is not formatted`,
  { options: { check: { type: 'boolean' } } },
).values;
const files = readdirSync(join(ROOT, 'native'), { recursive: true, encoding: 'utf8' })
  .filter((path) => SOURCE.test(path))
  .map((path) => join('native', path))
  .sort();

const options = check ? ['--dry-run', '--Werror'] : ['-i'];
const result = spawnSync('clang-format', [...options, ...files], { cwd: ROOT, encoding: 'utf8' });
if (result.error?.code === 'ENOENT') {
  console.error('clang-format is not installed. On Debian and Ubuntu: sudo apt-get install -y clang-format');
  process.exitCode = 1;
} else if (result.error) {
  throw result.error;
} else if (check && result.status !== 0) {
  const unformatted = new Set(result.stderr.match(/^native\/[^:\n]+(?=:\d+:\d+: )/gm));
  console.error(unformatted.size > 0 ? `Not formatted (npm run format):\n  ${[...unformatted].join('\n  ')}` : result.stderr);
  process.exitCode = 1;
} else {
  process.stderr.write(result.stderr);
  process.exitCode = result.status ?? 1;
}
