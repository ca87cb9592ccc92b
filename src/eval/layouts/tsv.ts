/**
 * A table of tab-separated values, as pandas writes them, read once from begin to end: fields may be quoted and then hold tabs, line feeds and doubled
 * quotes. Columns of pictures are not kept, only where in the file they stand, so that files of any size take no memory.
 */
import { createHash, type Hash } from 'node:crypto';
import { open } from 'node:fs/promises';
import { NotUtf8, utf8Text } from '../../utf8.js';
import { dataError } from '../item.js';

/** Of a field of a column of pictures, without its quotes. Short ones have their text. */
export interface Place {
  offset: number; // bytes from the begin of the file
  bytes: number;
  sha1: string;
  text: string | null;
}

export interface TsvRow {
  line: number; // on which it begins, from 1
  fields: ReadonlyMap<string, string>; // but for pictures
  places: ReadonlyMap<string, Place>;
}

export interface Tsv {
  columns: readonly string[];
  /** Throws ERR_OPTION that names file and line; the file is closed when the loop ends. */
  rows: AsyncGenerator<TsvRow, void, void>;
  /** Of the whole file, once all rows were read. */
  md5(): string;
}

const CHUNK_BYTES = 1 << 20;
const SHORT_BYTES = 64;
const [TAB, LF, CR, QUOTE] = [9, 10, 13, 34];

/** `pictures`: columns whose fields are places. Throws ERR_OPTION where there is no header, the error of the system where there is no file. */
export async function openTsv(path: string, pictures: readonly string[]): Promise<Tsv> {
  const columns = await headerOf(path, pictures);
  let digest = '';
  async function* rows(): AsyncGenerator<TsvRow, void, void> {
    const md5 = createHash('md5');
    for await (const { row } of read(path, pictures, md5)) if (row !== undefined) yield row;
    digest = md5.digest('hex');
  }
  return { columns, rows: rows(), md5: () => digest };
}

/** By itself, so that a table whose header nobody likes is closed. */
async function headerOf(path: string, pictures: readonly string[]): Promise<readonly string[]> {
  for await (const { columns } of read(path, pictures, createHash('md5'))) if (columns !== undefined) return columns;
  throw dataError(path, 'a header and rows', 'an empty file');
}

interface RecordOf {
  columns?: string[];
  row?: TsvRow;
}

async function* read(path: string, pictures: readonly string[], md5: Hash): AsyncGenerator<RecordOf, void, void> {
  await using file = await open(path);
  const parser = new Parser(path, pictures);
  const chunk = Buffer.alloc(CHUNK_BYTES);
  for (let offset = 0; ; ) {
    const { bytesRead } = await file.read(chunk, 0, CHUNK_BYTES, offset);
    if (bytesRead === 0) break;
    const bytes = chunk.subarray(0, bytesRead);
    md5.update(bytes);
    yield* parser.take(bytes, offset);
    offset += bytesRead;
  }
  parser.end();
}

/** Where in a field the reader is. */
type State = 'begin' | 'plain' | 'quoted' | 'after'; // after: behind a quote that may be the end, or the first of two

class Parser {
  private columns: string[] | null = null;
  private fields: (string | Place)[] = [];
  private state: State = 'begin';
  private line = 1;
  private rowLine = 1;
  private parts: Buffer[] = [];
  private hash: Hash | null = null; // in a field of pictures
  private bytes = 0;
  private last = 0; // byte
  private from = 0; // offset of the field's first byte

  constructor(
    private readonly path: string,
    private readonly pictures: readonly string[],
  ) {}

  *take(chunk: Buffer, offset: number): Generator<RecordOf, void, void> {
    const endFrom = plainEnds(chunk);
    let begin = 0; // of what is not yet added
    for (let at = 0; at < chunk.length; at++) {
      if (this.state === 'plain') at = endFrom(at); // pictures are millions of bytes: not one after the other
      if (at === chunk.length) break;
      const byte = chunk[at] as number;
      if (byte === LF) this.line++;
      if (this.state === 'begin') {
        begin = byte === QUOTE ? at + 1 : at;
        this.start(offset + begin);
        this.state = byte === QUOTE ? 'quoted' : 'plain';
        if (byte === QUOTE) continue;
      }
      switch (this.state) {
        case 'plain':
          if (byte !== TAB && byte !== LF) break; // the first byte of a field
          this.add(chunk.subarray(begin, at));
          yield* this.close(byte);
          break;
        case 'quoted':
          if (byte !== QUOTE) break;
          this.add(chunk.subarray(begin, at));
          this.state = 'after';
          break;
        case 'after':
          if (byte === QUOTE) {
            this.state = 'quoted';
            begin = at; // the second quote is the character
          } else if (byte === TAB || byte === LF) yield* this.close(byte);
          else if (byte !== CR) throw this.error('a tab or the end of the row behind a quotation mark', JSON.stringify(String.fromCharCode(byte)));
      }
    }
    if (this.state === 'plain' || this.state === 'quoted') this.add(chunk.subarray(begin));
  }

