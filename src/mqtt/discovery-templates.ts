/**
 * Templates for Home Assistant, in its Jinja. There the word None makes an entity `unknown`, and the states `unknown` and `unavailable` are no
 * answers: words of ours that read like one of these are shown in double quotes, so that an answer is never taken for none.
 */
import { STATE_CHARS } from './messages.js';

/** Nothing known → unknown; for words that are never misread. */
export const WORD = "{{ value or 'None' }}";

/** Without quotes around it, `v` is one of the words that are not free. */
const RESERVED = `(v | trim('"') == 'None' or v | trim('"') | lower in ['unknown', 'unavailable'])`;

/** The same for words of any kind. Quoting what is quoted already keeps two different words different. */
export const WORDS = `{% set v = value | trim %}{{ 'None' if v == '' else '"' ~ v ~ '"' if ${RESERVED} else v[:${STATE_CHARS}] }}`;

/** What somebody typed who sees a question as WORDS shows it. */
export const TYPED_QUESTION = `{% set v = value | trim %}{{ v[1:-1] if ${RESERVED} and v[:1] == '"' and v[-1:] == '"' else v }}`;

/** What WORDS makes of a word. */
export function shown(word: string): string {
  const bare = word.replace(/^"+|"+$/g, '');
  return bare === 'None' || ['unknown', 'unavailable'].includes(bare.toLowerCase()) ? `"${word}"` : word;
}

/** Attributes: few, and none that changes with every answer, as the recorder of Home Assistant keeps each change. */
const FIELDS = [
  "'status': value_json.status",
  "'confidence': (value_json.confidence | round(2) if value_json.confidence is number else none)",
  "'error': (value_json.error.code if value_json.error else none)",
];
const attributes = (fields: readonly string[]) => `{{ {${fields.join(', ')}} | tojson if value_json is defined else '{}' }}`;
export const RESULT = attributes(FIELDS);
/** The state holds the beginning of a long text only. */
export const RESULT_WITH_ANSWER = attributes([...FIELDS, "'answer': value_json.answer"]);

/** The standing alerts in a health document. */
export const ALERTS = "{{ {'alerts': value_json.errors | map(attribute='message') | list} | tojson if value_json is defined else '{}' }}";

/** Home Assistant throws a state of an update away that has any other field, or a text that is null. */
const UPDATE_FIELDS = [
  "'installed_version': value_json.installed.release",
  "'latest_version': (value_json.latest.release if value_json.latest else value_json.installed.release)",
  "'title': value_json.installed.id",
  "'in_progress': value_json.phase in ['fetching', 'testing']",
  "'update_percentage': value_json.percent",
];
export const UPDATE = `{{ {${UPDATE_FIELDS.join(', ')}} | tojson if value_json is defined else '' }}`;

/** An empty event fires nothing: one that an outage has held up, or that may have come before, is no reason to act. */
const EVENT_FIELDS = [
  ...['event_type', 'value', 'previous', 'confidence', 'ts'].map((name) => `'${name}': value_json.${name}`),
  "'picture': (value_json.picture.seq if value_json.picture else none)", // none: what the image entity shows is of an earlier event
];
export const EVENT = `{{ {${EVENT_FIELDS.join(', ')}} | tojson if value_json is defined and not value_json.replayed else '' }}`;
