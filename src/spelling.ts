/** When two answers are written alike: shared by what is asked (`watch`) and by what decodes it (`engine`). */

/** The same for texts that only white space at the ends or the Unicode normalization tells apart. */
export function likeness(text: string): string {
  return text.trim().normalize('NFC');
}

/** Whether UTF-8 can say it: no half of a surrogate pair. */
export function isWellFormed(text: string): boolean {
  return !/\p{Surrogate}/u.test(text);
}
