/** The one line in which a command ends: its advice is given once. */
import { afterEach, expect, it, vi } from 'vitest';
import { report } from '../../src/cli/failure.js';
import { type ErrorCode, MiphaError } from '../../src/errors.js';

afterEach(() => vi.restoreAllMocks());

function lineOf(code: ErrorCode, message: string): string {
  const write = vi.spyOn(process.stderr, 'write').mockReturnValue(true);
  report(new MiphaError(code, message), false);
  return write.mock.calls.map(([text]) => text).join('');
}

it.each<[ErrorCode, string]>([
  ['ERR_MODEL_MISSING', '/srv/nano: the package is not calibrated; mipha calibrate makes one that is'],
  ['ERR_BACKEND_UNAVAILABLE', '/srv/nano has no engines for this machine (none): mipha build /srv/nano'],
  ['ERR_BACKEND_UNAVAILABLE', 'TensorRT: no GPU; `mipha doctor` says what this machine needs'],
  ['ERR_BACKEND_UNAVAILABLE', 'TensorRT: expected interface 2, received 1; compile it again: npm rebuild mipha-edge (in a clone: npm run setup)'],
  ['ERR_SELF_TEST', 'TensorRT: engine vision: features off by 3; build it again: mipha build'],
])('%s: adds nothing to "%s"', (code, message) => {
  expect(lineOf(code, message)).toBe(`mipha: ${code}: ${message}\n`);
});

it.each<[ErrorCode, string, string]>([
  ['ERR_MODEL_MISSING', '/srv/mipha models/nano: no such folder', 'mipha convert CHECKPOINT OUT'],
  ['ERR_MEMORY', 'TensorRT: 2 GB for weights: out of memory', 'close other programs'],
  ['ERR_BACKEND_UNAVAILABLE', 'threads: expected 8, the system gave 4', 'run mipha doctor'],
])('%s: says after "%s" what to do', (code, message, remedy) => {
  expect(lineOf(code, message)).toMatch(new RegExp(`^mipha: ${code}: ${message} - [^\\n]*${remedy}[^\\n]*\\n$`));
});
