/** Takes passwords out of what is shown: names of cameras, error texts, pipelines. In doubt it hides more. */

const HIDDEN = '***';
const USER_INFO = /(:\/\/[^\s/?#:@"']*):[^\s"']*@/g;
const KEYED = /(?<![a-z])(pass(?:word|wd|phrase)?|pwd|user-pw|token|secret|api_?key)(=|%3d)("[^"]*"|'[^']*'|[^\s&;"']+)/gi;

/** `user:***@host` and `password=***`, wherever they stand. */
export function mask(text: string): string {
  return text.replace(USER_INFO, `$1:${HIDDEN}@`).replace(KEYED, `$1$2${HIDDEN}`);
}

/** Hides what `mask` hides, and every one of `secrets` literally: programs print them in forms of their own. */
export function maskSecrets(text: string, secrets: readonly string[]): string {
  return mask(secrets.reduce((masked, secret) => (secret === '' ? masked : masked.replaceAll(secret, HIDDEN)), text));
}
