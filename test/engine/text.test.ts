import { describe, expect, it } from 'vitest';
import { answerText, cleanUp, TextStream } from '../../src/engine/text.js';
import { phiTokenizer } from '../support/gpt2.js';

const tokenizer = phiTokenizer();

function streamed(ids: number[]): { pieces: string[]; text: string } {
  const stream = new TextStream(tokenizer);
  const pieces = [...ids.map((id) => stream.push(id)), stream.end()];
  return { pieces, text: pieces.join('') };
}

/** Small deterministic generator, for texts made of what the rules look at. */
function* random(seed: number): Generator<number> {
  for (let state = seed; ; ) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    yield state / 2 ** 32;
  }
}

describe('answer text', () => {
  it('removes the spaces that the reference removes', () => {
    expect(cleanUp("It is n't here , is it ? No ! I 'm sure . It 's what we 've said , they 're ' ok ' here .")).toBe(
      "It isn't here, is it? No! I'm sure. It's what we've said, they're'ok'here.",
    );
    expect(answerText(tokenizer, tokenizer.encode(' A man . '))).toBe('A man.');
  });

  it('keeps added runs of spaces and drops special ids', () => {
    expect(answerText(tokenizer, [...tokenizer.encode(' a    b'), 50256])).toBe('a    b');
  });

  it('streams the same characters, each once, whatever the tokens cut', () => {
    const alphabet = [' ', ' ', '.', '?', '!', ',', "'", "n't", "'m", "'s", "'ve", "'re", 'n', 'a', 's', '\n', 'é', '🤖', '世'];
    const next = random(7);
    for (let round = 0; round < 500; round++) {
      const text = Array.from({ length: 30 }, () => alphabet[Math.floor((next.next().value as number) * alphabet.length)]).join('');
      const bytewise = Array.from(
        new TextEncoder().encode(text),
        (byte) => tokenizer.encode(String.fromCharCode(byte < 128 ? byte : 32))[0] as number,
      );
      for (const ids of [tokenizer.encode(text), bytewise]) expect(streamed(ids).text).toBe(answerText(tokenizer, ids));
    }
  });

  it('never shows half a character, and says a word as soon as it is settled', () => {
    const robot = tokenizer.encode('🤖');
    expect(robot.length).toBeGreaterThan(1);
    expect(streamed(robot).pieces.filter((piece) => piece !== '')).toEqual(['🤖']);
    expect(streamed(robot.slice(0, -1)).text).toBe('\uFFFD');
    expect(streamed(tokenizer.encode(' A green box')).pieces).toEqual(['A', ' green', ' box', '']);
  });
});
