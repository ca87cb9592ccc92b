/**
 * A synthetic kitchen: a seeded scene and its picture. It is the world that models/mipha-nano was trained on, so a seed must give the same scene
 * and the same pixels for ever: the order of the random draws and the text of the SVG are part of the contract.
 */

export const SHAPES = ['ball', 'box', 'cup', 'bottle', 'cone'] as const;
export type ObjectShape = (typeof SHAPES)[number];

const COLOR_HEX = {
  red: '#d22f2f',
  green: '#2e9e3f',
  blue: '#2f5fd2',
  yellow: '#f2cf2b',
  orange: '#f08a24',
  purple: '#8a3fb5',
  white: '#f7f7f7',
  black: '#1d1d1f',
} as const;
export type Color = keyof typeof COLOR_HEX;
export const COLORS = Object.keys(COLOR_HEX) as Color[];

export const WIDTH = 320; // pixels
export const HEIGHT = 240;

export interface Thing {
  shape: ObjectShape;
  color: Color;
  x: number; // centre, pixels from the left
  size: number; // 0.85 .. 1.15
}

export interface Scene {
  wall: string; // CSS colour
  table: string;
  lampOn: boolean;
  doorOpen: boolean;
  person: 'left' | 'right' | null;
  objects: Thing[]; // on the table, left to right, 0..4
  light: number; // 0.85 .. 1.15, 1 is neutral
}

/** Raw pixels as an engine takes them: rows of `width` * 3 bytes. */
export interface KitchenFrame {
  data: Uint8Array;
  width: number;
  height: number;
  format: 'rgb';
}

