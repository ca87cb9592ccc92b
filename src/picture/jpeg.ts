/**
 * Whether a JPEG is whole. Decoders paint over what is missing, and zeros are valid codes, so its data is read once more here: from SOI to EOI, every
 * segment inside the file, every scan with all of its blocks and nothing behind them.
 * What cannot be found: damage after which the codes fall into step again at the very block where they should (single bits mostly), a progressive file whose
 * last scans are gone but whose end is there, and anything inside arithmetic-coded data, of which only the markers are read.
 */

import { type HuffmanTable, huffmanTable } from './huffman.js';
import { standardTables } from './huffman-standard.js';
import { type Component, Damage, readScan, type Scan, type ScanPart } from './jpeg-scan.js';

const SOI = 0xd8;
const EOI = 0xd9;
const SOS = 0xda;
const DHT = 0xc4;
const DQT = 0xdb;
const DRI = 0xdd;
const NO_STEPS = new Uint16Array(64);
const NO_FRAMES = [DHT, 0xc8, 0xcc]; // among the numbers of the frames, 0xC0 to 0xCF

interface FrameComponent extends Component {
  table: number; // of its quantization
}

interface Frame {
  /** Its data is read here; only its markers otherwise. */
  huffman: boolean;
  progressive: boolean;
  components: FrameComponent[];
  mcusX: number;
  mcusY: number;
}

/** What has been read of a file. */
interface State {
  frame: Frame | undefined;
  tables: (HuffmanTable | undefined)[]; // DC 0 to 3, AC 0 to 3
  steps: (Uint16Array | undefined)[]; // quantization 0 to 3, [64] each, in the order of the coefficients
  restart: number;
  seen: Set<Component>;
}

/**
 * Yields now and then, so that a large file can be read in slices; returns whether the data itself was read. Throws Damage. Bytes behind the end
 * do not matter.
 */
export function* readJpeg(bytes: Uint8Array): Generator<void, boolean> {
  if (bytes[0] !== 0xff || bytes[1] !== SOI) throw new Damage('it does not begin as a JPEG');
  const state: State = { frame: undefined, tables: [...standardTables()], steps: [], restart: 0, seen: new Set() };
  for (let at = 2; ; ) {
    while (bytes[at] === 0xff && bytes[at + 1] === 0xff) at++; // fill bytes
    const marker = bytes[at + 1];
    if (marker === undefined) throw new Damage('its end is missing');
    if (bytes[at] !== 0xff || marker < 0xc0) throw new Damage(`expected a marker at byte ${at}`);
    at += 2;
    if (marker === EOI) break;
    if (marker === SOI || (marker >= 0xd0 && marker <= 0xd7)) throw new Damage(`marker 0x${marker.toString(16)} in a wrong place`);
    const segment = segmentAt(bytes, at);
    at += 2 + segment.length;
    if (marker === DHT) readTables(segment, state.tables);
    else if (marker === DQT) readSteps(segment, state.steps);
    else if (marker === DRI) state.restart = word(segment, 0);
    else if (marker === SOS) at = yield* readData(bytes, at, segment, state);
    else if (marker >= 0xc0 && marker <= 0xcf && !NO_FRAMES.includes(marker)) {
      if (state.frame !== undefined) throw new Damage('it has two frames');
      state.frame = readFrame(segment, marker);
    }
  }
  if (state.frame === undefined) throw new Damage('it has no frame');
  if (state.frame.components.some((component) => !state.seen.has(component))) throw new Damage('a colour component is missing');
  return state.frame.huffman;
}

/** Without the two bytes of its length. */
function segmentAt(bytes: Uint8Array, at: number): Uint8Array {
  const length = at + 2 <= bytes.length ? word(bytes, at) : 0;
  if (length < 2 || at + length > bytes.length) throw new Damage(`its end is missing: a segment at byte ${at} leads beyond it`);
  return bytes.subarray(at + 2, at + length);
}

function readTables(segment: Uint8Array, tables: State['tables']): void {
  for (let at = 0; at < segment.length; ) {
    const [kind, slot] = [(segment[at] as number) >> 4, (segment[at] as number) & 15];
    const counts = segment.subarray(at + 1, at + 17);
    const symbols = counts.reduce((sum, count) => sum + count, 0);
    const table = huffmanTable(counts, segment.subarray(at + 17, at + 17 + symbols));
    if (kind > 1 || slot > 3 || counts.length < 16 || table === undefined) throw new Damage('a Huffman table is no table');
    tables[kind * 4 + slot] = table;
    at += 17 + symbols;
  }
}

