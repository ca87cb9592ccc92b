/** Names of MQTT topics. Everything a node says lies below `<base>/v1/<node>`. */
import { optionError } from '../errors.js';

const ID = /^[a-z0-9-]{1,64}$/;

export interface Topics {
  /** All that this node publishes: a subscription filter. */
  all: string;
  /** Plain `online` or `offline`, retained; the broker says `offline` when the node is lost. */
  availability: string;
  /** The full JSON answer of a watch (messages.ts), retained. */
  result(watch: string): string;
  /** The bare value of a watch, retained: ON or OFF, a choice, a number. */
  state(watch: string): string;
  /** The watch and leaf of a topic of this node, or null for any other topic. */
  parse(topic: string): { watch: string; leaf: 'result' | 'state' } | null;
}

/** Throws ERR_OPTION when `base` or `node` is no id: lower-case letters, digits and hyphens, at most 64. */
export function topicsOf(base: string, node: string): Topics {
  const root = `${checkId('base', base)}/v1/${checkId('node', node)}`;
  return {
    all: `${root}/#`,
    availability: `${root}/availability`,
    result: (watch) => `${root}/watch/${checkId('watch', watch)}/result`,
    state: (watch) => `${root}/watch/${checkId('watch', watch)}/state`,
    parse(topic) {
      if (!topic.startsWith(`${root}/watch/`)) return null;
      const [watch, leaf, ...rest] = topic.slice(root.length + '/watch/'.length).split('/');
      if (watch === undefined || rest.length > 0 || (leaf !== 'result' && leaf !== 'state')) return null;
      return { watch, leaf };
    },
  };
}

function checkId(name: string, value: string): string {
  if (!ID.test(value)) throw optionError(name, 'an id of lower-case letters, digits and hyphens, at most 64', value);
  return value;
}
