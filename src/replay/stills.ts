/** Pictures that no watch has seen yet, as a record that has frames and nothing else: for a camera that is not there yet. */
import type { Still } from '../camera/clip.js';
import type { Recorded } from '../record/read.js';
import { processTimeZone } from '../watch/local-time.js';
import type { WatchSpec } from '../watch/spec.js';

export async function* recordOf(stills: readonly Still[], watch: string, spec: WatchSpec, begin: Date): AsyncGenerator<Recorded> {
  const at = (ms: number) => new Date(begin.getTime() + ms).toISOString();
  const recorded = (line: Recorded['line'], number: number, picture: string | null): Recorded => ({ line, segment: '', number, picture });
  const { camera } = spec;
  const timezone = processTimeZone();
  yield recorded({ kind: 'start', v: 1, at: at(0), mono_ms: 0, session: 'stills', watch, camera, spec: { ...spec }, timezone, model: null }, 1, null);
  for (const [index, { path, atMs }] of stills.entries()) {
    const when = { at: at(atMs), mono_ms: atMs, decided_ms: atMs };
    const unseen = { share: null, against: null, asked: false, skipped: null, confirms: false, width: 0, height: 0, file: null, bytes: 0 };
    yield recorded({ kind: 'frame', id: `${camera}-${index + 1}`, content: index + 1, ...when, ...unseen }, index + 2, path);
  }
}
