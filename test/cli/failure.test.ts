/** The one line in which a command ends: its advice is given once. */
import { readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import { adviceFor } from '../../src/cli/advice.js';
import { report } from '../../src/cli/failure.js';
import { type ErrorCode, MiphaError, optionError } from '../../src/errors.js';
import { readerOf } from '../../src/package/families/index.js';
import { fileError, formatError } from '../../src/package/format.js';

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

describe('advice fits the command and the case', () => {
  const errno = (code: string | number) => Object.assign(new Error(`${code}`), { code });
  const failed = (code: ErrorCode, message: string, details = {}, cause?: Error) =>
    new MiphaError<ErrorCode>(code, message, { details, ...(cause === undefined ? {} : { cause }) });
  const { bugs } = JSON.parse(readFileSync('package.json', 'utf8')) as { bugs?: string | { url: string } };
  const address = typeof bugs === 'string' ? bugs : bugs?.url;

  it.each<[string, string, MiphaError, RegExp | undefined]>([
    ['convert', 'no checkpoint', fileError('/no/such', errno('ENOENT')), /^a checkpoint is a folder/],
    ['convert', 'a name on the hub', fileError('zhumj34/Mipha-3B', errno('ENOENT')), /hf download zhumj34\/Mipha-3B --local-dir Mipha-3B$/],
    ['convert', 'no shard', fileError('models/mipha-nano/checkpoint/model-2.safetensors', errno('ENOENT')), /not whole: download it again/],
    ['convert', 'no adapter', fileError('/x/adapter_config.json', errno('ENOENT')), /^an adapter is a folder/],
    ['convert', 'a file of somebody else', fileError('/x/config.json', errno('EACCES')), /^this user may not read it$/],
    ['convert', 'a broken file', formatError('/x/model.safetensors: header', 'JSON', 'x'), /^download the checkpoint again; .*report it/],
    [
      'convert',
      'an unheard-of family',
      formatError('/x/config.json: model_type', 'mipha_phi', 'x'),
      /^if it is published as one of these, please report it/,
    ],
    ['convert', 'weights in another form', failed('ERR_MODEL_MISSING', 'x; do this', { remedy: 'do this' }), undefined],
    ['ask', 'no package', fileError('/no/such/manifest.json', errno('ENOENT')), /mipha convert CHECKPOINT OUT$/],
    [
      'ask',
      'a checkpoint',
      fileError('models/mipha-nano/checkpoint/manifest.json', errno('ENOENT')),
      /^that is a checkpoint, .*mipha-nano\/checkpoint OUT$/,
    ],
    ['ask', 'half a package', fileError('models/mipha-nano/weights2', errno('ENOENT')), /not whole/],
    ['build', 'a file', fileError('package.json/manifest.json', errno('ENOTDIR')), /^that is a file/],
    ['ask', 'a file', fileError('package.json', errno('ENOENT')), /^that is a file/],
    ['ask', 'a broken package', formatError('/x/manifest.json', 'JSON', 'x'), /^the package is damaged or of another version/],
    ['ask', 'no picture', failed('ERR_IMAGE', 'x.png: no', { reason: 'missing', path: 'x.png' }, errno('ENOENT')), /^the path starts at \//],
    ['ask', 'no picture, from the root', failed('ERR_IMAGE', '/x.png: no', { reason: 'missing', path: '/x.png' }, errno('ENOENT')), undefined],
    ['ask', 'a folder', failed('ERR_IMAGE', 'x: no', { reason: 'unreadable', path: 'x' }, errno('EISDIR')), /not a folder$/],
    [
      'ask',
      'a picture of somebody else',
      failed('ERR_IMAGE', 'x: no', { reason: 'unreadable', path: 'x' }, errno('EACCES')),
      /^this user may not read it$/,
    ],
    ['ask', 'a text', failed('ERR_IMAGE', 'x: Input buffer contains unsupported image format', { reason: 'format' }, new Error('x')), /^JPEG, PNG/],
    ['ask', 'an SVG', failed('ERR_IMAGE', 'x: expected jpeg, received svg', { reason: 'format', format: 'svg' }), /^JPEG, PNG/],
    ['ask', 'a damaged picture', failed('ERR_IMAGE', 'x: damaged png: libpng read error', { reason: 'damaged' }, new Error('x')), undefined],
    ['ask', 'nothing', failed('ERR_IMAGE', 'x: expected the bytes of a picture, received none', { reason: 'format', bytes: 0 }), undefined],
    ['ask', 'a picture too large', failed('ERR_IMAGE', 'x: expected 1 to 64 million pixels', { reason: 'size', width: 70_000 }), undefined],
    ['ask', 'a long question', failed('ERR_CONTEXT_FULL', 'x'), /--max-tokens/],
    ['calibrate', 'a long question', failed('ERR_CONTEXT_FULL', 'x'), /^shorten the question$/],
    ['demo', 'no broker', failed('ERR_MQTT', 'x', {}, errno('ECONNREFUSED')), /broker runs/],
    ['demo', 'a broker that refuses the user', failed('ERR_MQTT', 'x', {}, errno(5)), /^check mqtt\.username/],
    ['demo', 'no password file', failed('ERR_MQTT', 'password_file x cannot be read', {}, errno('ENOENT')), undefined],
    ['ask', 'an option that has a neighbour', optionError('x', 'y', 'z', 'yy'), undefined],
    ['ask', 'an option that has none', optionError('x', 'y', 'z'), /^see: mipha ask --help$/],
  ])('%s: %s', (command, _, error, words) => {
    const advice = adviceFor(error, command);
    if (words === undefined) expect(advice).toBeUndefined();
    else expect(advice).toMatch(words);
    if (command === 'convert') expect(advice ?? '').not.toMatch(/mipha convert|convert the checkpoint/);
  });

  it('says nothing about reporting a family that is known, and invents no address', () => {
    const refusal = (config: object) => {
      try {
        readerOf('config.json', JSON.stringify(config));
      } catch (error) {
        return adviceFor(error as MiphaError, 'convert');
      }
      throw new Error('not refused');
    };
    expect(refusal({ model_type: 'llava' })).toBeUndefined();
    expect(refusal({ model_type: 'phi' })).toBeUndefined();
    expect(refusal({ model_type: 'eyesight' })).toBe(
      `if it is published as one of these, please report it${address === undefined ? '' : ` at ${address}`} with its config.json`,
    );
  });

  it('knows a checkpoint by its config.json', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'mipha-advice-'));
    onTestFinished(() => rm(folder, { recursive: true }));
    await writeFile(join(folder, 'config.json'), '{}');
    expect(adviceFor(fileError(join(folder, 'manifest.json'), errno('ENOENT')), 'bench')).toBe(
      `that is a checkpoint, make a package of it: mipha convert ${folder} OUT`,
    );
  });
});
