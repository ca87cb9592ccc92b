/** Masks: polygons of points, shares of the picture from its top left corner. */
export type Point = [x: number, y: number];
export type Polygon = Point[];

/** As many as the configuration takes. */
export const MOST_POINTS = 32;

export function moved(polygons: readonly Polygon[], polygon: number, point: number, [x, y]: Point): Polygon[] {
  const at: Point = [share(x), share(y)];
  return polygons.map((points, i) => (i === polygon ? points.map((old, j) => (j === point ? at : old)) : points));
}

/** In the middle of the side that begins at `point`. */
export function split(polygons: readonly Polygon[], polygon: number, point: number): Polygon[] {
  return polygons.map((points, i) => {
    if (i !== polygon || points.length >= MOST_POINTS) return points;
    const [from, to] = [points[point] as Point, points[(point + 1) % points.length] as Point];
    const middle: Point = [share((from[0] + to[0]) / 2), share((from[1] + to[1]) / 2)];
    return [...points.slice(0, point + 1), middle, ...points.slice(point + 1)];
  });
}

/** A triangle without a point is no polygon. */
export function without(polygons: readonly Polygon[], polygon: number, point: number): Polygon[] {
  return polygons.flatMap((points, i) => (i !== polygon ? [points] : points.length <= 3 ? [] : [points.filter((_, j) => j !== point)]));
}

/** Of a new one: a square in the middle, a little further each time. */
export function fresh(count: number): Polygon {
  const [low, high] = [0.3 + (count % 4) * 0.05, 0.6 + (count % 4) * 0.05].map(share) as [number, number];
  return [
    [low, low],
    [high, low],
    [high, high],
    [low, high],
  ];
}

/** Thousandths are enough. */
function share(value: number): number {
  return Math.round(Math.min(1, Math.max(0, value)) * 1000) / 1000;
}
