/** Tables as plain text, as Markdown, and as a page without scripts and with nothing from elsewhere. */
import type { Table } from './tables.js';

export function plain(tables: readonly Table[]): string {
  return tables
    .map(({ title, head, rows, notes }) =>
      [title, ...columns([...(head.join('') === '' ? [] : [head]), ...rows]), ...notes.map((note) => `  ${note}`)].join('\n'),
    )
    .join('\n\n');
}

function columns(rows: readonly (readonly string[])[]): string[] {
  const widths = (rows[0] ?? []).map((_, at) => Math.max(...rows.map((row) => (row[at] ?? '').length)));
  return rows.map((row) => `  ${row.map((cell, at) => cell.padEnd(widths[at] as number)).join('  ')}`.trimEnd());
}

export function markdown(title: string, words: string, tables: readonly Table[]): string {
  const cell = (text: string) => text.replace(/[\\|]/g, '\\$&').replaceAll('\n', ' ');
  const line = (cells: readonly string[]) => `| ${cells.map(cell).join(' | ')} |`;
  const sections = tables.map(({ title: name, head, rows, notes }) =>
    [
      `## ${name}`,
      '',
      line(head),
      line(head.map(() => '---')),
      ...rows.map(line),
      '',
      ...notes.map((note) => `- ${note}`),
      ...(notes.length > 0 ? [''] : []),
    ].join('\n'),
  );
  return [`# ${title}`, '', words, '', ...sections].join('\n');
}

const STYLE = `
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif }
body { max-width: 70rem; margin: 2rem auto; padding: 0 1rem }
table { border-collapse: collapse; margin: 1rem 0 } td, th { padding: .2rem 1rem .2rem 0; text-align: left; vertical-align: top; overflow-wrap: anywhere }
ul.flips { display: grid; grid-template-columns: repeat(auto-fill, minmax(18rem, 1fr)); gap: 1rem; list-style: none; padding: 0 }
ul.flips img { width: 100%; border-radius: .25rem } figure { margin: 0 }
`;

/** `more`: further HTML, behind the tables. */
export function page(title: string, words: string, tables: readonly Table[], more = ''): string {
  const row = (cells: readonly string[], tag: string) => `<tr>${cells.map((cell) => `<${tag}>${escaped(cell)}`).join('')}`;
  const sections = tables.map(({ title: name, head, rows, notes }) => {
    const top = head.join('') === '' ? '' : row(head, 'th');
    const list = notes.length === 0 ? '' : `<ul>${notes.map((note) => `<li>${escaped(note)}`).join('')}</ul>`;
    return `<h2>${escaped(name)}</h2>\n<table>${top}${rows.map((cells) => row(cells, 'td')).join('\n')}</table>${list}`;
  });
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escaped(title)}</title>
<style>${STYLE}</style>
<h1>${escaped(title)}</h1>
<p>${escaped(words)}</p>
${sections.join('\n')}
${more}</html>
`;
}

export function escaped(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}