function readSteps(segment: Uint8Array, steps: State['steps']): void {
  for (let at = 0; at < segment.length; ) {
    const [wide, slot] = [(segment[at] as number) >> 4, (segment[at] as number) & 15];
    at++;
    if (wide > 1 || slot > 3 || at + 64 * (1 + wide) > segment.length) throw new Damage('a quantization table is no table');
    const values = segment.subarray(at, at + 64 * (1 + wide));
    steps[slot] = Uint16Array.from({ length: 64 }, (_, i) => (wide === 1 ? word(values, 2 * i) : (values[i] as number)));
    at += values.length;
  }
}

function readFrame(segment: Uint8Array, marker: number): Frame {
  const [precision, count] = [segment[0], segment[5] ?? 0];
  const [height, width] = [word(segment, 1), word(segment, 3)];
  if (count === 0 || segment.length < 6 + 3 * count || width === 0 || height === 0) throw new Damage('its frame header is no header');
  const factors = Array.from({ length: count }, (_, i) => ({
    id: segment[6 + 3 * i] as number,
    h: (segment[7 + 3 * i] as number) >> 4,
    v: (segment[7 + 3 * i] as number) & 15,
    table: segment[8 + 3 * i] as number,
  }));
  if (factors.some(({ h, v }) => h < 1 || h > 4 || v < 1 || v > 4)) throw new Damage('its frame header is no header');
  const hMax = Math.max(...factors.map(({ h }) => h));
  const vMax = Math.max(...factors.map(({ v }) => v));
  const [mcusX, mcusY] = [Math.ceil(width / (8 * hMax)), Math.ceil(height / (8 * vMax))];
  const progressive = marker === 0xc2;
  const components = factors.map(({ id, h, v, table }) => ({
    id,
    h,
    v,
    table,
    blocksX: Math.ceil(Math.ceil((width * h) / hMax) / 8),
    blocksY: Math.ceil(Math.ceil((height * v) / vMax) / 8),
    codedX: mcusX * h,
    known: progressive ? new Uint8Array(mcusX * h * mcusY * v * 8) : undefined,
  }));
  return { huffman: marker <= 0xc2 && precision === 8, progressive, components, mcusX, mcusY };
}

/** Reads one scan, whose header is `segment`; returns where its data, which begins at `at`, ends. */
function* readData(bytes: Uint8Array, at: number, segment: Uint8Array, { frame, tables, steps, restart, seen }: State): Generator<void, number> {
  const count = segment[0] ?? 0;
  if (frame === undefined || count < 1 || count > 4 || segment.length < 4 + 2 * count) throw new Damage('a scan header is no header');
  const [first, last, bits] = segment.subarray(1 + 2 * count) as unknown as [number, number, number];
  const parts = Array.from({ length: count }, (_, i): ScanPart => {
    const component = frame.components.find(({ id }) => id === segment[1 + 2 * i]);
    if (component === undefined) throw new Damage('a scan of an unknown colour component');
    const slots = segment[2 + 2 * i] as number;
    return { component, dc: tables[slots >> 4], ac: tables[4 + (slots & 15)], steps: steps[component.table] ?? NO_STEPS, mean: 0 };
  });
  if (first === 0) for (const { component } of parts) seen.add(component);
  if (!frame.huffman) return skipData(bytes, at);
  const scan: Scan = {
    parts,
    progressive: frame.progressive,
    first,
    last,
    high: bits >> 4,
    low: bits & 15,
    mcusX: frame.mcusX,
    mcusY: frame.mcusY,
    restart,
  };
  checkScan(scan);
  return yield* readScan(bytes, at, scan);
}

function checkScan({ parts, progressive, first, last, high }: Scan): void {
  const coefficients = progressive ? (first === 0 ? last === 0 : last >= first && last < 64 && parts.length === 1) : first === 0 && last === 63;
  const needsDc = first === 0 && (!progressive || high === 0);
  const needsAc = !progressive || first > 0;
  const hasTables = parts.every(({ dc, ac }) => (!needsDc || dc !== undefined) && (!needsAc || ac !== undefined));
  if (!coefficients) throw new Damage('a scan header is no header');
  if (!hasTables || parts.some(({ steps }) => steps === NO_STEPS)) throw new Damage('a table is missing');
}

/** To the next marker that is not a restart. */
function skipData(bytes: Uint8Array, from: number): number {
  for (let at = bytes.indexOf(0xff, from); at >= 0; at = bytes.indexOf(0xff, at + 1)) {
    const marker = bytes[at + 1];
    if (marker !== undefined && marker >= 0xc0 && marker !== 0xff && !(marker >= 0xd0 && marker <= 0xd7)) return at;
  }
  throw new Damage('its end is missing');
}

function word(bytes: Uint8Array, at: number): number {
  return ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0);
}
