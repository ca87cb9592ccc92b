/**
 * What a calibration has finished, in a folder beside the new package, so that an interrupted one goes on. Tied to a fingerprint of everything that
 * the result depends on; another fingerprint starts anew.
 */
import { readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { makeFolder } from '../../make-folder.js';
import { writeDurably } from '../output.js';
import type { ObservedRange, RangeResult } from './ranges.js';
import type { Rows } from './stages.js';

const FINGERPRINT = 'fingerprint';
const RANGES = 'ranges.json';
const ERRORS = 'errors.json';

interface SavedRanges {
  stages: number; // finished
  lengths: number[]; // of each sample's rows
  factors: [string, number[]][];
  seen: [string, ObservedRange][];
}

export class State {
  private constructor(
    readonly folder: string,
    readonly startedAnew: boolean, // what was there was for another fingerprint
  ) {}

  /** The folder of `out` for this fingerprint, emptied when it was for another. */
  static async open(out: string, fingerprint: string): Promise<State> {
    const folder = `${out}.calibration`;
    const found = await readFile(join(folder, FINGERPRINT), 'utf8').catch(() => undefined);
    if (found !== fingerprint) {
      await rm(folder, { recursive: true, force: true });
      await makeFolder(folder);
      await writeDurably(join(folder, FINGERPRINT), new TextEncoder().encode(fingerprint));
    }
    return new State(folder, found !== undefined && found !== fingerprint);
  }

  /** Number of finished stages, with the rows that leave the last one and what was seen so far. */
  async readRanges(): Promise<{ stages: number; rows: Float32Array[]; result: RangeResult } | undefined> {
    const text = await readFile(join(this.folder, RANGES), 'utf8').catch(() => undefined);
    if (text === undefined) return undefined;
    const { stages, lengths, factors, seen } = JSON.parse(text) as SavedRanges;
    const bytes = await readFile(join(this.folder, `rows-${stages}.f32`));
    const all = new Float32Array(new Uint8Array(bytes).buffer);
    let at = 0;
    const rows = lengths.map((length) => {
      at += length;
      return all.slice(at - length, at);
    });
    return { stages, rows, result: { factors: new Map(factors.map(([name, values]) => [name, Float32Array.from(values)])), seen: new Map(seen) } };
  }

  /** The rows first: a list of stages is never ahead of them. */
  async writeRanges(stages: number, rows: Rows[], { factors, seen }: RangeResult): Promise<void> {
    const bytes = Buffer.concat(rows.map((row) => new Uint8Array(row.buffer, row.byteOffset, row.byteLength)));
    await this.#write(`rows-${stages}.f32`, bytes);
    const saved: SavedRanges = {
      stages,
      lengths: rows.map(({ length }) => length),
      factors: [...factors].map(([name, values]) => [name, [...values]]),
      seen: [...seen],
    };
    await this.#write(RANGES, new TextEncoder().encode(JSON.stringify(saved)));
    await rm(join(this.folder, `rows-${stages - 1}.f32`), { force: true });
  }

  /** Errors of single matrices and of whole recipes, by a name of the caller's. */
  async readErrors(): Promise<Map<string, number>> {
    const text = await readFile(join(this.folder, ERRORS), 'utf8').catch(() => '[]');
    return new Map(JSON.parse(text) as [string, number][]);
  }

  async writeErrors(errors: Map<string, number>): Promise<void> {
    await this.#write(ERRORS, new TextEncoder().encode(JSON.stringify([...errors])));
  }

  async remove(): Promise<void> {
    await rm(this.folder, { recursive: true, force: true });
  }

  async #write(name: string, bytes: Uint8Array): Promise<void> {
    const path = join(this.folder, name);
    await writeDurably(`${path}.partial`, bytes);
    await rename(`${path}.partial`, path);
  }
}
