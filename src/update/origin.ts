/** Servers that releases may be fetched from. */
export const ORIGIN_WORDS = 'https://HOST or https://HOST:PORT, nothing behind it';

export function isOrigin(text: string): boolean {
  return URL.canParse(text) && text.startsWith('https://') && new URL(text).origin === text;
}
