/** JSON from strangers. */

/** Deeper nesting than any request has. */
export const JSON_DEPTH = 32;

const utf8 = new TextDecoder('utf-8', { fatal: true });

/** An empty payload is an empty object. Throws an Error that says what is wrong. */
export function parseJson(payload: Buffer): unknown {
  if (payload.length === 0) return {};
  let text: string;
  try {
    text = utf8.decode(payload);
  } catch {
    throw new Error('the payload is not UTF-8');
  }
  if (depthOf(text) > JSON_DEPTH) throw new Error(`the payload is nested deeper than ${JSON_DEPTH} levels`);
  try {
    return JSON.parse(text);
  } catch {
    throw new Error('the payload is not JSON');
  }
}

/** Largest number of brackets and braces open at once, those in strings left out; the text need not be JSON. */
function depthOf(text: string): number {
  let depth = 0;
  let deepest = 0;
  let inString = false;
  for (let i = 0; i < text.length; i++) {
    const char = text[i];
    if (inString) {
      if (char === '\\') i++;
      else if (char === '"') inString = false;
    } else if (char === '"') inString = true;
    else if (char === '{' || char === '[') deepest = Math.max(deepest, ++depth);
    else if (char === '}' || char === ']') depth--;
  }
  return deepest;
}
