/** The parts of a camera's URI. */
import { mask } from './mask.js';

export interface CameraUri {
  scheme: string;
  /** As shown: with all secrets masked. */
  name: string;
  /** Between `scheme://` and the options, still percent-encoded. */
  rest: string;
  /** After the question mark. */
  query: string;
  options: URLSearchParams;
}

/** Splits `scheme://rest?options`. */
export function splitUri(uri: string): CameraUri {
  const rest = uri.slice(uri.indexOf('://') + 3);
  const mark = rest.indexOf('?');
  const query = mark < 0 ? '' : rest.slice(mark + 1);
  return {
    scheme: uri.slice(0, uri.indexOf(':')),
    name: mask(uri),
    rest: mark < 0 ? rest : rest.slice(0, mark),
    query,
    options: new URLSearchParams(query),
  };
}

/** Percent-decoded; a path with a stray % is taken as it stands. */
export function decodePath(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
