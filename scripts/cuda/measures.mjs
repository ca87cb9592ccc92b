// What is counted in the machine code of one kernel.
import { decode, innerLoops, loadsInFlight } from './code.mjs';

/**
 * Of a multiprocessor: registers, warps, blocks, shared bytes. NVIDIA's table of compute capabilities; 110 as far as it is known, not read off a Thor.
 */
const LIMITS = {
  87: { registers: 65536, warps: 48, blocks: 16, shared: 164 * 1024 },
  90: { registers: 65536, warps: 64, blocks: 32, shared: 228 * 1024 },
  110: { registers: 65536, warps: 48, blocks: 24, shared: 228 * 1024 },
};
const PARTITIONS = 4; // of a multiprocessor; each has a quarter of the registers, and a warp lives in one
const REGISTER_STEP = 256; // per warp
const SHARED_STEP = 128;
const SYSTEM_SHARED = 1024; // per block
const MOST_THREADS = 1024;

const isProduct = ({ name }) => name === 'IMMA' || name === 'HMMA';
const isLoad = ({ name }) => name === 'LDG' || name === 'LDGSTS';
const count = (list, test) => list.filter(test).length;

/** Streamed by a thread in one round: whole 16-byte words. */
const words = (loop) => count(loop, (instruction) => isLoad(instruction) && instruction.bytes === 16);

/**
 * { registers, stack, local, shared, warps, load, flight, perBytes, perProduct } of a kernel (code.mjs) on a target; null where the kernel has no such
 * loop. `local`: instructions that touch local memory. `flight`: KiB on their way to the registers of a multiprocessor full of such blocks.
 */
export function measure(kernel, target, { kind, shared = 0 }) {
  const instructions = decode(kernel.code, target);
  const loop = mainLoop(innerLoops(instructions), kind);
  const warps = residentWarps(kernel, target, shared);
  const products = count(loop, isProduct);
  const loads = loop.filter(isLoad);
  const perWord = kind === 'decode' && words(loop) > 0;
  return {
    registers: kernel.registers,
    stack: kernel.stack,
    local: count(instructions, ({ name }) => name === 'LDL' || name === 'STL'),
    shared: kernel.shared + shared,
    warps,
    load: loads.length > 0 ? Math.min(...loads.map(({ bytes }) => bytes)) : null,
    flight: kind === 'decode' ? (loadsInFlight(loop) * 16 * 32 * warps) / 1024 : null,
    perBytes: perWord ? tenths(loop.length / words(loop)) : null,
    perProduct: products > 0 ? tenths(loop.length / products) : null,
  };
}

function tenths(value) {
  return Math.round(value * 10) / 10;
}

/** Remainders have fewer of both; of two alike the shorter is the one without guards. */
function mainLoop(loops, kind) {
  const weight = (loop) => (kind === 'decode' && loop.some(isProduct) ? words(loop) : count(loop, isProduct));
  return loops.filter((loop) => weight(loop) > 0).sort((a, b) => weight(b) - weight(a) || a.length - b.length)[0] ?? [];
}

function residentWarps({ registers, threads, shared }, target, dynamic) {
  const limits = LIMITS[target];
  const up = (value, step) => Math.ceil(value / step) * step;
  const warps = Math.ceil((threads ?? MOST_THREADS) / 32);
  const byRegisters = PARTITIONS * Math.floor(limits.registers / PARTITIONS / up(registers * 32, REGISTER_STEP));
  const byShared = limits.shared / (up(shared + dynamic, SHARED_STEP) + SYSTEM_SHARED);
  return warps * Math.floor(Math.min(limits.blocks, limits.warps / warps, byRegisters / warps, byShared));
}
