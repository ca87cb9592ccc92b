/** A configuration changed while it runs: patches as they come over MQTT, merged over what is there and validated whole. */
import { type LoadedConfig, parse } from './config.js';
import { type ConfigIssue, refuse } from './issues.js';
import { type ConfigInput, isPlain, type Layer, mergeInto, type Place } from './layers.js';
import { holdsLocal, isLocal, type Path, shapeAt } from './shape.js';

const OVER_MQTT: Place = { source: 'MQTT' };

/**
 * The configuration with `patch` merged over it (RFC 7396: null removes). Throws ERR_CONFIG; `details.forbidden` lists paths that are local.
 * Watches are removed by replaceWatch() only.
 */
export function mergeOptions(loaded: LoadedConfig, patch: ConfigInput): LoadedConfig {
  const gone = leaves(patch).filter(([path, value]) => value === null && path[0] === 'watches' && path.length <= 2);
  return merge(loaded, patch, OVER_MQTT, (place) =>
    gone.map(([path]) => issue(path, 'a watch, or the request watch/delete to remove one', 'null', place)),
  );
}

/** The configuration with this watch in place of the one of that name, or without it (null). Throws ERR_CONFIG. */
export function replaceWatch(loaded: LoadedConfig, id: string, spec: ConfigInput | null): LoadedConfig {
  // a merge would keep what the old watch had and the new one leaves out
  const without = mergeInto(loaded.input, { watches: { [id]: null } }) as ConfigInput;
  return changed({ ...loaded, input: without }, { watches: { [id]: spec } }, OVER_MQTT);
}

/** One more patch over the configuration, from `place`; local settings are forbidden in it. Throws ERR_CONFIG. */
export function merge(loaded: LoadedConfig, patch: ConfigInput, place: Place, more: (place: Place) => ConfigIssue[] = () => []): LoadedConfig {
  const parts = leaves(patch);
  const removesWatch = ([section, ...rest]: Path) => section === 'watches' && rest.length === 1;
  const forbidden = parts.filter(([path, value]) => isLocal(path) || path.includes('__proto__') || (value === null && holdsLocal(path)));
  const unknown = parts.filter(([path, value]) => value === null && !removesWatch(path) && shapeAt(path) === undefined); // merging would lose them
  const issues = [
    ...forbidden.map(([path]) => issue(path, 'a setting that may be changed over MQTT', path.join('.'), place)),
    ...unknown.map(([path]) => issue(path, 'a setting that exists', path.join('.'), place)),
    ...more(place),
  ];
  if (issues.length > 0) refuse(issues, forbidden.length > 0 ? { forbidden: forbidden.map(([path]) => path.join('.')) } : {});
  return changed(loaded, patch, place);
}

/** All values that are no objects, with their paths; an empty object is one. */
export function leaves(value: unknown, path: Path = []): [Path, unknown][] {
  if (!isPlain(value) || Object.keys(value).length === 0) return path.length === 0 ? [] : [[path, value]];
  return Object.entries(value).flatMap(([key, item]) => leaves(item, [...path, key]));
}

/** Two merge patches as one: nulls stay, for they remove. */
export function patchOver(before: unknown, after: ConfigInput): ConfigInput {
  const merged = new Map(isPlain(before) ? Object.entries(before) : []);
  for (const [key, value] of Object.entries(after)) merged.set(key, isPlain(value) ? patchOver(merged.get(key), value) : value);
  return Object.fromEntries(merged);
}

function changed(loaded: LoadedConfig, patch: ConfigInput, place: Place): LoadedConfig {
  const layer: Layer = { origin: 'mqtt', values: patch, place: () => place };
  const input = mergeInto(loaded.input, patch) as ConfigInput;
  const config = parse(input, [...loaded.layers, layer], []);
  // overrides are one layer, however many there were
  const earlier = loaded.layers.filter(({ origin }) => origin !== 'mqtt');
  const before = loaded.layers.find(({ origin }) => origin === 'mqtt')?.values ?? {};
  return { config, input, layers: [...earlier, { ...layer, values: patchOver(before, patch) }], warnings: loaded.warnings };
}

function issue(path: Path, expected: string, received: string, { source }: Place): ConfigIssue {
  return { path: path.join('.'), expected, received, origin: 'mqtt', source };
}
