/** Commands for people to copy: quoted as a shell wants them, and broken only where it reads the pieces as one. */

/** The word as it must be typed in a POSIX shell. */
export function quote(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}

/** The command on lines of at most `width` columns, joined by backslashes; words of one group stay together, and no word is ever cut. */
export function commandLines(groups: readonly (readonly string[])[], width: number): string[] {
  const lines: string[] = [];
  let line = '';
  for (const group of groups) {
    const words = group.map(quote).join(' ');
    const longer = line === '' ? words : `${line} ${words}`;
    if (line !== '' && longer.length + ' \\'.length > width) {
      lines.push(`${line} \\`);
      line = `  ${words}`;
    } else {
      line = longer;
    }
  }
  return [...lines, line];
}
