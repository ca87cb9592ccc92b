/** The `…/set` topics: bare words that change one setting. A word that does not fit changes nothing; the `…/state` topic keeps the truth. */
import { RequestError } from '../mqtt/request-error.js';
import type { ParsedTopic } from '../mqtt/topics.js';
import { QUESTION_CHARS, questionSchema } from '../watch/spec.js';
import type { Changer } from './changer.js';
import { own } from './own.js';
import { refuse, refuseClosed } from './verbs.js';

const MOST_SHOWN = 60;

export type Setting = Extract<ParsedTopic, { kind: 'camera-set' | 'watch-set' }>;

/** Throws a RequestError that says what was expected. A question that is refused is not repeated: it is personal, and this goes to logs. */
export async function applySetting(setting: Setting, word: string, changer: Changer): Promise<void> {
  const { cameras, watches, requests } = changer.config;
  refuseClosed('set', requests.closed);
  if (setting.kind === 'camera-set') {
    const { camera } = setting;
    if (own(cameras, camera) === undefined) throw unknown('UNKNOWN_CAMERA', 'camera', Object.keys(cameras), camera);
    await changer.patch({ cameras: { [camera]: { enabled: onOff(word) } } }).catch(refuse);
    return;
  }
  const { watch, setting: name } = setting;
  if (own(watches, watch) === undefined) throw unknown('UNKNOWN_WATCH', 'watch', Object.keys(watches), watch);
  const change = name === 'enabled' ? { enabled: onOff(word) } : name === 'prompt' ? { question: question(word) } : { interval_ms: seconds(word) };
  await changer.patch({ watches: { [watch]: change } }).catch(refuse);
}

function unknown(code: 'UNKNOWN_CAMERA' | 'UNKNOWN_WATCH', name: string, known: string[], received: string): RequestError {
  return new RequestError(code, `${name}: expected one of ${known.join(', ') || '(there is none)'}, received ${JSON.stringify(received)}`);
}

function question(word: string): string {
  if (questionSchema.safeParse(word).success) return word;
  const received = word.trim() === '' ? 'nothing' : `${word.length} characters`;
  throw new RequestError('SCHEMA', `prompt: expected a question in words, at most ${QUESTION_CHARS} characters, received ${received}`);
}

function onOff(word: string): boolean {
  if (word === 'ON' || word === 'OFF') return word === 'ON';
  throw new RequestError('SCHEMA', `enabled: expected ON or OFF, received ${short(word)}`);
}

function seconds(word: string): number {
  const value = Number(word);
  if (word.trim() !== '' && Number.isFinite(value) && value >= 0) return Math.round(value * 1000);
  throw new RequestError('SCHEMA', `interval: expected seconds, 0 or more, received ${short(word)}`);
}

function short(word: string): string {
  return JSON.stringify(word.length > MOST_SHOWN ? `${word.slice(0, MOST_SHOWN - 3)}...` : word);
}
