/** Texts cut to a limit without tearing a character apart. */

const graphemes = new Intl.Segmenter('und', { granularity: 'grapheme' });
/** Beyond the limit, so that a character that crosses it is seen to. */
const MARGIN = 64;

/** At most `most` UTF-16 units, and no half of what a reader sees as one character: a family of emoji stays or goes whole. */
export function cutText(text: string, most: number): string {
  if (text.length <= most) return text;
  let end = 0;
  for (const { index, segment } of graphemes.segment(text.slice(0, most + MARGIN))) {
    if (index + segment.length > most) break;
    end = index + segment.length;
  }
  return text.slice(0, end > 0 ? end : wholeUnits(text, most)); // one endless character is cut between its code points
}

/** At most `most` UTF-16 units that leave no half of a code point. */
function wholeUnits(text: string, most: number): number {
  const code = text.charCodeAt(most - 1);
  return code >= 0xd800 && code < 0xdc00 ? most - 1 : most;
}
