/** The `…/set` topics: bare words that change one setting. A word that does not fit changes nothing and is told to the log; the `…/state` topic keeps the truth. */
import { MiphaError, optionError } from '../errors.js';
import type { ParsedTopic } from '../mqtt/topics.js';
import { watchSpecSchema } from '../watch/spec.js';
import type { Changer } from './changer.js';

export type Setting = Extract<ParsedTopic, { kind: 'camera-set' | 'watch-set' }>;

/** Throws ERR_OPTION or ERR_CONFIG. */
export async function applySetting(setting: Setting, word: string, changer: Changer): Promise<void> {
  if (setting.kind === 'camera-set') {
    const { camera } = setting;
    if (changer.config.cameras[camera] === undefined) throw optionError('camera', `one of ${Object.keys(changer.config.cameras).join(', ')}`, camera);
    await changer.patch({ cameras: { [camera]: { enabled: onOff(word) } } });
    return;
  }
  const { watch, setting: name } = setting;
  const spec = changer.config.watches[watch];
  if (spec === undefined) throw optionError('watch', `one of ${Object.keys(changer.config.watches).join(', ')}`, watch);
  const change = name === 'enabled' ? { enabled: onOff(word) } : name === 'prompt' ? { question: word } : { interval_ms: seconds(word) };
  const changed = watchSpecSchema.safeParse({ ...spec, ...change });
  if (!changed.success) {
    const [issue] = changed.error.issues;
    throw new MiphaError(
      'ERR_OPTION',
      `Option ${watch}.${issue?.path.join('.') ?? name}: expected ${issue?.message}, received ${JSON.stringify(word)}`,
    );
  }
  await changer.putWatch(watch, changed.data);
}

function onOff(word: string): boolean {
  if (word === 'ON' || word === 'OFF') return word === 'ON';
  throw optionError('enabled', 'ON or OFF', word);
}

function seconds(word: string): number {
  const value = Number(word);
  if (word.trim() !== '' && Number.isFinite(value) && value >= 0) return Math.round(value * 1000);
  throw optionError('interval', 'seconds, 0 or more', word);
}
