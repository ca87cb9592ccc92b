/** What kinds of cameras this machine can open, for `mipha doctor`. */
import { spawnSync } from 'node:child_process';
import { elementsOf, hasElement, installCommand } from './elements.js';
import { choosePipeline } from './gstreamer.js';
import { show } from './pipelines.js';

export interface CameraReport {
  /** Version of gst-launch-1.0; null: not installed. */
  gstreamer: string | null;
  schemes: SchemeReport[];
}

export interface SchemeReport {
  /** e.g. `rtsp` */
  scheme: string;
  /** As one would write it in a configuration. */
  example: string;
  ready: boolean;
  variant: 'built-in' | 'nvidia' | 'plain';
  /** The exact command that `example` runs; null where no child process is needed. */
  pipeline: string | null;
  missing: string[]; // GStreamer elements
  /** The command that brings them; null where nothing is missing. */
  fix: string | null;
}

const BUILT_IN = { synthetic: 'synthetic://kitchen', images: 'images://FOLDER' };
const EXAMPLES: Record<string, { uri: string; decoders: string[] }> = {
  v4l2: { uri: 'v4l2:///dev/video0', decoders: [] },
  'v4l2 mjpeg': { uri: 'v4l2:///dev/video0?format=mjpeg', decoders: [] },
  csi: { uri: 'csi://0', decoders: [] },
  rtsp: { uri: 'rtsp://HOST/PATH', decoders: ['rtph264depay', 'h264parse', 'avdec_h264'] },
  file: { uri: 'file:///CLIP.mp4', decoders: ['qtdemux', 'h264parse', 'avdec_h264'] },
  gst: { uri: 'gst:videotestsrc is-live=true', decoders: [] },
};

/** `sidePx`: longest side of the pictures in the pipelines shown. */
export async function inspectCameras(sidePx: number): Promise<CameraReport> {
  const { status, stdout } = spawnSync('gst-launch-1.0', ['--version'], { encoding: 'utf8' });
  const gstreamer = status === 0 ? (/[\d.]+$/m.exec(stdout.split('\n')[0] ?? '')?.[0] ?? 'unknown') : null;
  const builtIn = Object.entries(BUILT_IN).map(
    ([scheme, example]): SchemeReport => ({ scheme, example, ready: true, variant: 'built-in', pipeline: null, missing: [], fix: null }),
  );
  const children = await Promise.all(
    Object.entries(EXAMPLES).map(([scheme, { uri, decoders }]) => inspectScheme(scheme, uri, decoders, sidePx, gstreamer !== null)),
  );
  return { gstreamer, schemes: [...builtIn, ...children] };
}

async function inspectScheme(scheme: string, example: string, decoders: string[], sidePx: number, installed: boolean): Promise<SchemeReport> {
  const pipeline = await choosePipeline(example, sidePx);
  // What decodebin will look for by itself; on a Jetson the decoder of the hardware instead of the processor's.
  const hidden = await Promise.all(
    decoders.map(async (name) => (name === 'avdec_h264' && (await hasElement('nvv4l2decoder')) ? 'nvv4l2decoder' : name)),
  );
  const elements = [...new Set([...elementsOf(pipeline.args), ...hidden])];
  const found = await Promise.all(elements.map(hasElement));
  const missing = elements.filter((_, i) => !found[i]);
  return {
    scheme,
    example,
    ready: installed && missing.length === 0,
    variant: pipeline.variant,
    pipeline: show(pipeline),
    missing,
    fix: installed ? (missing.length > 0 ? installCommand(missing) : null) : installCommand([]),
  };
}