  end(): void {
    if (this.state === 'quoted') throw this.error('a quotation mark that ends the field', 'the end of the file: it is cut off');
    if (this.state !== 'begin' || this.fields.length > 0) throw this.error('a line feed behind the last row', 'the end of the file: it is cut off');
    if (this.columns === null) throw dataError(this.path, 'a header and rows', 'an empty file');
  }

  private start(offset: number): void {
    this.parts = [];
    this.bytes = 0;
    this.from = offset;
    const column = this.columns?.[this.fields.length];
    this.hash = column !== undefined && this.pictures.includes(column) ? createHash('sha1') : null;
  }

  private add(bytes: Buffer): void {
    this.hash?.update(bytes);
    if (this.hash === null || this.bytes <= SHORT_BYTES)
      this.parts.push(Buffer.from(this.hash === null ? bytes : bytes.subarray(0, SHORT_BYTES + 1)));
    this.bytes += bytes.length;
    this.last = bytes.at(-1) ?? this.last;
  }

  private *close(by: number): Generator<RecordOf, void, void> {
    const isPlain = this.state === 'plain';
    this.fields.push(this.hash === null ? this.text(isPlain && by === LF) : this.place(this.hash, isPlain && by === LF));
    this.state = 'begin';
    this.hash = null;
    if (by === TAB) return;
    const { fields, columns, rowLine } = this;
    this.fields = [];
    this.rowLine = this.line;
    if (fields.length === 1 && fields[0] === '') return; // a blank line
    if (columns === null) {
      this.columns = this.header(fields as string[]);
      yield { columns: this.columns };
      return;
    }
    if (fields.length !== columns.length)
      throw dataError(`${this.path}:${rowLine}`, `${columns.length} columns, as in the header`, `${fields.length}`);
    const named = columns.map((name, index) => [name, fields[index]] as const);
    yield {
      row: {
        line: rowLine,
        fields: new Map(named.filter((field): field is readonly [string, string] => typeof field[1] === 'string')),
        places: new Map(named.filter((field): field is readonly [string, Place] => typeof field[1] !== 'string')),
      },
    };
  }

  private header(names: string[]): string[] {
    const columns = names.map((name, index) => (index === 0 ? name.replace(/^\ufeff/, '') : name));
    const twice = columns.find((name, index) => columns.indexOf(name) !== index);
    if (twice !== undefined) throw dataError(`${this.path}:1`, 'columns of different names', `${twice} twice`);
    return columns;
  }

  private text(atEnd: boolean): string {
    try {
      const text = utf8Text(Buffer.concat(this.parts));
      return atEnd && text.endsWith('\r') ? text.slice(0, -1) : text;
    } catch (error) {
      throw error instanceof NotUtf8 ? this.error('UTF-8', error.at.words) : error;
    }
  }

  private place(hash: Hash, atEnd: boolean): Place {
    const bytes = atEnd && this.last === CR ? this.bytes - 1 : this.bytes;
    return { offset: this.from, bytes, sha1: hash.digest('hex'), text: bytes <= SHORT_BYTES ? this.text(atEnd) : null };
  }

  private error(expected: string, received: string): Error {
    return dataError(`${this.path}:${this.rowLine}`, expected, received);
  }
}

/** Where a plain field ends that goes on at `from`: at the next tab or line feed, or behind the chunk. To be asked with rising places. */
function plainEnds(chunk: Buffer): (from: number) => number {
  const next = [TAB, LF].map((byte) => ({ byte, at: -1 }));
  return (from) => {
    for (const end of next) {
      if (end.at >= from) continue;
      const found = chunk.indexOf(end.byte, from);
      end.at = found < 0 ? chunk.length : found;
    }
    return Math.min(...next.map(({ at }) => at));
  };
}
