/** Which GStreamer elements this machine has, and the Debian packages that bring them. */
import { execFile } from 'node:child_process';

const known = new Map<string, Promise<boolean>>();

/** Asked once per process and element; false also where GStreamer itself is missing. */
export function hasElement(name: string): Promise<boolean> {
  let answer = known.get(name);
  if (answer === undefined) {
    answer = new Promise((resolve) => {
      execFile('gst-inspect-1.0', ['--exists', name], (error) => {
        if (error !== null && typeof error.code !== 'number') known.delete(name); // it could not be asked
        resolve(error === null);
      });
    });
    known.set(name, answer);
  }
  return answer;
}

const PACKAGES: readonly [RegExp, string][] = [
  [/^nv/, 'nvidia-l4t-gstreamer'],
  [/^(pnmenc|h26[45]parse)$/, 'gstreamer1.0-plugins-bad'],
  [/^avdec_/, 'gstreamer1.0-libav'],
  [/^(videoscale|videoconvert|videorate|videotestsrc|decodebin3?|uridecodebin3?)$/, 'gstreamer1.0-plugins-base'],
  [/^x264enc$/, 'gstreamer1.0-plugins-ugly'],
  [/^(rtspsrc|rtp.*|v4l2src|jpegdec|jpegenc|multipartmux|qtdemux|matroskademux|avidemux)$/, 'gstreamer1.0-plugins-good'],
];
const TOOLS = 'gstreamer1.0-tools';
const ALL_PLUGINS = ['gstreamer1.0-plugins-base', 'gstreamer1.0-plugins-good', 'gstreamer1.0-plugins-bad', 'gstreamer1.0-libav'];

/** The command that brings these elements; an empty list means GStreamer itself. */
export function installCommand(elements: readonly string[]): string {
  const packages = elements.flatMap((element) => PACKAGES.find(([pattern]) => pattern.test(element))?.[1] ?? ALL_PLUGINS);
  return `sudo apt-get install -y ${[...new Set(elements.length > 0 ? packages : [TOOLS, ...ALL_PLUGINS])].join(' ')}`;
}

/** The elements that a pipeline names: the first word of each part that is neither caps nor a pad. */
export function elementsOf(args: readonly string[]): string[] {
  return args.filter((arg, i) => (i === 0 || args[i - 1] === '!') && !arg.includes('/') && !arg.includes('.'));
}