/** mulberry32: a small seeded generator of numbers in [0, 1). */
export function random(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** One of a non-empty list. */
export function pick<T>(rand: () => number, list: readonly T[]): T {
  return list[Math.floor(rand() * list.length)] as T;
}

export function makeScene(seed: number): Scene {
  const rand = random(seed);
  const count = Math.floor(rand() * 5);
  const slots = [0, 1, 2, 3]
    .map((slot) => ({ slot, key: rand() }))
    .sort((a, b) => a.key - b.key)
    .slice(0, count)
    .map(({ slot }) => slot)
    .sort((a, b) => a - b);
  return {
    wall: pick(rand, ['#cfd8dc', '#d7ccc8', '#c8d6c5', '#d5d0e0']),
    table: pick(rand, ['#8d6e53', '#a07a55', '#7a6a5d', '#b08d66']),
    lampOn: rand() < 0.5,
    doorOpen: rand() < 0.5,
    person: rand() < 0.35 ? (rand() < 0.5 ? 'left' : 'right') : null,
    objects: slots.map((slot) => ({
      shape: pick(rand, SHAPES),
      color: pick(rand, COLORS),
      x: 52 + slot * 72 + (rand() - 0.5) * 20,
      size: 0.85 + rand() * 0.3,
    })),
    light: 0.85 + rand() * 0.3,
  };
}

const EDGE = '#00000055';
const TABLE_LINE = 206; // y on which everything stands
const UNIT = 22; // half the width of a thing of size 1

const BODY: Record<ObjectShape, (x: number, s: number, fill: string) => string> = {
  ball: (x, s, fill) =>
    `<circle cx="${x}" cy="${TABLE_LINE - s}" r="${s}" fill="${fill}" stroke="${EDGE}"/>` +
    `<circle cx="${x - s * 0.35}" cy="${TABLE_LINE - s * 1.35}" r="${s * 0.22}" fill="#ffffff88"/>`,
  box: (x, s, fill) =>
    `<rect x="${x - s}" y="${TABLE_LINE - s * 1.9}" width="${s * 2}" height="${s * 1.9}" fill="${fill}" stroke="${EDGE}"/>` +
    `<path d="M${x - s} ${TABLE_LINE - s * 1.25}H${x + s}" stroke="${EDGE}" stroke-width="2"/>`,
  cup: (x, s, fill) =>
    `<path d="M${x - s * 0.85} ${TABLE_LINE - s * 1.7}H${x + s * 0.85}L${x + s * 0.6} ${TABLE_LINE}H${x - s * 0.6}Z" fill="${fill}" stroke="${EDGE}"/>` +
    `<path d="M${x + s * 0.8} ${TABLE_LINE - s * 1.4}q${s * 0.8} ${s * 0.45} ${-s * 0.08} ${s * 0.95}" fill="none" stroke="${fill}" stroke-width="5"/>`,
  bottle: (x, s, fill) =>
    `<path d="M${x - s * 0.28} ${TABLE_LINE - s * 3.1}h${s * 0.56}v${s * 0.9}q${s * 0.42} ${s * 0.3} ${s * 0.42} ${s * 0.8}` +
    `V${TABLE_LINE}H${x - s * 0.7}V${TABLE_LINE - s * 1.4}q0 ${-s * 0.5} ${s * 0.42} ${-s * 0.8}Z" fill="${fill}" stroke="${EDGE}"/>`,
  cone: (x, s, fill) => `<path d="M${x} ${TABLE_LINE - s * 2.5}L${x + s * 1.05} ${TABLE_LINE}H${x - s * 1.05}Z" fill="${fill}" stroke="${EDGE}"/>`,
};

function drawThing({ shape, color, x, size }: Thing): string {
  const s = UNIT * size;
  const shadow = `<ellipse cx="${x}" cy="${TABLE_LINE + 1}" rx="${s * 1.05}" ry="${s * 0.22}" fill="#00000044"/>`;
  return shadow + BODY[shape](x, s, COLOR_HEX[color]);
}

const LAMP_ON = '<circle cx="48" cy="46" r="34" fill="#fff3a055"/><circle cx="48" cy="46" r="17" fill="#ffe95c" stroke="#b89b00" stroke-width="2"/>';
const LAMP_OFF = '<circle cx="48" cy="46" r="17" fill="#5c6066" stroke="#33363a" stroke-width="2"/>';
const DOOR_OPEN =
  '<rect x="212" y="22" width="84" height="92" fill="#2b211b" stroke="#4a3a2e" stroke-width="3"/>' +
  '<path d="M212 68H296" stroke="#6d5646" stroke-width="4"/>' +
  '<path d="M212 22L184 34V128L212 114Z" fill="#9a7553" stroke="#4a3a2e" stroke-width="2"/>';
const DOOR_CLOSED =
  '<rect x="212" y="22" width="84" height="92" fill="#9a7553" stroke="#4a3a2e" stroke-width="3"/>' +
  '<rect x="220" y="30" width="68" height="76" fill="none" stroke="#7d5d40" stroke-width="2"/><circle cx="222" cy="70" r="4" fill="#e8e2d8"/>';

function drawPerson(side: 'left' | 'right'): string {
  const x = side === 'left' ? 108 : 156;
  return (
    `<circle cx="${x}" cy="62" r="17" fill="#e0ac86" stroke="${EDGE}"/>` +
    `<path d="M${x - 27} 150V108q0 -26 27 -26t27 26V150Z" fill="#37474f" stroke="${EDGE}"/>`
  );
}

/** The scene as an SVG document of WIDTH x HEIGHT pixels. */
export function drawScene({ wall, table, lampOn, doorOpen, person, objects, light }: Scene): string {
  const veil = `fill="${light < 1 ? '#000' : '#fff'}" fill-opacity="${(Math.abs(light - 1) * 0.6).toFixed(3)}"`;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${HEIGHT}"><rect width="320" height="240" fill="${wall}"/>`,
    lampOn ? LAMP_ON : LAMP_OFF,
    doorOpen ? DOOR_OPEN : DOOR_CLOSED,
    person ? drawPerson(person) : '',
    `<rect y="146" width="320" height="94" fill="${table}"/><rect y="146" width="320" height="5" fill="#00000033"/>`,
    ...objects.map(drawThing),
    `<rect width="320" height="240" ${veil}/></svg>`,
  ].join('');
}

/** The scene as raw RGB pixels, WIDTH x HEIGHT. */
export async function renderScene(scene: Scene): Promise<KitchenFrame> {
  const { default: sharp } = await import('sharp');
  const data = await sharp(Buffer.from(drawScene(scene)))
    .removeAlpha()
    .raw()
    .toBuffer();
  return { data, width: WIDTH, height: HEIGHT, format: 'rgb' };
}
