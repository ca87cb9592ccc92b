// Machine code of NVIDIA's cubins, read without NVIDIA's tools: an ELF file with a section of 16-byte instructions per kernel. Opcodes, widths, branches
// and scoreboards are as found in sm_80 to sm_110 and checked with kernels of one instruction each (test/native/cuda-report.test.ts).

/** By the low 12 bits of an instruction; every other is counted and has no name. */
const OPCODES = new Map(
  Object.entries({
    LDG: [0x981],
    STG: [0x986],
    LDS: [0x984],
    STS: [0x388, 0x988],
    LDL: [0x983],
    STL: [0x387, 0x987],
    LDSM: [0x83b],
    LDGSTS: [0xfae],
    IMMA: [0x237],
    HMMA: [0x23c],
    BRA: [0x547, 0x947],
    NOP: [0x918],
  }).flatMap(([name, codes]) => codes.map((code) => [code, name])),
);
const MEMORY = new Set(['LDG', 'STG', 'LDS', 'STS', 'LDL', 'STL', 'LDGSTS']);
/** Bits 73 to 75 of an access: u8, s8, u16, s16, 32, 64, 128. */
const BYTES = [1, 1, 2, 2, 4, 8, 16];
/** Bits 74 and 75 of an LDGSTS of sm_110. */
const COPIED = [4, 8, 16];
const NO_SCOREBOARD = 7;

/**
 * [{ name, bytes, target, sets, waits }]: `bytes` of an access, 0 otherwise; `target` index of a branch, null otherwise; the scoreboard that an
 * instruction sets, null without, and the mask of those that it waits for. What never runs (predicate !PT: ptxas pads with such loads) is a NOP.
 */
export function decode(code, target) {
  const instructions = [];
  for (let at = 0; at + 16 <= code.length; at += 16) {
    const low = code.readBigUInt64LE(at);
    const high = code.readBigUInt64LE(at + 8);
    const bits = (first, count) => Number((((high << 64n) | low) >> BigInt(first)) & ((1n << BigInt(count)) - 1n));
    const name = bits(12, 4) === 15 ? 'NOP' : (OPCODES.get(bits(0, 12)) ?? 'other');
    const sets = bits(110, 3);
    instructions.push({
      name,
      bytes: MEMORY.has(name) ? width(name, bits, target) : 0,
      target: name === 'BRA' ? at / 16 + 1 + branch(low, high, target) / 16 : null,
      sets: sets === NO_SCOREBOARD ? null : sets,
      waits: bits(116, 6),
    });
  }
  while (instructions.at(-1)?.name === 'NOP') instructions.pop();
  return instructions;
}

function width(name, bits, target) {
  return (name === 'LDGSTS' && target >= 110 ? COPIED[bits(74, 2)] : BYTES[bits(73, 3)]) ?? 0;
}

/** Bytes from the next instruction on. */
function branch(low, high, target) {
  if (target < 90) return Number(BigInt.asIntN(50, (low >> 32n) | (high << 32n)));
  return Number(((BigInt.asIntN(48, (low >> 34n) | (high << 30n)) << 8n) | ((low >> 16n) & 0xffn)) * 4n);
}

/** The innermost loops, as slices of the instructions from the target of a backward branch to the branch. */
export function innerLoops(instructions) {
  const loops = instructions.flatMap(({ target }, end) => (target !== null && target >= 0 && target < end ? [{ begin: target, end }] : []));
  const inside = (one, other) => one !== other && other.begin <= one.begin && one.end <= other.end;
  return loops.filter((loop) => !loops.some((other) => inside(other, loop))).map(({ begin, end }) => instructions.slice(begin, end + 1));
}

