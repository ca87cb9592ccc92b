/**
 * How values are written outside of JSON: as people write them. A value's own spelling, with or without a space before it, is its own; variants (the
 * other case of the first letter, a full stop behind) belong to it unless they could mean another value as well.
 */
import { optionError } from '../errors.js';
import { likeness } from '../spelling.js';

export interface Spellings {
  values: readonly unknown[];
  /** Spelling → index of the value. */
  spellings: ReadonlyMap<string, number>;
}

/** yes, true: true. no, false: false. */
export function booleanSpellings(): Spellings {
  return spelled(
    [true, false],
    [
      ['yes', 'true'],
      ['no', 'false'],
    ],
  );
}

/** Throws ERR_OPTION that names two values which are written alike. */
export function choiceSpellings(values: readonly unknown[], path: string): Spellings {
  const known = new Map<string, unknown>();
  for (const value of values) {
    const key = likeness(String(value));
    if (known.has(key)) {
      throw optionError(path, 'values that are all written differently', `${shown(known.get(key))} and ${shown(value)}`);
    }
    known.set(key, value);
  }
  return spelled(
    values,
    values.map((value) => [...new Set([String(value), String(value).trim()])]),
  );
}

/** Each value has its own spellings, which no other has. */
function spelled(values: readonly unknown[], own: readonly (readonly string[])[]): Spellings {
  const spellings = new Map<string, number>();
  for (const [index, forms] of own.entries()) for (const form of forms) for (const spelling of [form, ` ${form}`]) spellings.set(spelling, index);
  const claims = new Map<string, Set<number>>();
  for (const [index, forms] of own.entries()) {
    for (const spelling of forms.flatMap((form) => variants(form.trim()))) {
      if (!spellings.has(spelling)) claims.set(spelling, (claims.get(spelling) ?? new Set()).add(index));
    }
  }
  for (const [spelling, claimants] of claims) if (claimants.size === 1) spellings.set(spelling, [...claimants][0] as number);
  return { values, spellings };
}

function variants(form: string): string[] {
  const cased = [form, ...otherCase(form)];
  const ended = cased.flatMap((spelling) => (spelling === '' || /[.!?]$/.test(spelling) ? [spelling] : [spelling, `${spelling}.`]));
  return ended.flatMap((spelling) => [spelling, ` ${spelling}`]);
}

/** With the first letter in the other case, where that is one letter and leads back ("ß" has no capital, "SS" is two). */
function otherCase(form: string): string[] {
  const first = String.fromCodePoint(form.codePointAt(0) ?? 0);
  const other = first.toLowerCase() === first ? first.toUpperCase() : first.toLowerCase();
  const back = other.toLowerCase() === other ? other.toUpperCase() : other.toLowerCase();
  return form !== '' && other !== first && [...other].length === 1 && back === first ? [other + form.slice(first.length)] : [];
}

function shown(value: unknown): string {
  return JSON.stringify(value);
}
