/** White space and digits as the published scripts know them: those of Python's str, which JavaScript's \s and \d are not. */

const SPACES = '\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000';
const ENDS = new RegExp(`^[${SPACES}]+|[${SPACES}]+$`, 'g');
const GAP = new RegExp(`[${SPACES}]+`);

export function strip(text: string): string {
  return text.replace(ENDS, '');
}

/** The words between white space; none is empty. */
export function words(text: string): string[] {
  return text.split(GAP).filter((word) => word !== '');
}
