/** The settings that `mipha replay` tries: options → a watch's specification, checked as the configuration's is. */
import { optionError } from '../errors.js';
import { type Assignment, changed } from '../replay/changes.js';
import type { AnswerSpec, WatchSpec } from '../watch/spec.js';
import { parseAs } from './as.js';

export interface ChangeOptions {
  question?: string;
  as?: string;
  minConfidence?: number;
  agreement?: string;
  zone?: string;
  set: [path: string, value: string][];
}

export interface Changes {
  apply: (before: WatchSpec) => WatchSpec;
  /** Each as it was given. */
  words: string[];
}

/** Throws ERR_OPTION, also from apply() for settings that do not fit those on record. */
export function changesOf({ question, as, minConfidence, agreement, zone, set }: ChangeOptions): Changes {
  const assignments: Assignment[] = [];
  const words: string[] = [];
  const add = (path: string, value: unknown) => {
    assignments.push([path, value]);
    words.push(`${path}=${typeof value === 'string' ? value : JSON.stringify(value)}`);
  };
  if (question !== undefined) add('question', question);
  if (as !== undefined) add('answer', answerSpecOf(as));
  if (minConfidence !== undefined) add('min_confidence', minConfidence);
  if (agreement !== undefined) add('agreement', agreementOf(agreement));
  if (zone !== undefined) add('zone', jsonOf('--zone', zone));
  for (const [path, text] of set) add(path, yamlValue(text));
  return {
    words,
    apply: (before) => changed(before, assignments),
  };
}

/** As a value of YAML would be: JSON where it is, else the text. */
function yamlValue(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

function jsonOf(option: string, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw optionError(option, 'polygons in JSON, e.g. [[[0,0.5],[1,0.5],[1,1],[0,1]]]', text);
  }
}

function agreementOf(text: string): { n: number; of: number } {
  const [, n, of] = /^(\d+)\/(\d+)$/.exec(text) ?? [];
  if (n === undefined) throw optionError('--agreement', 'N/M, e.g. 2/3: two of the last three answers', text);
  return { n: Number(n), of: Number(of) };
}

/** Throws ERR_OPTION. */
export function answerSpecOf(text: string): AnswerSpec {
  parseAs(text);
  const [kind, rest = ''] = text.split(/:(.*)/s, 2);
  if (kind === 'boolean') return { type: 'boolean' };
  if (kind === 'choice') return { type: 'choice', choices: rest.split(',').map((choice) => choice.trim()) };
  if (kind === 'text') return { type: 'text', max_chars: Number(rest) };
  const [min = 0, max = 0] = rest.split('..').map(Number);
  return { type: 'number', min, max, decimals: kind === 'int' ? 0 : 2 };
}
