/** Whatever the caller has as a picture → pixels for the native side. */
import { readFile, stat } from 'node:fs/promises';
import sharp from 'sharp';
import type { NativeImage, PixelFormat } from '../addon/addon.js';
import { checkKeys, MiphaError, nearestKey, optionError } from '../errors.js';

/** Raw pixels; they must not change until the call has settled. NV12: `height` rows of luma, then height / 2 rows of interleaved CbCr. */
export interface RawImage {
  data: Uint8Array;
  width: number;
  height: number;
  format: PixelFormat;
  /** Bytes per row. Default: no gap between rows. */
  stride?: number | undefined;
}

/** A path or the bytes of a file (JPEG, PNG, WebP, GIF, TIFF, AVIF), or raw pixels; a camera's frame is raw pixels and more. */
export type ImageInput = string | Uint8Array | RawImage;

const RAW_KEYS = ['data', 'width', 'height', 'format', 'stride'];
/** What a camera's frame has besides its pixels. */
const FRAME_KEYS = ['id', 'monotonicMs', 'at', 'content', 'truth', 'hold'];

const FORMATS: Record<PixelFormat, number> = { rgb: 3, rgba: 4, bgr: 3, gray: 1, nv12: 1 }; // bytes per pixel in a row
const CODECS = ['jpeg', 'png', 'webp', 'gif', 'tiff', 'heif'];
const MAX_PIXELS = 64_000_000;
const MAX_FILE_BYTES = 256 * 1024 * 1024;

/** The id of a camera's frame; undefined for any other picture. */
export function frameId(image: unknown): string | undefined {
  const { id, monotonicMs } = (typeof image === 'object' && image !== null ? image : {}) as { id?: unknown; monotonicMs?: unknown };
  return typeof id === 'string' && typeof monotonicMs === 'number' ? id : undefined;
}

/** Throws ERR_OPTION for what is no picture at all, ERR_IMAGE for one that cannot be used. */
export async function toPixels(image: ImageInput, signal?: AbortSignal): Promise<NativeImage> {
  if (typeof image === 'string') return await decode(await readImage(image, signal), image);
  if (image instanceof Uint8Array) return await decode(image, 'image');
  return rawPixels(image);
}

async function readImage(path: string, signal?: AbortSignal): Promise<Uint8Array> {
  try {
    const { size } = await stat(path);
    if (size > MAX_FILE_BYTES) throw imageError(`${path}: expected at most ${MAX_FILE_BYTES} bytes, received ${size}`, { path, bytes: size });
    return await readFile(path, { signal });
  } catch (cause) {
    if (cause instanceof MiphaError) throw cause;
    signal?.throwIfAborted();
    throw imageError(`${path}: ${(cause as Error).message}`, { path }, cause);
  }
}

/** Upright RGB as Pillow's convert('RGB') gives it: alpha dropped, colour profiles not applied. */
async function decode(bytes: Uint8Array, name: string): Promise<NativeImage> {
  if (bytes.length === 0) throw imageError(`${name}: expected the bytes of a picture, received none`, {});
  try {
    const { format, width, height } = await sharp(bytes, { limitInputPixels: false }).metadata();
    if (!CODECS.includes(format)) throw imageError(`${name}: expected ${CODECS.join(', ')}, received ${format}`, { format });
    checkPixels(name, width, height);
    const { data, info } = await sharp(bytes, { limitInputPixels: MAX_PIXELS, failOn: 'error', ignoreIcc: true })
      .autoOrient()
      .toColourspace('srgb')
      .removeAlpha()
      .raw({ depth: 'uchar' })
      .toBuffer({ resolveWithObject: true });
    return { data, width: info.width, height: info.height, stride: info.width * 3, format: 'rgb' };
  } catch (cause) {
    if (cause instanceof MiphaError) throw cause;
    throw imageError(`${name}: ${(cause as Error).message}`, {}, cause);
  }
}

function rawPixels(image: RawImage): NativeImage {
  checkKeys('image', image, frameId(image) === undefined ? RAW_KEYS : [...RAW_KEYS, ...FRAME_KEYS]);
  const { data, width, height, format, stride } = image;
  if (!(data instanceof Uint8Array)) throw optionError('image.data', 'a Uint8Array of pixels', data);
  for (const [key, value] of Object.entries({ width, height, ...(stride === undefined ? {} : { stride }) })) {
    if (!Number.isInteger(value)) throw optionError(`image.${key}`, 'a whole number', value);
  }
  if (!Object.hasOwn(FORMATS, format)) {
    const names = Object.keys(FORMATS);
    throw optionError('image.format', names.join(', '), format, nearestKey(String(format), names));
  }
  checkPixels('image', width, height);
  const row = width * FORMATS[format];
  const pitch = stride ?? row;
  const rows = format === 'nv12' ? height + height / 2 : height;
  if (format === 'nv12' && (width % 2 !== 0 || height % 2 !== 0)) {
    throw imageError(`image: expected even sides for nv12, received ${width} x ${height}`, { width, height });
  }
  if (pitch < row || pitch > 0x7fff_ffff) throw imageError(`image.stride: expected at least ${row} bytes, received ${pitch}`, { stride: pitch });
  const needed = pitch * (rows - 1) + row;
  if (data.length < needed) {
    throw imageError(`image.data: expected at least ${needed} bytes, received ${data.length}`, { expectedBytes: needed, receivedBytes: data.length });
  }
  return { data, width, height, stride: pitch, format };
}

function checkPixels(name: string, width: number, height: number): void {
  if (width >= 1 && height >= 1 && width <= 65_535 && height <= 65_535 && width * height <= MAX_PIXELS) return;
  throw imageError(`${name}: expected 1 to ${MAX_PIXELS / 1e6} million pixels and sides up to 65535, received ${width} x ${height}`, {
    width,
    height,
  });
}

function imageError(message: string, details: Record<string, unknown>, cause?: unknown): MiphaError {
  return new MiphaError('ERR_IMAGE', message, { details, ...(cause === undefined ? {} : { cause }) });
}
