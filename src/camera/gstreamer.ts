/** Cameras and clips through GStreamer: a child process decodes and scales, this process reads small pictures. */
import { MiphaError } from '../errors.js';
import { hasElement } from './elements.js';
import type { Picture, Source } from './frame.js';
import { GstChild } from './gst-child.js';
import { Mailbox } from './mailbox.js';
import { mask } from './mask.js';
import { type Pipeline, PROBED, pipelineOf } from './pipelines.js';

export function gstreamerSource(uri: string, sidePx: number): Source {
  pipelineOf(uri, sidePx, () => false); // refuses what is no camera before anything runs
  const name = mask(uri);
  return {
    name,
    async *open(signal, onDropped) {
      const pipeline = await choosePipeline(uri, sidePx);
      do {
        const pictures = yield* play(pipeline, signal, () => onDropped('unread'));
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

/** One child process from start to end; returns how many pictures were read. */
async function* play(pipeline: Pipeline, signal: AbortSignal, onDropped: () => void): AsyncGenerator<Picture, number> {
  if (signal.aborted) return 0;
  const mailbox = new Mailbox<Picture>(({ giveBack }) => {
    giveBack?.();
    onDropped();
  });
  const child = new GstChild(pipeline, (picture) => mailbox.put(picture));
  child.ended.then(
    () => mailbox.close(),
    (error: Error) => mailbox.close({ error }),
  );
  const abort = () => mailbox.close();
  signal.addEventListener('abort', abort);
  let pictures = 0;
  try {
    for (;;) {
      const picture = await mailbox.take();
      if (picture === undefined || signal.aborted) return pictures;
      pictures++;
      yield picture;
    }
  } finally {
    signal.removeEventListener('abort', abort);
    await child.stop();
  }
}
