/** Whatever the caller has as a picture → pixels for the native side. */
import type { NativeImage, PixelFormat } from '../addon/addon.js';
import { checkKeys, nearestKey, optionError } from '../errors.js';
import { checkSize, decodePicture, imageError } from '../picture/decode.js';
import { fileBytes, type ImageFile, ownBytes } from './image-bytes.js';

/** Raw pixels; they must not change until the call has settled. NV12: `height` rows of luma, then height / 2 rows of interleaved CbCr. */
export interface RawImage {
  data: Uint8Array | Uint8ClampedArray;
  width: number;
  height: number;
  format: PixelFormat;
  /** Bytes per row. Default: no gap between rows. */
  stride?: number | undefined;
}

/**
 * A picture file (JPEG, PNG, WebP, GIF, TIFF, AVIF) as path, file: URL, Blob or bytes; or raw pixels; a camera's frame is raw pixels and more.
 * Shared and resizable memory is copied.
 */
export type ImageInput = ImageFile | RawImage;

const EXPECTED = 'a path, a file: URL, a Blob, the bytes of a file, or { data, width, height, format }';
const RAW_KEYS = ['data', 'width', 'height', 'format', 'stride'];
/** What a camera's frame has besides its pixels. */
const FRAME_KEYS = ['id', 'monotonicMs', 'at', 'content', 'truth', 'hold'];

const FORMATS: Record<PixelFormat, number> = { rgb: 3, rgba: 4, bgr: 3, gray: 1, nv12: 1 }; // bytes per pixel in a row

/** The id of a camera's frame; undefined for any other picture. */
export function frameId(image: unknown): string | undefined {
  const { id, monotonicMs } = (typeof image === 'object' && image !== null ? image : {}) as { id?: unknown; monotonicMs?: unknown };
  return typeof id === 'string' && typeof monotonicMs === 'number' ? id : undefined;
}

/** Throws ERR_OPTION for what is no picture at all, ERR_IMAGE for one that cannot be used. */
export async function toPixels(image: ImageInput, signal?: AbortSignal): Promise<NativeImage> {
  const file = await fileBytes(image, signal);
  if (file === undefined) return rawPixels(image as RawImage);
  const { data, width, height } = await decodePicture(file.bytes, file.name);
  return { data, width, height, stride: width * 3, format: 'rgb' };
}

function rawPixels(image: RawImage): NativeImage {
  if (typeof image !== 'object' || image === null) throw optionError('image', EXPECTED, image);
  checkKeys('image', image, frameId(image) === undefined ? RAW_KEYS : [...RAW_KEYS, ...FRAME_KEYS]);
  const { data, width, height, format, stride } = image;
  if (!(data instanceof Uint8Array || data instanceof Uint8ClampedArray)) throw optionError('image.data', 'a Uint8Array of pixels', data);
  const pixels = ownBytes(data, 'image.data');
  for (const [key, value] of Object.entries({ width, height, ...(stride === undefined ? {} : { stride }) })) {
    if (!Number.isInteger(value)) throw optionError(`image.${key}`, 'a whole number', value);
  }
  if (!Object.hasOwn(FORMATS, format)) {
    const names = Object.keys(FORMATS);
    throw optionError('image.format', names.join(', '), format, nearestKey(String(format), names));
  }
  checkSize('image', width, height);
  const row = width * FORMATS[format];
  const pitch = stride ?? row;
  const rows = format === 'nv12' ? height + height / 2 : height;
  if (format === 'nv12' && (width % 2 !== 0 || height % 2 !== 0)) {
    throw imageError('size', `image: expected even sides for nv12, received ${width} x ${height}`, { width, height });
  }
  if (pitch < row || pitch > 0x7fff_ffff)
    throw imageError('size', `image.stride: expected at least ${row} bytes, received ${pitch}`, { stride: pitch });
  const needed = pitch * (rows - 1) + row;
  if (pixels.length < needed) {
    throw imageError('size', `image.data: expected at least ${needed} bytes, received ${pixels.length}`, {
      expectedBytes: needed,
      receivedBytes: pixels.length,
    });
  }
  return { data: pixels, width, height, stride: pitch, format };
}
