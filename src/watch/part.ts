/** What of a picture a question is about: a crop, of it only the zone, of that not what is ignored. */
import { cover, fillRuns, type Runs } from '../camera/cover.js';
import type { Crop, Frame } from '../camera/frame.js';
import type { Polygon } from '../camera/polygon.js';
import type { RawImage } from '../engine/image.js';
import { MiphaError } from '../errors.js';
import { gridOf } from './blocks.js';
import { BYTES_PER_PIXEL, cropped, type Rect, rectOf } from './crop.js';

/** Polygons in shares of the whole picture, whatever the crop. Not to be changed: what was worked out about it is kept. */
export interface Part {
  crop?: Crop | undefined;
  /** Look only here. Default: everywhere. */
  zone?: readonly Polygon[] | undefined;
  /** Not here. */
  ignore?: readonly Polygon[] | undefined;
}

export const WHOLE: Part = {};

/**
 * What the model sees where nobody is to look. The middle of the scale is next to 0 in the input of a SigLIP tower.
 * Painted black, parts beside what was asked about cost mipha-nano up to 43 of 60 answers; gray, none.
 */
const NEUTRAL = 128;

const keys = new WeakMap<Part, string>();

/** Equal for equal parts. */
export function partKey(part: Part): string {
  const known = keys.get(part);
  if (known !== undefined) return known;
  const { crop, zone, ignore = [] } = part;
  const key = JSON.stringify([crop === undefined ? null : [crop.x, crop.y, crop.width, crop.height], zone ?? null, ignore]);
  keys.set(part, key);
  return key;
}

/** What a part means in pictures of one size. */
export interface Stencil {
  /** The pixels of the crop that do not count, numbered within it. */
  hidden: Runs;
  /** What counts lies in here; null: nothing does. */
  bounds: Rect | null;
  /** For each pixel that blocksOf() looks at in `bounds`, row by row, 1 where it counts; null: all do. */
  counted: Uint8Array | null;
}

const stencils = new WeakMap<Part, { width: number; height: number; stencil: Stencil }>(); // for the last size

export function stencilOf(part: Part, { width, height }: Pick<Frame, 'width' | 'height'>): Stencil {
  const known = stencils.get(part);
  if (known?.width === width && known.height === height) return known.stencil;
  const stencil = cut(part, width, height);
  stencils.set(part, { width, height, stencil });
  return stencil;
}

/** Something of the part is left in a picture of this size. */
export function leavesAnything(part: Part, size: Pick<Frame, 'width' | 'height'>): boolean {
  return stencilOf(part, size).bounds !== null;
}

/**
 * What the model is to see. Without zones not a copy: rows of the crop lie `stride` bytes apart in the frame. With them a copy, gray where nobody is
 * to look. Throws ERR_IMAGE where nothing is left, as it can be in a picture of few pixels.
 */
export function pictureOf(frame: Frame, part: Part): RawImage {
  const { hidden, bounds } = stencilOf(part, frame);
  const image = cropped(frame, part.crop);
  if (bounds === null) throw nothingLeft(frame);
  if (hidden.length === 0) return image;
  const channels = BYTES_PER_PIXEL[frame.format];
  const { width, height, format } = image;
  const row = width * channels;
  const stride = frame.width * channels;
  const data = Buffer.allocUnsafeSlow(row * height); // every byte is written; of its own
  for (let y = 0; y < height; y++) data.set(image.data.subarray(y * stride, y * stride + row), y * row);
  return { data: fillRuns(data, hidden, channels, NEUTRAL), width, height, format };
}

function nothingLeft({ width, height }: Frame): MiphaError {
  const message = `The zone, within the crop and outside what is ignored, leaves nothing of a picture of ${width} x ${height} pixels`;
  return new MiphaError('ERR_IMAGE', message, { details: { reason: 'size', width, height } });
}

/** A pixel that the zone touches counts, unless what is ignored touches it too. */
function cut({ crop, zone, ignore = [] }: Part, width: number, height: number): Stencil {
  const rect = rectOf({ width, height }, crop);
  if (zone === undefined && ignore.length === 0) return { hidden: new Uint32Array(), bounds: rect, counted: null };
  const whole = new Uint8Array(width * height);
  mark(whole, zone === undefined ? Uint32Array.of(0, whole.length) : cover(zone, width, height, 0), 1);
  mark(whole, cover(ignore, width, height, 0), 0);
  const counts = new Uint8Array(rect.width * rect.height);
  for (let y = 0; y < rect.height; y++) {
    const begin = (rect.y + y) * width + rect.x;
    counts.set(whole.subarray(begin, begin + rect.width), y * rect.width);
  }
  const bounds = boundsOf(counts, rect);
  return { hidden: runsOfZeros(counts), bounds, counted: bounds === null ? null : countedIn(whole, width, bounds) };
}

/** A zone so thin that none of it is looked at counts as a whole: something must tell when to ask again. */
function countedIn(whole: Uint8Array, width: number, bounds: Rect): Uint8Array | null {
  const { across, down } = gridOf(bounds);
  const counted = new Uint8Array(across.at.length * down.at.length);
  let index = 0;
  for (const y of down.at) for (const x of across.at) counted[index++] = whole[y * width + x] as number;
  return counted.includes(1) && counted.includes(0) ? counted : null;
}

function mark(pixels: Uint8Array, runs: Runs, value: 0 | 1): void {
  for (let index = 0; index < runs.length; index += 2) pixels.fill(value, runs[index], runs[index + 1]);
}

function runsOfZeros(counts: Uint8Array): Runs {
  const runs: number[] = [];
  for (let begin = counts.indexOf(0); begin >= 0; begin = counts.indexOf(0, begin)) {
    const next = counts.indexOf(1, begin);
    runs.push(begin, next < 0 ? counts.length : next);
    if (next < 0) break;
    begin = next;
  }
  return Uint32Array.from(runs);
}

function boundsOf(counts: Uint8Array, { x, y, width, height }: Rect): Rect | null {
  let [left, right, top, bottom] = [width, -1, height, -1];
  for (let row = 0; row < height; row++) {
    const line = counts.subarray(row * width, (row + 1) * width);
    const first = line.indexOf(1);
    if (first < 0) continue;
    left = Math.min(left, first);
    right = Math.max(right, line.lastIndexOf(1));
    top = Math.min(top, row);
    bottom = row;
  }
  return bottom < 0 ? null : { x: x + left, y: y + top, width: right - left + 1, height: bottom - top + 1 };
}
