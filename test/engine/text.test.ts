import { describe, expect, it } from 'vitest';
import { answerText, cleanUp, TextStream } from '../../src/engine/text.js';
import { counts } from '../support/counts.js';
import { phiTokenizer } from '../support/gpt2.js';

const tokenizer = phiTokenizer();
const BYTE_IDS = Array.from({ length: 256 }, (_, byte) =>
  Array.from({ length: tokenizer.size }, (_, id) => id).find((id) => tokenizer.bytes(id).length === 1 && tokenizer.bytes(id)[0] === byte),
);

function streamed(ids: number[]): { pieces: string[]; text: string } {
  const stream = new TextStream(tokenizer);
  const pieces = [...ids.map((id) => stream.push(id)), stream.end()];
  return { pieces, text: pieces.join('') };
}

const byteId = (byte: number) => BYTE_IDS[byte] as number;
/** One token for each byte of the text: every place where tokens could cut it. */
const bytewise = (text: string) => Array.from(new TextEncoder().encode(text), byteId);

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

  it.each([
    ["a n ' t", "an't"],
    ["x ' s", "x's"],
    ["they ' re here", "they're here"],
    ["I ' ' m", "I'' m"],
    ["a ' ' ' b", "a'''b"],
    ['  a  .  b  ', 'a .  b'],
    ['\u3000\uFEFF a \u00a0', 'a'],
    [' ', ''],
  ])('of %j is %j, in one piece and in many', (raw, text) => {
    const ids = bytewise(raw);
    expect(answerText(tokenizer, ids)).toBe(text);
    expect(streamed(ids).text).toBe(text);
  });

  it('streams exactly the text, wherever the tokens cut it and wherever the answer ends', () => {
    const next = random(7);
    const pick = <T>(list: ArrayLike<T>) => list[Math.floor((next.next().value as number) * list.length)] as T;
    const few = [..." '.,!?nmtsver"];
    const many = [...few, ' ', ' ', "n't", " '", " ' ", "'ve", 'a', '\n', '\u00a0', '\u3000', '\uFEFF', 'é', '🤖', '世'];
    for (let round = 0; round < counts(3000, 40_000); round++) {
      const alphabet = pick([few, many]);
      const text = Array.from({ length: 1 + Math.floor((next.next().value as number) * 24) }, () => pick(alphabet)).join('');
      let ids = round % 3 === 0 ? tokenizer.encode(text) : bytewise(text);
      if (round % 5 === 0)
        ids = ids.map((id) => ((next.next().value as number) < 0.1 ? byteId(Math.floor((next.next().value as number) * 256)) : id));
      if (round % 4 === 0) ids = ids.slice(0, Math.floor((next.next().value as number) * ids.length)); // cut by a limit
      const whole = answerText(tokenizer, ids);
      const stream = new TextStream(tokenizer);
      let shown = '';
      for (const id of ids) {
        shown += stream.push(id);
        if (!whole.startsWith(shown)) expect({ text, shown }).toEqual({ text, shown: whole });
      }
      shown += stream.end();
      if (shown !== whole) expect({ text, shown }).toEqual({ text, shown: whole });
    }
  }, 300_000);

  it('never shows half a character, and says a word as soon as it is settled', () => {
    const robot = tokenizer.encode('🤖');
    expect(robot.length).toBeGreaterThan(1);
    expect(streamed(robot).pieces.filter((piece) => piece !== '')).toEqual(['🤖']);
    expect(streamed(robot.slice(0, -1)).text).toBe('\uFFFD');
    expect(streamed(tokenizer.encode(' A green box')).pieces).toEqual(['A', ' green', ' box', '']);
  });
});
