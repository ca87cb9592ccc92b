/** Whether a picture file is all there, before it is decoded. */
import { setImmediate as immediate } from 'node:timers/promises';
import { readJpeg } from './jpeg.js';

const SLICE_MS = 4; // on the event loop at a time

/**
 * Throws an Error that says what is missing. Returns what sharp must stop at: 'warning' where nothing here has read the data itself and its decoder
 * warns of nothing harmless.
 */
export async function checkWhole(bytes: Uint8Array, format: string): Promise<'error' | 'warning'> {
  if (format === 'png') checkPngEnd(bytes);
  if (format === 'gif') checkGifEnd(bytes);
  if (format === 'gif') return 'warning';
  if (format !== 'jpeg') return 'error';
  const reading = readJpeg(bytes);
  for (let since = performance.now(); ; ) {
    const { done, value } = reading.next();
    if (done) return value ? 'error' : 'warning';
    if (performance.now() - since < SLICE_MS) continue;
    await immediate();
    since = performance.now();
  }
}

const PNG_SIGNATURE = 8; // bytes

/** Up to IEND; the checksums are libpng's business. */
function checkPngEnd(bytes: Uint8Array): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let at = PNG_SIGNATURE; at + 12 <= bytes.length; at += 12 + view.getUint32(at)) {
    if (view.getUint32(at + 4) === 0x49454e44) return;
  }
  throw new Error('its end is missing');
}

/** Up to the trailer. */
function checkGifEnd(bytes: Uint8Array): void {
  const byte = (index: number) => bytes[index] ?? 0;
  const colors = (flags: number) => ((flags & 0x80) === 0 ? 0 : 3 << ((flags & 7) + 1)); // bytes of a table
  let at = 13 + colors(byte(10));
  while (at < bytes.length) {
    const kind = byte(at);
    if (kind === 0x3b) return;
    if (kind === 0x21) at += 2;
    else if (kind === 0x2c) at += 11 + colors(byte(at + 9));
    else throw new Error(`expected a block at byte ${at}`);
    while (at < bytes.length && byte(at) > 0) at += 1 + byte(at);
    at++;
  }
  throw new Error('its end is missing');
}
