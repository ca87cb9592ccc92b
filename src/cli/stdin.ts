/** A picture from stdin. */
import { addAbortSignal } from 'node:stream';
import { MiphaError } from '../errors.js';

const MAX_BYTES = 256 * 1024 * 1024; // as for files

/** All of it. Throws ERR_OPTION at a terminal, ERR_IMAGE for nothing or too much, and the reason of `signal`. */
export async function readStdin(signal: AbortSignal, stdin: NodeJS.ReadStream = process.stdin): Promise<Uint8Array> {
  if (stdin.isTTY) {
    throw new MiphaError('ERR_OPTION', 'Option image: expected a picture on stdin, received a terminal: mipha ask - QUESTION < picture.jpg', {
      details: { option: 'image', expected: 'a picture on stdin', received: 'a terminal' },
    });
  }
  const chunks: Buffer[] = [];
  let bytes = 0;
  addAbortSignal(signal, stdin);
  try {
    for await (const chunk of stdin as AsyncIterable<Buffer>) {
      chunks.push(chunk);
      bytes += chunk.length;
      if (bytes > MAX_BYTES) throw tooLarge();
    }
  } catch (cause) {
    signal.throwIfAborted();
    if (cause instanceof MiphaError) throw cause;
    throw new MiphaError('ERR_IMAGE', `stdin: ${(cause as Error).message}`, { details: { reason: 'unreadable' }, cause });
  }
  if (bytes === 0)
    throw new MiphaError('ERR_IMAGE', 'stdin: expected the bytes of a picture, received none', { details: { reason: 'format', bytes } });
  return Buffer.concat(chunks);
}

function tooLarge(): MiphaError {
  return new MiphaError('ERR_IMAGE', `stdin: expected at most ${MAX_BYTES} bytes, received more`, { details: { reason: 'size', bytes: MAX_BYTES } });
}
