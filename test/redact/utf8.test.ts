import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readSamples } from '../../src/engine/samples.js';
import { readSecrets } from '../../src/mqtt/client.js';
import { openCheckpoint } from '../../src/package/checkpoint.js';
import { PHI } from '../../src/package/prompts.js';
import { readTokenizerFiles } from '../../src/package/tokenizer-files.js';
import { loadConfig } from '../../src/service/config/config.js';
import { StateDir } from '../../src/service/state/state-dir.js';
import { fileText, utf8Text } from '../../src/utf8.js';
import { EVAL, NANO } from '../cli/run.js';

let folder = '';
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mipha-utf8-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

async function written(name: string, bytes: Buffer | string): Promise<string> {
  const path = join(folder, name);
  await writeFile(path, bytes);
  return path;
}
const latin1 = (text: string) => Buffer.from(text, 'latin1');

describe('text out of bytes', () => {
  it.each<[string, number[], { offset: number; line: number; column: number; byte: string }]>([
    ['Latin-1', [0x61, 0x0a, 0x62, 0xfc, 0x63], { offset: 3, line: 2, column: 2, byte: '0xFC' }],
    ['a sequence that is broken off', [0x61, 0xe2, 0x82, 0x62], { offset: 1, line: 1, column: 2, byte: '0xE2' }],
    ['a sequence that is cut off by the end', [0xc3, 0xa4, 0xf0, 0x9f, 0x98], { offset: 2, line: 1, column: 2, byte: '0xF0' }],
    ['a continuation that continues nothing', [0x80], { offset: 0, line: 1, column: 1, byte: '0x80' }],
    ['an overlong slash', [0x2e, 0xc0, 0xaf], { offset: 1, line: 1, column: 2, byte: '0xC0' }],
    ['half of a surrogate pair', [0x61, 0x61, 0xed, 0xa0, 0x80], { offset: 2, line: 1, column: 3, byte: '0xED' }],
    ['UTF-16', [0xff, 0xfe, 0x61, 0x00], { offset: 0, line: 1, column: 1, byte: '0xFF' }],
  ])('is refused where it is %s', (_, bytes, { byte, ...at }) => {
    const expected = expect.objectContaining({ at: { ...at, words: `the byte ${byte} at offset ${at.offset}` } });
    for (const read of [utf8Text, fileText]) expect(() => read(Buffer.from(bytes))).toThrow(expected);
  });

  it('is every character as it was written', () => {
    const text = 'a\0ä€😀\u2028\r\n';
    expect(utf8Text(Buffer.from(text))).toBe(text);
    expect([utf8Text(Buffer.from(`\ufeff${text}`)), fileText(Buffer.from(`\ufeff${text}`))]).toEqual([`\ufeff${text}`, text]);
  });
});

describe('text that is no UTF-8', () => {
  it('is refused in a configuration, with its place', async () => {
    const file = await written(
      'latin1.yaml',
      latin1('node: n\ncameras: { k: { uri: "synthetic://kitchen" } }\nwatches: { w: { camera: k, question: "Tür?" } }\n'),
    );
    await expect(loadConfig({ file, env: {} })).rejects.toMatchObject({
      code: 'ERR_CONFIG',
      message: expect.stringContaining('latin1.yaml:3: expected UTF-8, received the byte 0xFC at offset 94'),
      details: { issues: [{ line: 3, column: 40, origin: 'file', source: file }] },
    });
    const marked = await written('bom.yaml', '\ufeffnode: n\n');
    expect((await loadConfig({ file: marked, env: {} })).config.node).toBe('n');
  });

  it('in kept overrides is damage, and set aside', async () => {
    await written('overrides.json', latin1('{"version":1,"overrides":{"watches":{"w":{"question":"Tür?"}}}}'));
    const warnings: string[] = [];
    const state = new StateDir(folder, { onWarning: (message) => warnings.push(message) });
    await state.open();
    expect([state.overrides, warnings]).toEqual([
      {},
      [expect.stringMatching(/set aside.*expected UTF-8, received the byte 0xFC at offset 55 \(line 1\)/)],
    ]);
  });

  it('is refused in the files of a checkpoint and of a tokenizer', async () => {
    await written('config.json', latin1('{\n"x": "ü"}'));
    await expect(openCheckpoint(folder)).rejects.toMatchObject({
      code: 'ERR_MODEL_FORMAT',
      message: expect.stringMatching(/config\.json:2: expected UTF-8, received the byte 0xFC at offset 8$/),
    });
    await written('vocab.json', '{"<|endoftext|>":0}');
    await written('merges.txt', latin1('a b\nc \xe9\n'));
    await expect(readTokenizerFiles(folder, PHI)).rejects.toMatchObject({ message: expect.stringMatching(/merges\.txt:2: expected UTF-8/) });
  });
});

describe('a file of questions', () => {
  it('is refused with the line that is no UTF-8', async () => {
    const prompts = await written('prompts.txt', latin1('Is it open?\n# \xfc\n'));
    await expect(readSamples(NANO, EVAL, prompts, 1)).rejects.toMatchObject({
      code: 'ERR_OPTION',
      message: expect.stringMatching(/prompts\.txt:2\): expected UTF-8, received "the byte 0xFC at offset 14"/),
    });
  });
});

describe('a password', () => {
  it('is the bytes of its file without one newline, whatever they mean', async () => {
    const cases: [Buffer, Buffer][] = [
      [latin1('hunter2\n'), latin1('hunter2')],
      [latin1('hunter2\r\n'), latin1('hunter2')],
      [latin1(' a b \n\n'), latin1(' a b \n')],
      [Buffer.from([0xe4, 0xff, 0x00, 0x80, 0x0a]), Buffer.from([0xe4, 0xff, 0x00, 0x80])],
      [Buffer.from('\ufeffünï'), Buffer.from('\ufeffünï')],
      [latin1('a\r'), latin1('a\r')],
      [latin1('\n'), latin1('')],
      [latin1(''), latin1('')],
    ];
    for (const [content, password] of cases) {
      const passwordFile = await written('password', content);
      const options = { url: 'mqtt://h', protocol: '5', clientId: 'c', keepaliveS: 15, maxPacketBytes: 1000, passwordFile } as const;
      expect(await readSecrets(options)).toEqual({ password });
    }
  });
});
