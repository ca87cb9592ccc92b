/** Cameras and clips through GStreamer: a child process decodes and scales, this process reads small pictures. */
import { MiphaError } from '../errors.js';
import { decodePicture } from '../picture/decode.js';
import { hasElement } from './elements.js';
import type { OnDropped, Picture, Source } from './frame.js';
import { GstChild } from './gst-child.js';
import { Mailbox } from './mailbox.js';
import { mask } from './mask.js';
import { MultipartReader } from './multipart.js';
import { type Pipeline, PROBED, pipelineOf } from './pipelines.js';
import { PnmReader } from './pnm.js';

export function gstreamerSource(uri: string, sidePx: number): Source {
  const { afterEnd } = pipelineOf(uri, sidePx, () => false); // refuses what is no camera before anything runs
  const name = mask(uri);
  return {
    name,
    ...(afterEnd === undefined ? {} : { afterEnd }),
    async *open(signal, onDropped) {
      const pipeline = await choosePipeline(uri, sidePx);
      do {
        const pictures = yield* play(
          pipeline,
          (file) => decode(file, name, sidePx, onDropped),
          signal,
          () => onDropped('unread'),
        );
        if (signal.aborted) return;
        if (pictures === 0) throw new MiphaError('ERR_CAMERA', `${name}: ended without a picture`);
        if (!pipeline.finite) throw new MiphaError('ERR_CAMERA', `${name}: the stream has ended`);
      } while (pipeline.loop);
    },
  };
}

/** The pipeline for what this machine has. */
export async function choosePipeline(uri: string, sidePx: number): Promise<Pipeline> {
  const found = await Promise.all(PROBED.map(hasElement));
  return pipelineOf(uri, sidePx, (element) => found[PROBED.indexOf(element)] === true);
}

/** A JPEG as the camera sent it → its picture; undefined, and counted, where it is damaged. */
async function decode(file: Buffer, name: string, sidePx: number, onDropped: OnDropped): Promise<Picture | undefined> {
  try {
    return { ...(await decodePicture(file, name, { maxSidePx: sidePx })), format: 'rgb' };
  } catch (error) {
    onDropped('unreadable', (error as Error).message);
    return undefined;
  }
}

/** One child process from start to end; returns how many pictures were read. */
async function* play(
  pipeline: Pipeline,
  decodeJpeg: (file: Buffer) => Promise<Picture | undefined>,
  signal: AbortSignal,
  onUnread: () => void,
): AsyncGenerator<Picture, number> {
  if (signal.aborted) return 0;
  const mailbox = new Mailbox<Picture | Buffer>((unread) => {
    if (!Buffer.isBuffer(unread)) unread.giveBack?.();
    onUnread();
  });
  const put = (received: Picture | Buffer) => mailbox.put(received);
  const child = new GstChild(pipeline, pipeline.pictures === 'jpeg' ? new MultipartReader(put) : new PnmReader(put));
  child.ended.then(
    () => mailbox.close(),
    (error: Error) => mailbox.close({ error }),
  );
  const abort = () => mailbox.close();
  signal.addEventListener('abort', abort);
  let pictures = 0;
  try {
    for (;;) {
      const received = await mailbox.take();
      const picture = Buffer.isBuffer(received) ? await decodeJpeg(received) : received;
      if (received === undefined || signal.aborted) return pictures;
      if (picture === undefined) continue;
      pictures++;
      yield picture;
    }
  } finally {
    signal.removeEventListener('abort', abort);
    await child.stop();
  }
}