/** Most 16-byte loads of global memory that a thread has under way: those not yet waited for, the loop running over and over. */
export function loadsInFlight(loop) {
  const open = new Array(NO_SCOREBOARD).fill(0);
  let most = 0;
  for (const { name, bytes, sets, waits } of [...loop, ...loop]) {
    for (const scoreboard of open.keys()) if ((waits >> scoreboard) & 1) open[scoreboard] = 0;
    if (name === 'LDG' && bytes === 16 && sets !== null) open[sets] += 1;
    most = Math.max(
      most,
      open.reduce((sum, count) => sum + count),
    );
  }
  return most;
}

const SHT_NOBITS = 8;
const RESERVED_SHARED = 1024; // the system's, counted with each kernel from sm_90 on
/** Kinds of entries in .nv.info: a block's largest sizes; a symbol and its stack frame; a symbol and its registers. */
const MAX_THREADS = 0x05;
const FRAME_SIZE = 0x11;
const REGISTERS = 0x2f;
/** Entries with a length and so many bytes behind it; all others are one word. */
const WITH_LENGTH = 0x04;

/** The kernels of a cubin: [{ symbol, registers, threads (of __launch_bounds__, null without), shared (static bytes), stack (bytes), code }]. */
export function kernelsOf(cubin, target) {
  const sections = readSections(cubin);
  const named = new Map(sections.map((section) => [section.name, section]));
  const [stacks, registers] = [FRAME_SIZE, REGISTERS].map((kind) => bySymbol(named, sections, kind));
  return sections
    .filter(({ name }) => name.startsWith('.text.'))
    .map(({ name, body }) => {
      const symbol = name.slice('.text.'.length);
      const bounds = entries(named.get(`.nv.info.${symbol}`)?.body).find(({ kind }) => kind === MAX_THREADS)?.value;
      return {
        symbol,
        registers: registers.get(symbol),
        threads: bounds === undefined ? null : bounds.readUInt32LE(0) * bounds.readUInt32LE(4) * bounds.readUInt32LE(8),
        shared: Math.max(0, (named.get(`.nv.shared.${symbol}`)?.size ?? 0) - (target < 90 ? 0 : RESERVED_SHARED)),
        stack: stacks.get(symbol) ?? 0,
        code: body,
      };
    });
}

function readSections(elf) {
  if (elf.length < 64 || elf.readUInt32BE(0) !== 0x7f454c46 || elf[4] !== 2) throw new Error('expected a cubin (64-bit ELF)');
  const start = Number(elf.readBigUInt64LE(0x28));
  const [size, count, names] = [0x3a, 0x3c, 0x3e].map((at) => elf.readUInt16LE(at));
  const heads = Array.from({ length: count }, (_, index) => {
    const head = elf.subarray(start + index * size, start + (index + 1) * size);
    const [offset, length] = [0x18, 0x20].map((at) => Number(head.readBigUInt64LE(at)));
    const body = head.readUInt32LE(4) === SHT_NOBITS ? Buffer.alloc(0) : elf.subarray(offset, offset + length);
    return { at: head.readUInt32LE(0), link: head.readUInt32LE(0x28), size: length, body };
  });
  return heads.map((head) => ({ ...head, name: text(heads[names].body, head.at) }));
}

function text(bytes, at) {
  return bytes.toString('latin1', at, bytes.indexOf(0, at));
}

function entries(body) {
  const found = [];
  for (let at = 0; body !== undefined && at + 4 <= body.length; ) {
    const length = body[at] === WITH_LENGTH ? body.readUInt16LE(at + 2) : 0;
    found.push({ kind: body[at + 1], value: body.subarray(at + 4, at + 4 + length) });
    at += 4 + length;
  }
  return found;
}

function bySymbol(named, sections, wanted) {
  const symbols = named.get('.symtab');
  const strings = sections[symbols.link].body;
  return new Map(
    entries(named.get('.nv.info')?.body)
      .filter(({ kind }) => kind === wanted)
      .map(({ value }) => [text(strings, symbols.body.readUInt32LE(value.readUInt32LE(0) * 24)), value.readUInt32LE(4)]),
  );
}
