import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { EVAL, MAIN, mipha } from './run.js';

const PICTURE = join(EVAL, 'pictures', '0000.png'); // seed 1: a yellow cup, a green box, a white box; the door is open

describe('mipha ask', () => {
  it.each([
    ['Is the door open?', 'boolean', 'true'],
    ['How many objects are on the table?', 'int:0..9', '3'],
    ['What color is the cup?', 'choice:red,green,yellow', 'yellow'],
  ])('%s --as %s', async (question, as, expected) => {
    expect(await mipha(['ask', PICTURE, question, '--as', as])).toEqual({ code: 0, stdout: `${expected}\n`, stderr: '' });
  });

  it('answers in words, at once or piece by piece', async () => {
    const whole = await mipha(['ask', PICTURE, 'Is the cabinet open?']);
    expect(whole).toEqual({ code: 0, stdout: 'Yes, the door is open.\n', stderr: '' });
    expect(await mipha(['ask', PICTURE, 'Is the cabinet open?', '--stream'])).toEqual(whole);
  });

  it('reads a picture from stdin', async () => {
    const stdin = await readFile(PICTURE);
    expect(await mipha(['ask', '-', 'Is the door open?', '--as', 'boolean'], { stdin })).toEqual({ code: 0, stdout: 'true\n', stderr: '' });
  });

  it.each<[string, Uint8Array | undefined, RegExp]>([
    ['nothing on stdin', undefined, /^mipha: ERR_IMAGE: stdin: expected the bytes of a picture, received none\n$/],
    ['an empty stdin', new Uint8Array(), /^mipha: ERR_IMAGE: stdin: expected the bytes of a picture, received none\n$/],
    ['a text on stdin', Buffer.from('no picture'), /^mipha: ERR_IMAGE: .*unsupported image format - JPEG, PNG[^\n]+ are read\n$/],
  ])('refuses %s', async (_, stdin, words) => {
    const { code, stdout, stderr } = await mipha(['ask', '-', 'Why?'], stdin === undefined ? {} : { stdin });
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
    expect(stderr).toMatch(words);
  });

  it('stops at --max-tokens and says so in the JSON', async () => {
    const { code, stdout } = await mipha(['ask', PICTURE, 'Describe the scene.', '--max-tokens', '3', '--json']);
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ finish: 'length', tokens: { answer: 3 } });
  });

  it('gives value, confidence, tokens and timings as JSON', async () => {
    const { code, stdout, stderr } = await mipha(['ask', PICTURE, 'Is the door open?', '--as', 'boolean', '--json']);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    const answer = JSON.parse(stdout);
    expect(answer).toMatchObject({ question: 'Is the door open?', value: true });
    expect(answer.confidence).toBeGreaterThan(0.5);
    expect(answer.confidence).toBeLessThanOrEqual(1);
    expect(answer.tokens.prompt).toBeGreaterThan(0);
    expect(answer.timings).toMatchObject({ queueMs: expect.any(Number), prefillMs: expect.any(Number), decodeMs: expect.any(Number) });
  });

  it.each([
    ['no such picture', [join(EVAL, 'nothing.png'), 'Why?'], 'ERR_IMAGE'],
    ['a picture that is none', [MAIN, 'Why?'], 'ERR_IMAGE'],
    ['no such package', [PICTURE, 'Why?', '--model', join(EVAL, 'nothing')], 'ERR_MODEL_MISSING'],
  ])('reports %s in one line', async (_, args, error) => {
    const { code, stdout, stderr } = await mipha(['ask', ...args]);
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
    expect(stderr).toMatch(new RegExp(`^mipha: ${error}: [^\\n]+\\n$`));
  });

  it('shows the stack with --verbose, wherever it stands', async () => {
    const args = [PICTURE, 'Why?', '--model', join(EVAL, 'nothing')];
    for (const all of [
      ['ask', ...args, '--verbose'],
      ['--verbose', 'ask', ...args],
    ]) {
      const { code, stderr } = await mipha(all);
      expect(code).toBe(1);
      expect(stderr).toMatch(/^\s+at /m);
    }
  });
});
