/** The bytes of a picture file → upright RGB. */
import type { ErrorDetails } from '../error-details.js';
import { MiphaError, type MiphaErrorOf } from '../errors.js';
import { checkWhole } from './whole.js';

export interface Pixels {
  data: Buffer; // RGB, no gaps
  width: number;
  height: number;
}

export interface DecodeOptions {
  /** Scaled down, never up, until the longer side fits. */
  maxSidePx?: number;
}

const CODECS = ['jpeg', 'png', 'webp', 'gif', 'tiff', 'heif'];
const MAX_PIXELS = 64_000_000;

/**
 * As Pillow's convert('RGB') gives it: alpha dropped, colour profiles not applied; of an animation the first picture. `name` begins the messages.
 * Throws ERR_IMAGE for what is no picture, too large, or not whole. Damage that passes: see jpeg.ts; in lossy WebP and in TIFF, which have no
 * checksums, most of what keeps the size.
 */
export async function decodePicture(bytes: Uint8Array, name: string, { maxSidePx }: DecodeOptions = {}): Promise<Pixels> {
  if (bytes.length === 0) throw imageError('format', `${name}: expected the bytes of a picture, received none`, { bytes: 0 });
  const { default: sharp } = await import('sharp'); // which takes longer to load than most commands take without it
  const { format, width, height } = await sharp(bytes, { limitInputPixels: false })
    .metadata()
    .catch((cause: Error) => {
      throw imageError('format', `${name}: ${cause.message}`, {}, cause);
    });
  if (!CODECS.includes(format)) throw imageError('format', `${name}: expected ${CODECS.join(', ')}, received ${format}`, { format });
  checkSize(name, width, height);
  try {
    const failOn = await checkWhole(bytes, format);
    const upright = sharp(bytes, { limitInputPixels: MAX_PIXELS, failOn, ignoreIcc: true }).autoOrient();
    const sized =
      maxSidePx === undefined ? upright : upright.resize({ width: maxSidePx, height: maxSidePx, fit: 'inside', withoutEnlargement: true });
    const { data, info } = await sized.toColourspace('srgb').removeAlpha().raw({ depth: 'uchar' }).toBuffer({ resolveWithObject: true });
    return { data, width: info.width, height: info.height };
  } catch (cause) {
    throw imageError('damaged', `${name}: damaged ${format}: ${(cause as Error).message}`, { format }, cause);
  }
}

/** Throws ERR_IMAGE. */
export function checkSize(name: string, width: number, height: number): void {
  if (width >= 1 && height >= 1 && width <= 65_535 && height <= 65_535 && width * height <= MAX_PIXELS) return;
  throw imageError('size', `${name}: expected 1 to ${MAX_PIXELS / 1e6} million pixels and sides up to 65535, received ${width} x ${height}`, {
    width,
    height,
  });
}

type ImageDetails = ErrorDetails['ERR_IMAGE'];

export function imageError(
  reason: NonNullable<ImageDetails['reason']>,
  message: string,
  details: Omit<ImageDetails, 'reason'>,
  cause?: unknown,
): MiphaErrorOf<'ERR_IMAGE'> {
  return new MiphaError('ERR_IMAGE', message, { details: { reason, ...details }, ...(cause === undefined ? {} : { cause }) });
}
