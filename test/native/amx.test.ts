/** The bytes of native/backend/cpu/amx_tiles.h are the instructions that stand above them, as GNU's disassembler reads them. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { expect, it } from 'vitest';
import { describeWith } from '../support/programs.js';

const TILES = [0, 1, 2, 3, 4, 5, 6, 7];
const OTHERS = (...tiles: number[]) => TILES.filter((tile) => !tiles.includes(tile));

/** Each call beside what it must be; AT&T's order, the destination last. */
const CALLS: [call: string, instruction: string][] = [
  ['tile_configure(*static_cast<const TileShapes*>(memory))', 'ldtilecfg (%rax)'],
  ...TILES.flatMap((tile): [string, string][] => [
    [`tile_zero<${tile}>()`, `tilezero %tmm${tile}`],
    [`tile_load<${tile}>(memory, 64)`, `tileloadd (%rax,%rdx,1),%tmm${tile}`],
    [`tile_store<${tile}>(memory, 64)`, `tilestored %tmm${tile},(%rax,%rdx,1)`],
  ]),
  ...TILES.flatMap((sums) =>
    OTHERS(sums).flatMap((left) =>
      OTHERS(sums, left).map((right): [string, string] => [
        `tile_multiply<${sums}, ${left}, ${right}>()`,
        `tdpbssd %tmm${right},%tmm${left},%tmm${sums}`,
      ]),
    ),
  ),
  ['tile_release()', 'tilerelease'],
];

describeWith(['binutils'], 'the instructions of AMX', () => {
  it.skipIf(process.arch !== 'x64')('are encoded as the disassembler knows them, with every tile', ({ skip }) => {
    const folder = mkdtempSync(join(tmpdir(), 'mipha-amx-'));
    try {
      const lines = CALLS.map(([call]) => `  ${call};`);
      const source = ['#include "backend/cpu/amx_tiles.h"', 'namespace mipha::cpu {', 'void all(void* memory) {', ...lines, '}', '}'];
      writeFileSync(join(folder, 'all.cc'), source.join('\n'));
      const object = join(folder, 'all.o');
      execFileSync('g++', ['-std=c++17', '-O1', '-I', resolve('native'), '-c', join(folder, 'all.cc'), '-o', object]);
      const text = execFileSync('objdump', ['--disassemble', '--no-show-raw-insn', object], { encoding: 'utf8' });
      const read = [...text.matchAll(/^ +[\da-f]+:\t(.+?) *$/gm)].map(([, instruction = '']) => instruction.replace(/ +/g, ' '));
      if (read.filter((instruction) => instruction.includes('(bad)')).length > CALLS.length / 2) skip('the disassembler here does not know AMX');
      const rest = /^(mov|lea|push|pop|ret|endbr64|nop|sub|add)\b/; // what the compiler puts between them
      expect(read.filter((instruction) => !rest.test(instruction))).toEqual(CALLS.map(([, instruction]) => instruction));
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
