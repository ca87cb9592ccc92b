/** Polygons that say which part of a picture is meant, in shares of its sides, so that they fit it at any size. */
import { optionError } from '../errors.js';

/** From the left and from the top, each 0 to 1, of the picture as it is shown: [x, y]. */
export type Point = readonly number[];

/**
 * At least three points; the last is joined to the first. Where the outline crosses itself, what it goes round belongs to it (the non-zero winding
 * rule).
 */
export type Polygon = readonly Point[];

export const LEAST_POINTS = 3;
export const MOST_POINTS = 64;
export const MOST_POLYGONS = 32;

export const POLYGON_WORDS = 'points that do not lie on one line';
const LEAST_TWICE_AREA = 1e-9; // of a triangle, as a share of the picture

/** Some three of its points do not lie on one line. */
export function isSpread(polygon: Polygon): boolean {
  const [first = [], ...others] = polygon;
  const [x0 = 0, y0 = 0] = first;
  let far: Point = first; // the point furthest from the first: all lie on the line of both, or none of their lines has all
  const distance = ([x = 0, y = 0]: Point) => Math.hypot(x - x0, y - y0);
  for (const point of others) if (distance(point) > distance(far)) far = point;
  const [x1 = 0, y1 = 0] = far;
  return others.some(([x = 0, y = 0]) => Math.abs((x1 - x0) * (y - y0) - (x - x0) * (y1 - y0)) > LEAST_TWICE_AREA);
}

/** Throws ERR_OPTION, named `label`, for anything but a list of polygons. */
export function checkPolygons(label: string, given: unknown): asserts given is readonly Polygon[] {
  checkList(label, given, 0, MOST_POLYGONS, 'polygons');
  for (const [index, polygon] of given.entries()) {
    const name = `${label}[${index}]`;
    checkList(name, polygon, LEAST_POINTS, MOST_POINTS, 'points [x, y]');
    for (const [place, point] of polygon.entries()) {
      const right = Array.isArray(point) && point.length === 2 && point.every((share) => typeof share === 'number' && share >= 0 && share <= 1);
      if (!right) throw optionError(`${name}[${place}]`, 'a point [x, y], each a number from 0 to 1', point);
    }
    if (!isSpread(polygon as Polygon)) throw optionError(name, POLYGON_WORDS, polygon);
  }
}

function checkList(label: string, given: unknown, least: number, most: number, of: string): asserts given is unknown[] {
  if (Array.isArray(given) && given.length >= least && given.length <= most) return;
  const count = least === 0 ? `at most ${most}` : `${least} to ${most}`;
  throw optionError(label, `a list of ${count} ${of}`, Array.isArray(given) ? given.length : given);
}
