// Masks, measured: what painting a frame costs, by size and by how much is covered, and the gate and the picture of a watch with zones.
import { cpus } from 'node:os';
import { fromDist, readArguments, wholeNumber } from '../scripts/arguments.mjs';

const USAGE = `node bench/masks.mjs [FRAMES]      after npm run setup

Paints FRAMES (2000) frames of each kind: median and 99th percentile.`;

const { positionals } = readArguments(USAGE, { positionals: 1 });
const FRAMES = wholeNumber(USAGE, 'FRAMES', positionals[0], 2000);
const [{ Privacy }, { cover }, { pictureOf }, { Inspection }] = await Promise.all(
  ['camera/privacy.js', 'camera/cover.js', 'watch/part.js', 'watch/inspection.js'].map(fromDist),
);

const box = (left, top, right, bottom) => [
  [left, top],
  [right, top],
  [right, bottom],
  [left, bottom],
];
const round = (x, y, r, points) =>
  Array.from({ length: points }, (_, i) => [x + r * Math.cos((i * 2 * Math.PI) / points), y + r * Math.sin((i * 2 * Math.PI) / points)]);
const MASKS = {
  'a window, a tenth': [box(0.1, 0.1, 0.5, 0.35)],
  'half of the picture': [box(0, 0, 0.5, 1)],
  'all of it': [box(0, 0, 1, 1)],
  '32 circles of 64 points': Array.from({ length: 32 }, (_, i) => round(0.1 + 0.11 * (i % 8), 0.15 + 0.2 * Math.floor(i / 8), 0.06, 64)),
};

console.log(`${cpus()[0].model.trim()}, ${cpus().length} threads, Node ${process.versions.node}, ${FRAMES} frames each\n`);
for (const [width, height] of [
  [384, 216],
  [1280, 720],
  [1920, 1080],
]) {
  const picture = { id: '', width, height, format: 'rgb', data: Buffer.alloc(width * height * 3, 100), monotonicMs: 0, at: new Date(), content: 1 };
  for (const [name, polygons] of Object.entries(MASKS)) {
    const privacy = new Privacy(polygons);
    row(
      `${width} x ${height}, privacy: ${name}`,
      () => privacy.paint(picture),
      once(() => cover(polygons, width, height, 2)),
    );
  }
  const zone = { zone: [box(0.2, 0.2, 0.8, 0.9)], ignore: [round(0.5, 0.5, 0.1, 16)] };
  row(`${width} x ${height}, zone: the picture for the model`, () => pictureOf(picture, zone));
  row(`${width} x ${height}, zone: the grid of the gate`, () => new Inspection(picture).pair(zone));
  row(`${width} x ${height}, no zone: the grid of the gate`, () => new Inspection(picture).pair());
}

function once(work) {
  const began = performance.now();
  work();
  return performance.now() - began;
}

function row(name, work, firstMs) {
  for (let i = 0; i < 50; i++) work();
  const times = Array.from({ length: FRAMES }, () => once(work)).sort((a, b) => a - b);
  const at = (share) => `${times[Math.floor(share * times.length)].toFixed(3)} ms`;
  const first = firstMs === undefined ? '' : `, once per size ${firstMs.toFixed(2)} ms`;
  console.log(`${name.padEnd(58)} p50 ${at(0.5)}, p99 ${at(0.99)}${first}`);
}
